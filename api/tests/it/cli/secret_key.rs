//! `SECRET_KEY` and the data keys that it seals.

use latchkey_shared::{
    config::secret_keys::SecretKeys,
    crypto::{data_keys::DataKeys, secret_key::SecretKey},
    models::{audit, data_key},
};
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::{
    cli::contains_all,
    support::{
        api_tokens::{create_api_token, stored_api_token},
        test_app::{PASSWORD, TestApp},
    },
};

const NEW_KEY: &str = "kPq7vR2mXw9sT4nB8hJ3fL6dG1cZ5yA0";

/// Uses a server that has opened the data keys with the new key alone. Returns the data keys.
async fn use_server_with_new_key(app: &mut TestApp) -> DataKeys {
    let secrets = SecretKeys::only(NEW_KEY.parse().unwrap());
    let keys = data_key::load(&app.database.db, &secrets).await.unwrap();
    app.base = app.api_with_keys(&keys).await;
    keys
}

/// Owners stay logged in, use the codes that they have, and the audit log stays verifiable.
#[tokio::test]
async fn changed_secret_key_keeps_sessions_codes_and_audit_log() {
    let mut app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let (reset_token, code) = app.request_reset("ada@example.com").await;

    let old_key = app.variables["SECRET_KEY"].clone();
    app.set("SECRET_KEY", NEW_KEY);
    app.set("SECRET_KEY_PREVIOUS", &old_key);
    let output = app.run(&["secrets", "status"], 0).await;
    contains_all(&output, &["SECRET_KEY_PREVIOUS is still needed"]);
    app.run(&["migrate"], 0).await;
    let output = app.run(&["secrets", "status"], 0).await;
    contains_all(&output, &["Remove SECRET_KEY_PREVIOUS"]);

    let keys = use_server_with_new_key(&mut app).await;
    let refreshed = app
        .post("/auth/refresh/", json!({"refresh": tokens.refresh}))
        .await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    let body = json!({"token": reset_token, "otp": code});
    let checked = app.post("/auth/check_otp/", body).await;
    assert_eq!(checked.status, 200, "{checked:?}");
    let mailbox = app.user("ada@example.com").await.email_key;
    let fingerprint = |keys: &DataKeys| keys.fingerprints().of_mailbox(&mailbox);
    assert_eq!(
        fingerprint(&keys),
        fingerprint(&app.database.keys),
        "Redis has the counters under this name"
    );
    audit::verify(&app.database.db, &keys.audit_key(), None)
        .await
        .unwrap();
}

#[tokio::test]
async fn serve_with_unknown_secret_key_names_key_id_and_setting() {
    let mut app = TestApp::new().await;
    let old_key: SecretKey = app.variables["SECRET_KEY"].parse().unwrap();
    app.set("SECRET_KEY", NEW_KEY);
    for command in [&["serve"][..], &["users", "list"], &["audit", "verify"]] {
        let output = app.run(command, 1).await;
        contains_all(&output, &["SECRET_KEY_PREVIOUS", &old_key.id()]);
        assert!(!output.contains(NEW_KEY), "{output}");
    }
    let output = app.run(&["secrets", "status"], 1).await;
    contains_all(&output, &["one_time_codes", &old_key.id(), "replace-lost"]);
}

/// A restart with the new key makes the earlier one dispensable.
#[tokio::test]
async fn serve_seals_data_keys_with_the_new_secret_key() {
    let mut app = TestApp::new().await;
    let old_key = app.variables["SECRET_KEY"].clone();
    app.set("SECRET_KEY", NEW_KEY);
    app.set("SECRET_KEY_PREVIOUS", &old_key);
    app.set("BIND", "127.0.0.1:0");
    let mut server = app.process(&["serve"]);
    server.wait_for_line("Listening on").await;
    drop(server);
    app.set("SECRET_KEY_PREVIOUS", "");
    let output = app.run(&["secrets", "status"], 0).await;
    contains_all(&output, &["SECRET_KEY seals all data keys."]);
}

/// Accounts and passwords outlive a lost key. Sessions do not.
#[tokio::test]
async fn lost_secret_key_ends_sessions_but_keeps_accounts() {
    let mut app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    app.set("SECRET_KEY", NEW_KEY);
    let output = app.run(&["secrets", "replace-lost", "--yes"], 0).await;
    contains_all(
        &output,
        &[
            "Replaced 7 data key(s)",
            "users log in again",
            "audit verify",
        ],
    );
    let output = app.run(&["secrets", "replace-lost", "--yes"], 0).await;
    contains_all(&output, &["Replaced 0 data key(s)"]);
    use_server_with_new_key(&mut app).await;
    let refreshed = app
        .post("/auth/refresh/", json!({"refresh": tokens.refresh}))
        .await;
    refreshed.assert_problem(401, "invalid-refresh-token");
    app.login("ada@example.com", PASSWORD).await;
}

/// Without the confirmation, nothing is replaced: the replaced keys cannot be restored.
#[tokio::test]
async fn replace_lost_without_confirmation_changes_nothing() {
    let mut app = TestApp::new().await;
    let old_key = app.variables["SECRET_KEY"].clone();
    app.set("SECRET_KEY", NEW_KEY);
    let output = app.run(&["secrets", "replace-lost"], 1).await;
    contains_all(&output, &["--yes"]);
    app.set("SECRET_KEY", &old_key);
    app.run(&["secrets", "status"], 0).await;
}

/// After a theft of the data keys, their thief can neither refresh nor sign a token.
#[tokio::test]
async fn replaced_stolen_keys_end_sessions_and_tokens_and_signing_keys() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let (api_token, _) = create_api_token(&app, "ada@example.com", "view_users").await;
    let command = ["secrets", "replace-lost", "--all", "--yes"];
    contains_all(&app.run(&command, 0).await, &["Replaced 7 data key(s)"]);
    app.get_user(&tokens.access)
        .await
        .assert_problem(401, "not-authenticated");
    let stored = stored_api_token(&app, api_token.id).await;
    assert!(stored.revoked_at.is_some());
    let output = app.run(&["keys", "list"], 0).await;
    contains_all(&output, &["revoked"]);
}

/// New data keys would hide that they were lost.
#[tokio::test]
async fn migrate_after_loss_of_data_keys_asks_for_a_backup() {
    for lost in ["1 = 1", "purpose = 'audit_log'"] {
        let app = TestApp::new().await;
        app.register("ada@example.com").await;
        let delete = format!("DELETE FROM data_keys WHERE {lost}");
        app.database.db.execute_unprepared(&delete).await.unwrap();
        let output = app.run(&["migrate"], 1).await;
        contains_all(&output, &["data_keys", "backup"]);
    }
}

/// A migration that was interrupted before it created the keys can be repeated.
#[tokio::test]
async fn migrate_without_accounts_creates_missing_data_keys() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    db.execute_unprepared("DELETE FROM data_keys")
        .await
        .unwrap();
    let output = app.run(&["users", "list"], 1).await;
    contains_all(&output, &["latchkey-api migrate"]);
    app.run(&["migrate"], 0).await;
    app.run(&["users", "list"], 0).await;
}

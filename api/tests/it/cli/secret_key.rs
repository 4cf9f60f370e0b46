//! `SECRET_KEY` and the data keys that it seals.

use latchkey_shared::{
    config::secret_keys::SecretKeys,
    crypto::secret_key::SecretKey,
    models::{audit, data_key},
};
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::support::test_app::{PASSWORD, TestApp};

const NEW_KEY: &str = "kPq7vR2mXw9sT4nB8hJ3fL6dG1cZ5yA0";

#[track_caller]
fn contains_all(output: &str, parts: &[&str]) {
    for part in parts {
        assert!(output.contains(part), "{part} is not in: {output}");
    }
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

    let secrets = SecretKeys::only(NEW_KEY.parse().unwrap());
    let keys = data_key::load(&app.database.db, &secrets).await.unwrap();
    app.base = app.api_with_keys(&keys).await;
    let refreshed = app
        .post("/auth/refresh/", json!({"refresh": tokens.refresh}))
        .await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    let body = json!({"token": reset_token, "otp": code});
    let checked = app.post("/auth/check_otp/", body).await;
    assert_eq!(checked.status, 200, "{checked:?}");
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
    let output = app.run(&["secrets", "replace-lost"], 0).await;
    contains_all(
        &output,
        &[
            "Replaced 6 data key(s)",
            "users log in again",
            "audit verify",
        ],
    );
    let output = app.run(&["secrets", "replace-lost"], 0).await;
    contains_all(&output, &["Replaced 0 data key(s)"]);
    let secrets = SecretKeys::only(NEW_KEY.parse().unwrap());
    let keys = data_key::load(&app.database.db, &secrets).await.unwrap();
    app.base = app.api_with_keys(&keys).await;
    let refreshed = app
        .post("/auth/refresh/", json!({"refresh": tokens.refresh}))
        .await;
    refreshed.assert_problem(401, "invalid-refresh-token");
    app.login("ada@example.com", PASSWORD).await;
}

/// New data keys would hide that the table was emptied.
#[tokio::test]
async fn migrate_after_loss_of_data_keys_asks_for_a_backup() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    db.execute_unprepared("DELETE FROM data_keys")
        .await
        .unwrap();
    let output = app.run(&["migrate"], 1).await;
    contains_all(&output, &["data_keys", "backup"]);
}

/// A newer version adds a purpose to an existing installation.
#[tokio::test]
async fn migrate_creates_the_data_key_of_a_new_purpose() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    let delete = "DELETE FROM data_keys WHERE purpose = 'signing_keys'";
    db.execute_unprepared(delete).await.unwrap();
    contains_all(
        &app.run(&["users", "list"], 1).await,
        &["latchkey-api migrate"],
    );
    app.run(&["migrate"], 0).await;
    app.run(&["users", "list"], 0).await;
}

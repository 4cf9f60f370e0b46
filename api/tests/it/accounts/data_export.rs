//! `GET /auth/export/`

use std::collections::BTreeSet;

use chrono::TimeDelta;
use latchkey_api::server::calls::description;
use latchkey_shared::{
    database,
    models::{
        api_token,
        audit::{self, Actor, Details, Event, EventKind},
        mail::MailKind,
        password_reset, session, user,
    },
    outbox::Outbox,
};
use reqwest::Method;
use sea_orm::{EntityTrait as _, QuerySelect as _};
use serde_json::{Value, json};

use crate::{
    accounts::{
        deletion::create_full_account,
        pictures::{data_url, png},
    },
    openapi::document::assert_matches_schema,
    support::test_app::{ApiResponse, PASSWORD, TestApp},
};

const ADA: &str = "ada.deleted@example.com";

/// The columns that the export contains, by table, each with a JSON pointer.
const EXPORTED: &[(&str, &str, &str)] = &[
    ("users", "id", "/profile/id"),
    ("users", "email", "/profile/email"),
    ("users", "email_verified_at", "/profile/email_verified_at"),
    ("users", "email_set_at", "/profile/email_set_at"),
    ("users", "confirmed_email", "/profile/confirmed_email"),
    (
        "users",
        "confirmed_email_since",
        "/profile/confirmed_email_since",
    ),
    ("users", "email_trusted_from", "/profile/email_trusted_from"),
    ("users", "username", "/profile/username"),
    ("users", "phone_number", "/profile/phone_number"),
    ("users", "picture", "/picture/name"),
    ("users", "date_birth", "/profile/date_birth"),
    ("users", "gender", "/profile/gender"),
    ("users", "language", "/profile/language"),
    ("users", "language_chosen", "/profile/language_chosen"),
    ("users", "is_activated", "/profile/is_activated"),
    (
        "users",
        "pending_email_verification",
        "/profile/pending_email_verification",
    ),
    ("users", "is_active", "/profile/is_active"),
    ("users", "is_staff", "/profile/is_staff"),
    ("users", "is_superuser", "/profile/is_superuser"),
    ("users", "permissions", "/profile/permissions/0"),
    ("users", "created_at", "/profile/created_at"),
    ("users", "last_login_at", "/profile/last_login_at"),
    ("users", "deletion_at", "/profile/deletion_at"),
    ("users", "second_factor_at", "/profile/second_factor_at"),
    ("totp_secrets", "created_at", "/totp/created_at"),
    ("totp_secrets", "confirmed_at", "/totp/confirmed_at"),
    (
        "recovery_codes",
        "created_at",
        "/recovery_codes/0/created_at",
    ),
    ("recovery_codes", "used_at", "/recovery_codes/0/used_at"),
    ("user_roles", "role_id", "/profile/roles/0"),
    ("roles", "name", "/profile/roles/0"),
    ("imported_users", "source", "/profile/import/source"),
    (
        "imported_users",
        "imported_at",
        "/profile/import/imported_at",
    ),
    (
        "imported_users",
        "has_new_password",
        "/profile/import/has_new_password",
    ),
    ("sessions", "id", "/sessions/0/id"),
    ("sessions", "user_agent", "/sessions/0/user_agent"),
    ("sessions", "client_ip", "/sessions/0/client_ip"),
    ("sessions", "created_at", "/sessions/0/created_at"),
    ("sessions", "last_used_at", "/sessions/0/last_used_at"),
    ("sessions", "expires_at", "/sessions/0/expires_at"),
    ("sessions", "revoked_at", "/sessions/0/revoked_at"),
    (
        "sessions",
        "second_factor_at",
        "/sessions/0/second_factor_at",
    ),
    ("api_tokens", "id", "/api_tokens/0/id"),
    ("api_tokens", "name", "/api_tokens/0/name"),
    ("api_tokens", "permissions", "/api_tokens/0/permissions/0"),
    ("api_tokens", "created_at", "/api_tokens/0/created_at"),
    ("api_tokens", "expires_at", "/api_tokens/0/expires_at"),
    ("api_tokens", "last_used_at", "/api_tokens/0/last_used_at"),
    ("api_tokens", "revoked_at", "/api_tokens/0/revoked_at"),
    ("password_resets", "id", "/code_requests/0/id"),
    ("password_resets", "email_key", "/code_requests/0/email"),
    ("password_resets", "purpose", "/code_requests/0/purpose"),
    (
        "password_resets",
        "created_at",
        "/code_requests/0/created_at",
    ),
    (
        "password_resets",
        "expires_at",
        "/code_requests/0/expires_at",
    ),
    (
        "password_resets",
        "code_expires_at",
        "/code_requests/0/code_expires_at",
    ),
    ("password_resets", "tries", "/code_requests/0/attempts"),
    (
        "password_resets",
        "checked_at",
        "/code_requests/0/code_entered_at",
    ),
    ("password_resets", "ended_at", "/code_requests/0/ended_at"),
    ("password_resets", "device", "/code_requests/0/device"),
    ("password_resets", "new_email", "/code_requests/0/new_email"),
    (
        "password_resets",
        "recipient_key",
        "/code_requests/0/sent_to",
    ),
    ("mails", "id", "/mails/0/id"),
    ("mails", "kind", "/mails/0/kind"),
    ("mails", "recipient", "/mails/0/recipient"),
    ("mails", "recipient_verified", "/mails/0/recipient_verified"),
    ("mails", "reset_id", "/mails/0/code_request_id"),
    ("mails", "created_at", "/mails/0/created_at"),
    ("mails", "deliver_before", "/mails/0/deliver_before"),
    ("mails", "state", "/mails/0/state"),
    ("mails", "attempts", "/mails/0/attempts"),
    ("mails", "sent_at", "/mails/0/sent_at"),
    ("mails", "last_error", "/mails/0/last_error"),
    ("mails", "message_id", "/mails/0/message_id"),
    ("mails", "request_id", "/mails/0/request_id"),
    ("mails", "device", "/mails/0/device"),
    ("mails", "api_token_name", "/mails/0/api_token_name"),
    ("audit_events", "seq", "/activity/0/number"),
    ("audit_events", "at", "/activity/0/at"),
    ("audit_events", "event", "/activity/0/event"),
    ("audit_events", "outcome", "/activity/0/outcome"),
    ("audit_events", "actor", "/activity/0/actor"),
    ("audit_events", "session_id", "/activity/0/session_id"),
    ("audit_events", "client_ip", "/activity/0/client_ip"),
    ("audit_events", "request_id", "/activity/0/request_id"),
    ("audit_events", "detail", "/activity/0/detail"),
    ("audit_events", "changes", "/audit_events/0/changes"),
    ("audit_details", "content", "/audit_events/0/values/0/after"),
];

/// The columns that the export leaves out, with the reason. `*` stands for all columns of a table.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    ("users", "password_hash", "a secret"),
    ("users", "email_key", "derived from the email"),
    (
        "users",
        "confirmed_email_key",
        "derived from the confirmed email",
    ),
    (
        "users",
        "search_text",
        "derived from username, email and phone number",
    ),
    ("users", "version", "counts changes, to find edit conflicts"),
    ("totp_secrets", "user_id", "the account"),
    ("totp_secrets", "sealed_secret", "a secret"),
    ("totp_secrets", "last_step", "tells which codes were used"),
    ("recovery_codes", "id", "orders the exported codes"),
    ("recovery_codes", "user_id", "the account"),
    ("recovery_codes", "code_hash", "a secret"),
    (
        "user_roles",
        "user_id",
        "the account, whose roles are exported",
    ),
    ("roles", "id", "the role is exported by its name"),
    (
        "roles",
        "permissions",
        "belong to the role, not to a person",
    ),
    ("roles", "version", "belongs to the role, not to a person"),
    (
        "imported_users",
        "user_id",
        "the account, whose import is exported",
    ),
    (
        "imported_users",
        "fingerprints",
        "keyed hashes of exported values, unreadable",
    ),
    (
        "imported_users",
        "tokens_ended_at",
        "tells which tokens of the original are invalid",
    ),
    ("sessions", "user_id", "the account"),
    ("sessions", "secret_hash", "a secret"),
    (
        "sessions",
        "rotation_times",
        "tells which refresh tokens are valid",
    ),
    ("api_tokens", "user_id", "the account"),
    ("api_tokens", "token_hash", "a secret"),
    ("password_resets", "user_id", "the account"),
    ("password_resets", "token_hash", "a secret"),
    ("mails", "user_id", "the account"),
    ("mails", "recipient_key", "derived from the recipient"),
    ("mails", "recipient_mailbox", "derived from the recipient"),
    (
        "mails",
        "customer_network",
        "of the client that caused the mail, who may be another person",
    ),
    ("mails", "locale", "the language of the account"),
    ("mails", "urgent", "follows from the kind"),
    ("mails", "beyond_budget", "a mark for the worker"),
    ("mails", "next_attempt_at", "a mark for the worker"),
    ("mails", "pushed_at", "a mark for the worker"),
    ("mails", "claimed_by", "a mark for the worker"),
    ("mails", "claimed_until", "a mark for the worker"),
    ("mails", "failure", "the exported error as a word"),
    ("mails", "failed_at", "of an attempt that is repeated"),
    ("mails", "trace", "names a span of the operator's traces"),
    ("audit_events", "user_id", "the account"),
    (
        "audit_events",
        "subject",
        "a keyed hash of the exported email",
    ),
    (
        "audit_events",
        "details_hash",
        "protects the log, unreadable",
    ),
    ("audit_events", "hash", "protects the log, unreadable"),
    ("audit_details", "seq", "the exported event"),
    ("audit_head", "*", "protects the log"),
    ("data_keys", "*", "keys of the installation"),
    ("signing_keys", "*", "keys of the installation"),
    ("write_checks", "*", "written by health checks"),
    ("seaql_migrations", "*", "the version of the schema"),
    ("sqlite_sequence", "*", "internal to SQLite"),
    ("users_search", "*", "SQLite's index of exported values"),
    (
        "users_search_data",
        "*",
        "SQLite's index of exported values",
    ),
    ("users_search_idx", "*", "SQLite's index of exported values"),
    (
        "users_search_docsize",
        "*",
        "SQLite's index of exported values",
    ),
    (
        "users_search_config",
        "*",
        "SQLite's index of exported values",
    ),
];

async fn export(app: &TestApp, access: &str) -> ApiResponse {
    let request = app.request(Method::GET, "/auth/export/");
    app.send(request.bearer_auth(access)).await
}

async fn exported(app: &TestApp, access: &str) -> Value {
    let answer = export(app, access).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.is_object(), "{answer:?}");
    answer.body
}

/// D4: Each column of the database is exported, or `LEFT_OUT` gives the reason why not.
#[tokio::test]
async fn export_covers_database_schema() {
    let app = TestApp::new().await;
    let access = create_full_account(&app).await;
    let export = exported(&app, &access).await;

    let columns: BTreeSet<_> = app.database.columns().await.into_iter().collect();
    for (table, column) in &columns {
        let is =
            |row: &&(&str, &str, &str)| row.0 == table && [column.as_str(), "*"].contains(&row.1);
        let rows: Vec<_> = EXPORTED.iter().chain(LEFT_OUT).filter(is).collect();
        assert_eq!(
            rows.len(),
            1,
            "{table}.{column}: export it in api/src/accounts/data_export, or name the reason in LEFT_OUT: {rows:?}"
        );
    }
    for (table, column, pointer) in EXPORTED {
        let column = ((*table).to_owned(), (*column).to_owned());
        assert!(columns.contains(&column), "{column:?} does not exist");
        assert!(export.pointer(pointer).is_some(), "{column:?} {pointer}");
    }
}

/// D4: The export contains the values of the account, and no secret. Staff are not named.
#[tokio::test]
async fn export_has_values_but_no_secrets_or_staff() {
    let app = TestApp::new().await;
    let access = create_full_account(&app).await;
    let (db, ada) = (&app.database.db, app.user(ADA).await);

    let answer = export(&app, &access).await;

    let media_type = answer.headers["content-type"].to_str().unwrap();
    assert!(media_type.starts_with("application/json"), "{media_type}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let date = app.clock.now().format("%Y-%m-%d");
    assert_eq!(
        answer.headers["content-disposition"],
        format!("attachment; filename=\"account-{}-{date}.json\"", ada.id)
    );
    let body = &answer.body;
    let document = description().document();
    let schema = &document["components"]["schemas"]["AccountExport"];
    assert_matches_schema(&document, schema, body, "/auth/export/");
    let profile = &body["profile"];
    assert_eq!(profile["email"], ADA);
    assert_eq!(profile["username"], "Zebulon Deleted");
    assert_eq!(profile["phone_number"], "+201005550199");
    assert_eq!(profile["roles"], json!(["Support"]));
    assert_eq!(profile["permissions"], json!(["view_users"]));
    let picture = body["picture"]["data"].as_str().unwrap();
    let (_, media_type) = picture.split_once(':').unwrap();
    assert!(media_type.starts_with("image/"), "{media_type}");
    assert_eq!(body["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(body["api_tokens"].as_array().unwrap().len(), 1);
    assert_eq!(body["code_requests"].as_array().unwrap().len(), 1);
    let kinds = |array: &str, member: &str| -> Vec<String> {
        let items = body[array].as_array().unwrap().iter();
        items
            .map(|it| it[member].as_str().unwrap().to_owned())
            .collect()
    };
    for event in [
        "user_created",
        "authn_login_fail",
        "authn_login_success",
        "user_exported",
    ] {
        assert!(
            kinds("activity", "event").contains(&event.to_owned()),
            "{event}"
        );
    }
    for kind in ["welcome", "email_changed_by_staff", "reset_code"] {
        assert!(kinds("mails", "kind").contains(&kind.to_owned()), "{kind}");
    }
    let changed = &body["audit_events"][0];
    assert_eq!(changed["actor"], "staff");
    assert_eq!(changed["client_ip"], Value::Null);
    assert_eq!(changed["session_id"], Value::Null);
    let email = json!({"field": "email", "before": "ada.before@example.com", "after": ADA});
    assert!(
        changed["values"].as_array().unwrap().contains(&email),
        "{changed}"
    );

    let text = body.to_string();
    let mut secrets: Vec<String> =
        vec![ada.password_hash, "argon2".to_owned(), PASSWORD.to_owned()];
    let resets = password_reset::Entity::find().select_only();
    let resets = resets.column(password_reset::Column::TokenHash);
    secrets.extend(resets.into_tuple().all(db).await.unwrap());
    let sessions = session::Entity::find().select_only();
    let sessions = sessions.column(session::Column::SecretHash);
    secrets.extend(sessions.into_tuple().all(db).await.unwrap());
    let tokens = api_token::Entity::find().select_only();
    let tokens = tokens.column(api_token::Column::TokenHash);
    secrets.extend(tokens.into_tuple().all(db).await.unwrap());
    secrets.push("root@example.com".to_owned());
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret}");
    }
}

/// D4: An export contains nothing of other accounts, also not of those that a staff member has changed.
#[tokio::test]
async fn export_has_nothing_of_other_accounts() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let root = app.login("root@example.com", PASSWORD).await.access;
    let ada = json!({"email": ADA, "username": "Zebulon", "password": PASSWORD});
    assert_eq!(app.post("/api/register/", ada).await.status, 201);
    let id = app.user(ADA).await.id;
    let change = json!({"username": "Zebulon the Second", "phoneNumber": "+201005550199", "is_activated": true});
    let request = app.request(Method::PATCH, &format!("/api/admin/users/{id}/"));
    let answer = app.send(request.bearer_auth(&root).json(&change)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let bob = app.logged_in_user("bob@example.com").await;

    for access in [&root, &bob.access] {
        let text = exported(&app, access).await.to_string();
        for other in ["Zebulon", "+201005550199", "ada.deleted"] {
            assert!(!text.contains(other), "{other}: {text}");
        }
    }
    let activity = exported(&app, &root).await;
    let is_admin = |event: &&Value| event["event"] == "authz_admin";
    let activity = activity["activity"].as_array().unwrap();
    assert_eq!(activity.iter().filter(is_admin).count(), 1);
    let own = exported(&app, &app.login(ADA, PASSWORD).await.access).await;
    assert_eq!(own["profile"]["username"], "Zebulon the Second");
}

/// D4: An export has nothing of a person who used the account's email before, or whose email the account has not confirmed.
#[tokio::test]
async fn export_has_nothing_of_earlier_user_of_email() {
    for is_registered in [true, false] {
        let app = TestApp::with(&[("ACTIVATION", "none")]).await;
        app.try_login("stranger@example.org", "a wrong password")
            .await;
        app.request_reset_token("stranger@example.org").await;
        app.deliver_all().await;
        app.advance_clock(TimeDelta::seconds(1));
        let tokens = if is_registered {
            app.register("stranger@example.org").await;
            app.login("stranger@example.org", PASSWORD).await
        } else {
            app.register("spy@example.com").await;
            let tokens = app.login("spy@example.com", PASSWORD).await;
            let change = json!({"email": "stranger@example.org"});
            assert_eq!(app.patch_user(&tokens.access, change).await.status, 200);
            tokens
        };
        let export = exported(&app, &tokens.access).await;
        for array in ["activity", "code_requests", "mails"] {
            let text = export[array].to_string();
            for other in ["authn_login_fail", "reset_code", "\"reset\""] {
                assert!(!text.contains(other), "{other}: {text}");
            }
        }
    }
}

/// N4: With `EMAIL_CHANGE=confirm`, an export does not show whether a requested email has an account.
#[tokio::test]
async fn export_does_not_show_taken_email() {
    let app = TestApp::with(&[("EMAIL_CHANGE", "confirm")]).await;
    app.register("other@example.com").await;
    let mut exports = Vec::new();
    for (owner, new) in [
        ("ada@example.com", "other@example.com"),
        ("bob@example.com", "free0@example.com"),
    ] {
        let access = app.logged_in_user(owner).await.access;
        let change = json!({"email": new, "password": PASSWORD});
        assert_eq!(app.patch_user(&access, change).await.status, 200);
        app.deliver_all().await;
        let export = exported(&app, &access).await;
        assert_eq!(export["code_requests"][0]["code_expires_at"], Value::Null);
        let mails = export["mails"].as_array().unwrap().iter();
        let mails: Vec<_> = mails
            .map(|mail| (mail["kind"].clone(), mail["state"].clone()))
            .collect();
        exports.push(mails);
    }
    assert_eq!(exports[0], exports[1]);
}

/// D4, T1: Exports are limited by account, and each is an audit event.
#[tokio::test]
async fn exports_are_limited_and_audited() {
    let app = TestApp::with(&[("LIMIT_EXPORT", "2/3600")]).await;
    let ada = app.logged_in_user("ada@example.com").await;
    let bob = app.logged_in_user("bob@example.com").await;
    for count in 1..=2 {
        let export = exported(&app, &ada.access).await;
        let activity = export["activity"].as_array().unwrap();
        let is_export = |event: &&Value| event["event"] == "user_exported";
        assert_eq!(activity.iter().filter(is_export).count(), count);
    }

    let third = export(&app, &ada.access).await;

    third.assert_problem(429, "too-many-requests");
    assert_eq!(export(&app, &bob.access).await.status, 200);
}

/// D4, C2: An account with thousands of mails and events is streamed whole.
#[tokio::test]
async fn large_export_is_streamed_whole() {
    const ROWS: usize = 2_100;
    let app = TestApp::new().await;
    let ada = app.logged_in_user("ada@example.com").await;
    app.patch_user(&ada.access, json!({"image": data_url(&png(300, 300))}))
        .await;
    let user = app.user("ada@example.com").await;
    let before = exported(&app, &ada.access).await;
    insert_rows(&app, &user, ROWS).await;

    let request = app.request(Method::GET, "/auth/export/");
    let response = request.bearer_auth(&ada.access).send().await.unwrap();

    assert_eq!(response.headers().get("content-length"), None);
    let after: Value = response.json().await.unwrap();
    for (array, id, more) in [("mails", "id", ROWS), ("activity", "number", ROWS + 1)] {
        let rows = after[array].as_array().unwrap();
        let before = before[array].as_array().unwrap().len();
        assert_eq!(rows.len(), before + more, "{array}");
        let ids: BTreeSet<_> = rows.iter().map(|row| row[id].to_string()).collect();
        assert_eq!(ids.len(), rows.len(), "{array}");
    }
    assert_eq!(after["picture"], before["picture"]);
}

/// Inserts mails and events of an account.
async fn insert_rows(app: &TestApp, user: &user::Model, count: usize) {
    let registry = prometheus::Registry::new();
    let failures = latchkey_shared::dependency::FailureReports::default();
    let outbox = Outbox::new(app.redis.queue(), "example.com", &registry, failures).unwrap();
    let (key, now) = (app.database.keys.audit_key(), app.clock.now());
    let transaction = database::begin(&app.database.db).await.unwrap();
    for _ in 0..count {
        let mail = outbox.notice(MailKind::TokenReused, &user.email, "request", now);
        let _never_pushed = mail.about(user.id).insert(&transaction).await.unwrap();
        let event = Event {
            kind: EventKind::LoginSuccess,
            actor: Actor::User(user.id),
            user_id: Some(user.id),
            session_id: None,
            subject: None,
            client_ip: None,
            request_id: "request".to_owned(),
            detail: None,
            changes: None,
            details: Details::default(),
        };
        audit::append(&transaction, &key, event, now).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

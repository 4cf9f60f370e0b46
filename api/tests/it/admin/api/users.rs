//! Changes, actions and sessions of accounts.

use reqwest::Method;
use serde_json::{Value, json};

use super::{get, logged_in_staff, logged_in_superuser, patch, post, send, user_action};
use crate::admin::admin_events;
use crate::support::test_app::{PASSWORD, TestApp};

/// Administrators change any field of an account, by JSON or form.
#[tokio::test]
async fn user_change_accepts_every_field() {
    let app = TestApp::new().await;
    let root = logged_in_superuser(&app, "root@example.com").await;
    app.register("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;

    let change = json!({
        "email": "lovelace@example.com", "username": "Countess", "phoneNumber": "+20 100 123 4567",
        "dateBirth": "1990-02-28", "gender": "female", "language": "en-gb", "image": null, "is_activated": true, "is_active": true,
        "is_staff": true, "is_superuser": false, "permissions": ["audit", "change_users"], "version": 0,
    });
    let response = patch(&app, &root, id, change).await;
    assert_eq!(response.status, 200, "{response:?}");
    let read = get(&app, &root, &format!("/api/admin/users/{id}/")).await;
    assert_eq!(response.body, read.body);
    let mut user = read.body;
    assert!(user["created"].is_string() && user["last_login"].is_null());
    user.as_object_mut().unwrap().remove("created");
    assert_eq!(
        user,
        json!({
            "id": id, "email": "lovelace@example.com", "reset_email": "ada@example.com",
            "username": "Countess", "phoneNumber": "+201001234567", "dateBirth": "1990-02-28", "gender": "female", "language": "en-GB", "image": null, "is_activated": true, "is_active": true,
            "pending_email_verification": false, "is_staff": true, "is_superuser": false,
            "permissions": ["view_users", "change_users", "audit"], "roles": [], "last_login": null, "second_factor": false,
            "deletion_at": null, "version": 1,
        })
    );

    let form = [("permissions", "mails, audit"), ("is_active", "false")];
    let request = app.request(Method::PATCH, &format!("/api/admin/users/{id}/"));
    let response = app
        .send(request.bearer_auth(&root.access).form(&form))
        .await;
    assert_eq!(response.body["permissions"], json!(["mails", "audit"]));
    assert_eq!(response.body["is_active"], false);
    let response = patch(&app, &root, id, json!({"permissions": []})).await;
    assert_eq!(response.body["permissions"], json!([]));
}

/// An invalid change names the field and the reason.
#[tokio::test]
async fn user_change_invalid_field_returns_400() {
    let app = TestApp::new().await;
    let root = logged_in_superuser(&app, "root@example.com").await;
    app.register("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    for (field, value, code) in [
        ("permissions", json!(["audit", "everything"]), "choice"),
        ("permissions", json!(["audit,mails"]), "type"),
        ("permissions", json!(["audit", null]), "type"),
        ("permissions", json!([["audit"]]), "type"),
        ("permissions", json!({"audit": true}), "type"),
        ("permissions", json!(null), "type"),
        ("permissions", json!(true), "type"),
        ("is_active", json!(null), "type"),
        ("is_staff", json!("maybe"), "type"),
        ("is_superuser", json!(1), "type"),
        ("is_activated", json!([true]), "type"),
        ("version", json!("x"), "invalid"),
        ("version", json!(1.5), "invalid"),
        ("version", json!(null), "null"),
        ("username", json!(true), "type"),
        ("username", json!(["Ada"]), "type"),
        ("email", json!("ada"), "invalid"),
    ] {
        let response = patch(&app, &root, id, json!({ field: value })).await;
        response.assert_problem(400, "invalid-input");
        assert_eq!(
            response.invalid_fields(),
            [(field.to_owned(), code.to_owned())]
        );
    }
    let response = patch(&app, &root, id, json!({"email": "root@example.com"})).await;
    response.assert_problem(409, "email-taken");
    for path in ["/api/admin/users/4711/", "/api/admin/users/x/"] {
        get(&app, &root, path)
            .await
            .assert_problem(404, "not-found");
    }
}

/// Administrators do not overwrite each other's changes.
#[tokio::test]
async fn user_change_wrong_version_returns_409() {
    let app = TestApp::new().await;
    let root = logged_in_superuser(&app, "root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    let ada = app.user("ada@example.com").await;

    let change = json!({"username": "Countess", "version": ada.version});
    let response = patch(&app, &root, ada.id, change.clone()).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.text("/username"), "Countess");
    assert_eq!(response.body["version"], ada.version + 1);

    let stored = app.user("ada@example.com").await;
    for version in [ada.version, ada.version + 7] {
        let change = json!({"username": "Eve", "is_active": false, "version": version});
        let response = patch(&app, &root, ada.id, change).await;
        response.assert_problem(409, "edit-conflict");
    }
    assert_eq!(app.user("ada@example.com").await, stored);

    let response = patch(&app, &root, ada.id, json!({"username": "Lovelace"})).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(admin_events(&app).await.len(), 2);
}

/// Account owners hear once that they can log in.
#[tokio::test]
async fn account_activation_sends_one_mail() {
    let app = TestApp::new().await;
    let clerk = logged_in_staff(&app, "clerk@example.com", "change_users").await;
    for email in ["a@example.com", "b@example.com", "c@example.com"] {
        app.register(email).await;
    }
    let ids = [
        app.user("a@example.com").await.id,
        app.user("b@example.com").await.id,
        app.user("c@example.com").await.id,
    ];
    for _ in 0..2 {
        let response = user_action(&app, &clerk, ids[0], "activate").await;
        assert_eq!(response.status, 204, "{response:?}");
        let response = patch(&app, &clerk, ids[1], json!({"is_activated": true})).await;
        assert_eq!(response.status, 200, "{response:?}");
    }
    let all = json!({"act": "activate", "ids": ids});
    let response = post(&app, &clerk, "/api/admin/users/bulk/", all).await;
    assert_eq!(response.body, json!({"done": 1}));
    for email in ["a@example.com", "b@example.com", "c@example.com"] {
        app.try_login(email, PASSWORD).await.text("/token/access");
        let mails = app.mails_to(email).await;
        let activated = mails
            .iter()
            .filter(|mail| mail.subject.ends_with("account is active"));
        assert_eq!(activated.count(), 1, "{email}");
    }
}

/// Administrators act on up to 500 accounts with one call; an invalid call names its field.
#[tokio::test]
async fn bulk_action_reports_number_of_changed_accounts() {
    let app = TestApp::new().await;
    let clerk = logged_in_staff(&app, "clerk@example.com", "change_users,delete_users").await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let email = format!("ada{number}@example.com");
        app.register(&email).await;
        ids.push(app.user(&email).await.id);
    }
    let bulk = |action: &str, ids: Value| json!({"act": action, "ids": ids});
    let path = "/api/admin/users/bulk/";
    for (action, done) in [
        ("activate", 3),
        ("activate", 0),
        ("sign_out", 3),
        ("deactivate", 3),
        ("delete", 3),
    ] {
        let response = post(&app, &clerk, path, bulk(action, json!(ids))).await;
        assert_eq!(response.body, json!({ "done": done }), "{action}");
    }
    let response = post(&app, &clerk, path, bulk("delete", json!(ids))).await;
    response.assert_problem(404, "not-found");

    let too_many: Vec<_> = (0..501).collect();
    for (body, field, code) in [
        (bulk("promote", json!([1])), "act", "choice"),
        (json!({"ids": [1]}), "act", "required"),
        (bulk("activate", json!([])), "ids", "required"),
        (json!({"act": "activate"}), "ids", "required"),
        (bulk("activate", json!(["x"])), "ids", "invalid"),
        (bulk("activate", json!({"id": 1})), "ids", "type"),
        (bulk("activate", json!(too_many)), "ids", "too_long"),
        (bulk("activate", json!(vec!["1"; 9_000])), "ids", "type"),
    ] {
        let response = post(&app, &clerk, path, body).await;
        response.assert_problem(400, "invalid-input");
        assert_eq!(
            response.invalid_fields(),
            [(field.to_owned(), code.to_owned())]
        );
    }
}

/// S5: administrators see and end the sessions of an account.
#[tokio::test]
async fn user_session_is_listed_and_ended() {
    let app = TestApp::new().await;
    let clerk = logged_in_staff(&app, "clerk@example.com", "change_users").await;
    let first = app.logged_in_user("ada@example.com").await;
    let second = app.login("ada@example.com", PASSWORD).await;
    let (clerk_id, id) = (
        app.user("clerk@example.com").await.id,
        app.user("ada@example.com").await.id,
    );
    let path = format!("/api/admin/users/{id}/sessions/");
    let list = get(&app, &clerk, &path).await;
    let sessions: Vec<_> = list.body.as_array().unwrap().clone();
    assert_eq!(sessions.len(), 2);
    assert!(sessions.iter().all(|it| it["current"] == false));
    let path_of_clerk = format!("/api/admin/users/{clerk_id}/sessions/");
    let own = get(&app, &clerk, &path_of_clerk).await;
    assert_eq!(own.body[0]["current"], true);

    let session = sessions[0]["id"].as_str().unwrap();
    let end = format!("{path}{session}/");
    let response = send(&app, &clerk, Method::DELETE, &end, Value::Null).await;
    assert_eq!(response.status, 204, "{response:?}");
    let response = send(&app, &clerk, Method::DELETE, &end, Value::Null).await;
    response.assert_problem(404, "not-found");
    let statuses = [
        app.get_user(&first.access).await.status,
        app.get_user(&second.access).await.status,
    ];
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    let events = admin_events(&app).await;
    assert_eq!(events[0].detail.as_deref(), Some("session ended"));
    let response = get(&app, &clerk, "/api/admin/users/4711/sessions/").await;
    response.assert_problem(404, "not-found");
}

/// A1: an email changed by an administrator ends the sessions and is reported to the old address.
#[tokio::test]
async fn email_changed_by_admin_ends_sessions_notifies_owner() {
    let app = TestApp::new().await;
    let root = logged_in_superuser(&app, "root@example.com").await;
    let ada = app.logged_in_user("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let is_notified = async |email: &str| {
        let mails = app.mails_to(email).await;
        mails
            .iter()
            .any(|mail| mail.subject.contains("email of your"))
    };

    let body = json!({"email": "lovelace@example.com"});
    assert_eq!(patch(&app, &root, id, body).await.status, 200);

    let response = app.get_user(&ada.access).await;
    response.assert_problem(401, "not-authenticated");
    assert!(is_notified("ada@example.com").await);
    assert!(!is_notified("lovelace@example.com").await);
}

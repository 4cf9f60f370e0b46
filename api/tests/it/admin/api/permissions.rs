//! Permissions of staff and superusers, and data that no response contains.

use std::collections::BTreeSet;

use latchkey_api::server::calls::description;
use latchkey_shared::models::{password_reset, role, session, user::staff::has_superuser};
use reqwest::Method;
use serde_json::{Value, json};

use super::{delete, get, logged_in_staff, logged_in_superuser, patch, post, send, user_action};
use crate::admin::admin_events;
use crate::{
    admin::audit_log::execute,
    support::test_app::{PASSWORD, TestApp},
};

pub(super) const PERMISSIONS: [&str; 6] = [
    "view_users",
    "add_users",
    "change_users",
    "delete_users",
    "mails",
    "audit",
];

/// All calls: method, documented path, body and permission. Deletions are last.
#[rustfmt::skip]
pub(super) fn calls(id: i64) -> Vec<(Method, &'static str, Value, &'static str)> {
    vec![
        (Method::GET, "/api/admin/users/", Value::Null, "view_users"),
        (Method::GET, "/api/admin/users/{id}/", Value::Null, "view_users"),
        (Method::GET, "/api/admin/users/{id}/sessions/", Value::Null, "view_users"),
        (Method::GET, "/api/admin/resets/", Value::Null, "view_users"),
        (Method::GET, "/api/admin/limits/", Value::Null, "view_users"),
        (Method::GET, "/api/admin/mails/", Value::Null, "mails"),
        (Method::GET, "/api/admin/mails/{mail}/", Value::Null, "mails"),
        (Method::GET, "/api/admin/audit/", Value::Null, "audit"),
        (Method::POST, "/api/admin/audit/verify/", Value::Null, "audit"),
        (Method::POST, "/api/admin/mails/{mail}/retry/", Value::Null, "mails"),
        (Method::POST, "/api/admin/mails/{mail}/cancel/", Value::Null, "mails"),
        (Method::POST, "/api/admin/limits/release/", json!({"name": "login:ip:192.0.2.7"}), "change_users"),
        (Method::PATCH, "/api/admin/users/{id}/", json!({"username": "Countess"}), "change_users"),
        (Method::POST, "/api/admin/users/{id}/activate/", Value::Null, "change_users"),
        (Method::POST, "/api/admin/users/{id}/sign_out/", Value::Null, "change_users"),
        (Method::POST, "/api/admin/users/{id}/request_password_reset/", Value::Null, "change_users"),
        (Method::POST, "/api/admin/users/{id}/remove_second_factor/", json!({"password": PASSWORD}), "change_users"),
        (Method::DELETE, "/api/admin/users/{id}/sessions/{session}/", Value::Null, "change_users"),
        (Method::POST, "/api/admin/users/{id}/invite/", Value::Null, "add_users"),
        (Method::POST, "/api/admin/users/{id}/deactivate/", Value::Null, "change_users"),
        (Method::POST, "/api/admin/users/bulk/", json!({"act": "activate", "ids": [id]}), "change_users"),
        (Method::POST, "/api/admin/users/bulk/", json!({"act": "sign_out", "ids": [id]}), "change_users"),
        (Method::POST, "/api/admin/users/bulk/", json!({"act": "deactivate", "ids": [id]}), "change_users"),
        (Method::POST, "/api/admin/users/bulk/", json!({"act": "delete", "ids": [id]}), "delete_users"),
        (Method::DELETE, "/api/admin/users/{id}/", Value::Null, "delete_users"),
    ]
}

/// Every permission but this one, and those that include it.
pub(super) fn other_permissions(permission: &str) -> String {
    // Other permissions on users imply `view_users`.
    let others = PERMISSIONS.into_iter().filter(|other| {
        *other != permission
            && (permission != "view_users"
                || !matches!(*other, "add_users" | "change_users" | "delete_users"))
    });
    others.collect::<Vec<_>>().join(",")
}

/// A4: staff can use only the calls that their permissions allow.
#[tokio::test]
async fn admin_call_without_permission_returns_403() {
    let app = TestApp::new().await;
    app.logged_in_user("target@example.com").await;
    let id = app.user("target@example.com").await.id;
    let plain = app.logged_in_user("ada@example.com").await;
    let no_permissions = logged_in_staff(&app, "none@example.com", "").await;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for permission in PERMISSIONS {
        with.push(logged_in_staff(&app, &format!("{permission}@example.com"), permission).await);
        let others = other_permissions(permission);
        without
            .push(logged_in_staff(&app, &format!("not-{permission}@example.com"), &others).await);
    }
    let mail = latchkey_shared::models::mail::list(&app.database.db, None, 1)
        .await
        .unwrap()
        .remove(0);
    let mut tested = BTreeSet::new();
    for (method, path, body, permission) in calls(id) {
        tested.insert(format!("{method} {}", path.replace("{mail}", "{id}")));
        let call = format!("{method} {path} {body}");
        let path = path
            .replace("{id}", &id.to_string())
            .replace("{mail}", &mail.id.to_string())
            .replace("{session}", "01a205c8-c0f2-7444-8493-ea6c37634b32");
        let request = app.request(method.clone(), &path).json(&body);
        app.send(request)
            .await
            .assert_problem(401, "not-authenticated");
        let index = PERMISSIONS
            .iter()
            .position(|other| *other == permission)
            .unwrap();
        for denied in [&plain, &no_permissions, &without[index]] {
            let response = send(&app, denied, method.clone(), &path, body.clone()).await;
            response.assert_problem(403, "not-permitted");
        }
        let response = send(&app, &with[index], method, &path, body).await;
        assert!(
            [200, 204, 404, 409].contains(&response.status.as_u16()),
            "{call}: {response:?}"
        );
    }

    // Only superusers list roles and trust emails.
    tested.insert("GET /api/admin/roles/".to_owned());
    tested.insert("POST /api/admin/users/{id}/trust_email/".to_owned());
    for denied in [plain, no_permissions].iter().chain(&with) {
        let response = get(&app, denied, "/api/admin/roles/").await;
        response.assert_problem(403, "not-permitted");
        let (path, body) = (
            "/api/admin/users/1/trust_email/",
            json!({"password": PASSWORD}),
        );
        let response = send(&app, denied, Method::POST, path, body).await;
        response.assert_problem(403, "not-permitted");
    }

    let mut documented = BTreeSet::new();
    for (path, methods) in description().document()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if path.starts_with("/api/admin/") {
                assert_eq!(operation["security"], json!([{"bearerAuth": []}]), "{path}");
                documented.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    assert_eq!(tested, documented);
}

/// A4: deactivation, demotion and a missing activation end an administrator's access at once.
#[tokio::test]
async fn inactive_or_demoted_staff_loses_access() {
    let app = TestApp::new().await;
    let staff = logged_in_staff(&app, "staff@example.com", "view_users").await;
    assert_eq!(get(&app, &staff, "/api/admin/users/").await.status, 200);
    execute(&app, "UPDATE users SET is_activated = FALSE")
        .await
        .unwrap();
    let response = get(&app, &staff, "/api/admin/users/").await;
    response.assert_problem(403, "not-activated");
    app.activate("staff@example.com").await;
    execute(&app, "UPDATE users SET is_staff = FALSE")
        .await
        .unwrap();
    let response = get(&app, &staff, "/api/admin/users/").await;
    response.assert_problem(403, "not-permitted");
    app.deactivate("staff@example.com").await;
    let response = get(&app, &staff, "/api/admin/users/").await;
    response.assert_problem(401, "not-authenticated");
}

/// A4: only superusers change staff accounts and permissions.
#[tokio::test]
async fn staff_changing_staff_or_permissions_returns_403() {
    let app = TestApp::new().await;
    let clerk = logged_in_staff(&app, "clerk@example.com", "change_users,delete_users").await;
    logged_in_staff(&app, "other@example.com", "audit").await;
    logged_in_superuser(&app, "root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    let (name, permissions) = ("Auditors".parse(), "audit".parse());
    let role = role::insert(&app.database.db, name.unwrap(), permissions.unwrap()).await;
    let role = role.unwrap();
    let ada = app.user("ada@example.com").await;
    let before = [
        ada.clone(),
        app.user("other@example.com").await,
        app.user("root@example.com").await,
    ];

    for user in &before[1..] {
        let responses = [
            patch(&app, &clerk, user.id, json!({"username": "Eve"})).await,
            patch(&app, &clerk, user.id, json!({"email": "eve@example.com"})).await,
            user_action(&app, &clerk, user.id, "activate").await,
            user_action(&app, &clerk, user.id, "deactivate").await,
            user_action(&app, &clerk, user.id, "sign_out").await,
            user_action(&app, &clerk, user.id, "request_password_reset").await,
            delete(&app, &clerk, user.id).await,
        ];
        for response in responses {
            response.assert_problem(403, "not-permitted");
        }
        for action in ["activate", "deactivate", "sign_out", "delete"] {
            let body = json!({"act": action, "ids": [ada.id, user.id]});
            let response = post(&app, &clerk, "/api/admin/users/bulk/", body).await;
            response.assert_problem(403, "not-permitted");
        }
    }
    for promotion in [
        json!({"is_staff": true}),
        json!({"is_superuser": true}),
        json!({"permissions": ["audit"]}),
        json!({"roles": [role.id]}),
    ] {
        let response = patch(&app, &clerk, ada.id, promotion).await;
        response.assert_problem(403, "not-permitted");
    }

    let after = [
        app.user("ada@example.com").await,
        app.user("other@example.com").await,
        app.user("root@example.com").await,
    ];
    assert_eq!(after, before);
    assert!(admin_events(&app).await.is_empty());
}

/// A4: administrators cannot lock themselves out by mistake.
#[tokio::test]
async fn removing_or_demoting_own_account_returns_409() {
    let app = TestApp::new().await;
    let root = logged_in_superuser(&app, "root@example.com").await;
    let me = app.user("root@example.com").await;
    for change in [
        json!({"is_active": false}),
        json!({"is_staff": false}),
        json!({"is_superuser": false}),
        json!({"permissions": "audit"}),
        json!({"roles": [1]}),
    ] {
        let response = patch(&app, &root, me.id, change).await;
        response.assert_problem(409, "own-account");
    }
    let bulk = |action: &str| json!({"act": action, "ids": [me.id]});
    for response in [
        user_action(&app, &root, me.id, "deactivate").await,
        delete(&app, &root, me.id).await,
        post(&app, &root, "/api/admin/users/bulk/", bulk("deactivate")).await,
        post(&app, &root, "/api/admin/users/bulk/", bulk("delete")).await,
    ] {
        response.assert_problem(409, "own-account");
    }
    assert_eq!(app.user("root@example.com").await, me);
    let response = patch(&app, &root, me.id, json!({"username": "Root"})).await;
    assert_eq!(response.status, 200, "{response:?}");
}

/// A4: superusers assign roles, whose permissions the staff member then has.
#[tokio::test]
async fn superuser_assigns_role_by_api() {
    let app = TestApp::new().await;
    let root = logged_in_superuser(&app, "root@example.com").await;
    let staff = logged_in_staff(&app, "staff@example.com", "mails").await;
    let (name, permissions) = ("Auditors".parse(), "audit".parse());
    let role = role::insert(&app.database.db, name.unwrap(), permissions.unwrap()).await;
    let id = role.unwrap().id;
    let list = get(&app, &root, "/api/admin/roles/").await;
    let expected = json!({"roles": [{"id": id, "name": "Auditors", "permissions": ["audit"]}]});
    assert_eq!(list.body, expected);
    let events = async || get(&app, &staff, "/api/admin/audit/").await.status;
    assert_eq!(events().await, 403);
    let user = app.user("staff@example.com").await;

    let response = patch(&app, &root, user.id, json!({"roles": [id]})).await;

    assert_eq!(response.body["roles"], json!([id]), "{response:?}");
    assert_eq!(events().await, 200);
    let list = get(&app, &root, "/api/admin/users/?q=staff").await;
    assert_eq!(list.body["users"][0]["roles"], json!([id]));
    let response = patch(&app, &root, user.id, json!({"roles": [id, 4711]})).await;
    response.assert_invalid_field("roles", "choice");
    // A change of another field keeps the roles.
    let response = patch(&app, &root, user.id, json!({"username": "Clerk"})).await;
    assert_eq!(response.body["roles"], json!([id]));
    let response = patch(&app, &root, user.id, json!({"roles": []})).await;
    assert_eq!(response.body["roles"], json!([]));
    assert_eq!(events().await, 403);
}

/// A4: an installation always keeps a superuser.
#[tokio::test]
async fn concurrent_superuser_removals_leave_one() {
    for _ in 0..3 {
        let app = TestApp::new().await;
        let (a, b) = (
            logged_in_superuser(&app, "a@example.com").await,
            logged_in_superuser(&app, "b@example.com").await,
        );
        let ids = [
            app.user("a@example.com").await.id,
            app.user("b@example.com").await.id,
        ];
        let demotion = json!({"is_superuser": false});
        let responses = tokio::join!(
            delete(&app, &a, ids[1]),
            user_action(&app, &b, ids[0], "deactivate"),
            patch(&app, &b, ids[0], demotion)
        );
        let has_superuser = has_superuser(&app.database.db).await.unwrap();
        assert!(has_superuser, "{responses:?}");
        for response in [responses.0, responses.1, responses.2] {
            match response.status.as_u16() {
                200 | 204 | 401 | 403 | 404 => {}
                _ => assert_eq!(response.status, 409, "{response:?}"),
            }
        }
    }
}

/// A4: administrators never see passwords, codes or tokens.
#[tokio::test]
async fn admin_responses_contain_no_secrets() {
    let app = TestApp::new().await;
    let root = logged_in_superuser(&app, "root@example.com").await;
    let ada = app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    app.check_otp(&token, &code).await;
    let user = app.user("ada@example.com").await;
    let db = &app.database.db;
    let reset = password_reset::list(db, None, None, None, 1)
        .await
        .unwrap()
        .remove(0);
    let session = session::list_alive(db, user.id, app.clock.now())
        .await
        .unwrap()
        .remove(0);
    let mail = latchkey_shared::models::mail::list(db, None, 1)
        .await
        .unwrap()
        .remove(0);
    let secrets = [
        ada.access,
        ada.refresh,
        root.access.clone(),
        token,
        user.password_hash.clone(),
        sea_orm::Value::from(reset.token_hash).to_string(),
        sea_orm::Value::from(session.secret_hash).to_string(),
        "$argon2".to_owned(),
        "hash".to_owned(),
    ];

    let id = user.id;
    let shown = format!("/api/admin/mails/{}/", mail.id);
    for path in [
        "/api/admin/users/",
        &format!("/api/admin/users/{id}/"),
        &format!("/api/admin/users/{id}/sessions/"),
        "/api/admin/resets/",
        "/api/admin/limits/",
        "/api/admin/mails/",
        &shown,
        "/api/admin/audit/",
    ] {
        let response = get(&app, &root, path).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        let text = response.body.to_string();
        for secret in &secrets {
            let secret = secret.trim_matches('\'');
            assert!(!text.contains(secret), "{secret} is in {path}: {text}");
        }
    }
    let shown = get(&app, &root, &shown).await;
    assert_eq!(shown.text("/mail/kind"), "reset_code");
    assert!(!shown.text("/subject").contains(&code) && !shown.text("/text").contains(&code));

    let resets = get(&app, &root, &format!("/api/admin/resets/?user={id}")).await;
    let mut reset = resets.body["resets"][0].clone();
    for varying in ["id", "created", "expires"] {
        assert!(
            reset
                .as_object_mut()
                .unwrap()
                .remove(varying)
                .unwrap()
                .is_string()
        );
    }
    assert_eq!(
        reset,
        json!({"email": "ada@example.com", "user": id, "state": "checked", "tries": 1})
    );
    let none = get(&app, &root, "/api/admin/resets/?user=4711").await;
    assert_eq!(none.body, json!({"resets": [], "before": null}));
}

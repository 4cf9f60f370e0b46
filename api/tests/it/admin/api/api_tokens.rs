//! API tokens as credentials of `/api/admin/`.

use chrono::TimeDelta;
use latchkey_api::server::calls::description;
use latchkey_shared::models::{
    api_token, role,
    user::{self, staff},
};
use reqwest::Method;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    delete, get, logged_in_staff, patch,
    permissions::{PERMISSIONS, calls, other_permissions},
    post, send, user_action,
};
use crate::{
    admin::{
        admin_events,
        audit_log::{events, execute},
    },
    auth::requests_in_flight::PartialRequest,
    support::{
        api_tokens::{LIFETIME, create_api_token, stored_api_token},
        test_app::{PASSWORD, TestApp, Tokens, assert_same_problems},
    },
};

const ROOT: &str = "root@example.com";
const STAFF: &str = "staff@example.com";

/// Sets the own permissions of a staff member.
async fn set_permissions(app: &TestApp, email: &str, permissions: &str) {
    let seen = app.user(email).await;
    let change = staff::Change {
        permissions: Some(permissions.parse().unwrap()),
        ..staff::Change::default()
    };
    let changed = staff::change(&app.database.db, &seen, change, app.clock.now()).await;
    assert!(changed.unwrap().is_some());
}

/// Changes the flags of an account, as the form of a superuser does.
async fn set_flags(app: &TestApp, email: &str, is_staff: bool, is_activated: bool) {
    let change = user::ActiveModel {
        id: Set(app.user(email).await.id),
        is_staff: Set(is_staff),
        is_activated: Set(is_activated),
        ..Default::default()
    };
    change.update(&app.database.db).await.unwrap();
}

/// K1: a token has exactly its permissions, even if its owner is a superuser.
#[tokio::test]
async fn api_token_needs_permission_of_each_call() {
    let app = TestApp::new().await;
    app.create_superuser(ROOT).await;
    app.logged_in_user("target@example.com").await;
    let id = app.user("target@example.com").await.id;
    let mail = latchkey_shared::models::mail::list(&app.database.db, None, 1).await;
    let mail = mail.unwrap().remove(0);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for permission in PERMISSIONS {
        with.push(create_api_token(&app, ROOT, permission).await.1);
        let others = other_permissions(permission);
        without.push(create_api_token(&app, ROOT, &others).await.1);
    }
    for (method, path, body, permission) in calls(id) {
        let path = path
            .replace("{id}", &id.to_string())
            .replace("{mail}", &mail.id.to_string())
            .replace("{session}", "01a205c8-c0f2-7444-8493-ea6c37634b32");
        let index = PERMISSIONS.iter().position(|it| *it == permission).unwrap();

        let denied = send(&app, &without[index], method.clone(), &path, body.clone()).await;
        let allowed = send(&app, &with[index], method, &path, body).await;

        denied.assert_problem(403, "not-permitted");
        if path.ends_with("/remove_second_factor/") {
            // It asks for the password of a signed-in staff member, so no token can.
            allowed.assert_problem(403, "not-permitted");
            continue;
        }
        let status = allowed.status.as_u16();
        assert!(
            [200, 204, 404, 409].contains(&status),
            "{path}: {allowed:?}"
        );
    }
}

/// K1: a token of a superuser with every permission cannot do what only superusers can.
#[tokio::test]
async fn api_token_of_superuser_is_no_superuser() {
    let app = TestApp::new().await;
    app.create_superuser(ROOT).await;
    app.create_staff(STAFF, "audit").await;
    app.register("ada@example.com").await;
    let all = "view_users,add_users,change_users,delete_users,export_users,mails,audit";
    let token = create_api_token(&app, ROOT, all).await.1;
    let (name, permissions) = ("Auditors".parse(), "audit".parse());
    let role = role::insert(&app.database.db, name.unwrap(), permissions.unwrap()).await;
    let role = role.unwrap().id;
    let (ada, clerk, root) = (
        app.user("ada@example.com").await,
        app.user(STAFF).await,
        app.user(ROOT).await,
    );

    let mut responses = vec![get(&app, &token, "/api/admin/roles/").await];
    let trust = format!("/api/admin/users/{}/trust_email/", ada.id);
    responses.push(post(&app, &token, &trust, json!({"password": PASSWORD})).await);
    for promotion in [
        json!({"is_staff": true}),
        json!({"is_superuser": true}),
        json!({"permissions": ["audit"]}),
        json!({"roles": [role]}),
    ] {
        responses.push(patch(&app, &token, ada.id, promotion).await);
    }
    // Neither other staff nor the account of the owner.
    for user in [&clerk, &root] {
        let name = json!({"username": "Eve"});
        responses.push(patch(&app, &token, user.id, name).await);
        for action in ["deactivate", "sign_out", "request_password_reset"] {
            responses.push(user_action(&app, &token, user.id, action).await);
        }
        responses.push(delete(&app, &token, user.id).await);
    }

    for response in responses {
        response.assert_problem(403, "not-permitted");
    }
    assert_eq!(app.user("ada@example.com").await, ada);
    assert_eq!(app.user(STAFF).await, clerk);
    assert_eq!(app.user(ROOT).await, root);
    assert!(admin_events(&app).await.is_empty());
    let changed = patch(&app, &token, ada.id, json!({"username": "Countess"})).await;
    assert_eq!(changed.status, 200, "{changed:?}");
}

/// K1: of its permissions, a token has those that its owner has at that moment, directly or by a role.
#[tokio::test]
async fn api_token_has_only_permissions_of_its_owner() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "view_users,mails").await;
    let id = app.user(STAFF).await.id;
    let token = create_api_token(&app, STAFF, "view_users,audit").await.1;
    let status = async || {
        let mut status = Vec::new();
        for path in ["users", "mails", "audit"] {
            let path = format!("/api/admin/{path}/");
            status.push(get(&app, &token, &path).await.status.as_u16());
        }
        status
    };
    assert_eq!(status().await, [200, 403, 403]);
    let (name, permissions) = ("Auditors".parse(), "audit".parse());
    let role = role::insert(&app.database.db, name.unwrap(), permissions.unwrap()).await;
    let role = role.unwrap().id;
    let assigned = role::assign_many(&app.database.db, vec![(id, role)]).await;
    assigned.unwrap();
    assert_eq!(status().await, [200, 403, 200]);

    assert!(role::delete(&app.database.db, role).await.unwrap());
    assert_eq!(status().await, [200, 403, 403]);
    set_permissions(&app, STAFF, "mails").await;
    assert_eq!(status().await, [403, 403, 403]);
}

/// K1: demotion, deactivation and a missing activation of the owner end the access of a token at once. Deactivation revokes it.
#[tokio::test]
async fn api_token_ends_with_access_of_its_owner() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "view_users").await;
    let (row, token) = create_api_token(&app, STAFF, "view_users").await;
    let list = async || get(&app, &token, "/api/admin/users/").await;
    assert_eq!(list().await.status, 200);
    set_flags(&app, STAFF, true, false).await;
    list().await.assert_problem(403, "not-activated");
    set_flags(&app, STAFF, false, true).await;
    list().await.assert_problem(403, "not-permitted");
    set_flags(&app, STAFF, true, true).await;
    assert_eq!(list().await.status, 200);

    app.deactivate(STAFF).await;
    list().await.assert_problem(401, "not-authenticated");
    app.activate(STAFF).await;
    list().await.assert_problem(401, "not-authenticated");
    assert!(stored_api_token(&app, row.id).await.revoked_at.is_some());
}

/// K2: the deactivation in a form and a requested deletion of the account revoke its tokens, too.
#[tokio::test]
async fn api_token_is_revoked_with_account() {
    let app = TestApp::new().await;
    let root = super::logged_in_superuser(&app, ROOT).await;
    for (email, is_own) in [("grace@example.com", true), ("linus@example.com", false)] {
        let owner = logged_in_staff(&app, email, "view_users").await;
        let (row, token) = create_api_token(&app, email, "view_users").await;
        if is_own {
            let body = json!({"password": PASSWORD});
            let request = app.request(Method::POST, "/auth/delete_account/");
            let response = app
                .send(request.bearer_auth(&owner.access).json(&body))
                .await;
            assert_eq!(response.status, 202, "{response:?}");
        } else {
            let response = patch(&app, &root, row.user_id, json!({"is_active": false})).await;
            assert_eq!(response.status, 200, "{response:?}");
        }
        let response = get(&app, &token, "/api/admin/users/").await;
        response.assert_problem(401, "not-authenticated");
        assert!(stored_api_token(&app, row.id).await.revoked_at.is_some());
    }
}

/// K2: unknown, malformed, expired and revoked tokens get the same response, and the audit log has one event a minute.
#[tokio::test]
async fn invalid_api_token_returns_401() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "view_users").await;
    let (_, expired) = create_api_token(&app, STAFF, "view_users").await;
    let (row, revoked) = create_api_token(&app, STAFF, "view_users").await;
    app.advance_clock(LIFETIME - TimeDelta::seconds(1));
    assert_eq!(get(&app, &expired, "/api/admin/users/").await.status, 200);
    let now = app.clock.now();
    let ended = api_token::revoke(&app.database.db, row.id, now).await;
    assert!(ended.unwrap());
    let ended = api_token::revoke(&app.database.db, row.id, now).await;
    assert!(!ended.unwrap());
    let mut responses = vec![get(&app, &revoked, "/api/admin/users/").await];
    app.advance_clock(TimeDelta::seconds(1));
    responses.push(get(&app, &expired, "/api/admin/users/").await);
    let text = &revoked.access;
    for bad in [
        "lk_".to_owned(),
        "lk_short".to_owned(),
        format!("lk_{}", "A".repeat(43)),
        format!("{text}="),
        text.to_uppercase(),
        text.replacen("lk_", "", 1),
        text.replacen("lk_", "lk-", 1),
    ] {
        let bad = Tokens {
            access: bad,
            refresh: String::new(),
        };
        responses.push(get(&app, &bad, "/api/admin/users/").await);
    }

    for response in &responses {
        response.assert_problem(401, "not-authenticated");
    }
    assert_same_problems(responses);
    let recorded = events(&app).await;
    let refused: Vec<_> = recorded
        .iter()
        .filter(|it| it.event == "authn_token_fail")
        .collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].detail.as_deref(), Some("API token"));
}

/// K1: API tokens count for `/api/admin/` only.
#[tokio::test]
async fn calls_of_users_refuse_api_tokens() {
    let app = TestApp::new().await;
    app.create_superuser(ROOT).await;
    let token = create_api_token(&app, ROOT, "view_users").await.1;
    let document = description().document();
    let mut count = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let is_public = operation["security"] == json!([]);
            if is_public || path.starts_with("/api/admin/") {
                continue;
            }
            let path = path.replace("{id}", &Uuid::nil().to_string());
            let method = method.to_uppercase().parse().unwrap();
            let response = send(&app, &token, method, &path, Value::Null).await;
            response.assert_problem(401, "not-authenticated");
            count += 1;
        }
    }
    assert!(count >= 9, "{count}");
}

/// What ends the authorization of a request that the server is still receiving.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Revoked,
    PermissionRemoved,
    RoleDeleted,
    Demoted,
    NotActivated,
    Deactivated,
}

/// K1: a change whose token or owner loses the permission while the body arrives is refused.
#[tokio::test]
async fn change_by_api_token_that_loses_permission_is_rejected() {
    use Loss::{Deactivated, Demoted, NotActivated, PermissionRemoved, Revoked, RoleDeleted};
    let app = TestApp::new().await;
    app.register("ada@example.com").await;
    let before = app.user("ada@example.com").await;
    let db = &app.database.db;
    for loss in [
        Revoked,
        PermissionRemoved,
        RoleDeleted,
        Demoted,
        NotActivated,
        Deactivated,
    ] {
        let email = format!("{loss:?}@example.com").to_lowercase();
        let (name, permissions) = (format!("{loss:?}").parse(), "change_users".parse());
        let role = role::insert(db, name.unwrap(), permissions.unwrap()).await;
        let role = role.unwrap().id;
        let is_by_role = matches!(loss, RoleDeleted);
        let own = if is_by_role { "" } else { "change_users" };
        app.create_staff(&email, own).await;
        let (row, token) = create_api_token(&app, &email, "change_users").await;
        if is_by_role {
            let assigned = role::assign_many(db, vec![(row.user_id, role)]).await;
            assigned.unwrap();
        }
        let path = format!("/api/admin/users/{}/", before.id);
        let body = json!({"username": "Eve"});
        let pending = PartialRequest::start(&app, "PATCH", &path, &token.access, &body).await;

        match loss {
            Revoked => {
                let revoked = api_token::revoke(db, row.id, app.clock.now()).await;
                assert!(revoked.unwrap());
            }
            PermissionRemoved => set_permissions(&app, &email, "view_users").await,
            RoleDeleted => assert!(role::delete(db, role).await.unwrap()),
            Demoted => set_flags(&app, &email, false, true).await,
            NotActivated => set_flags(&app, &email, true, false).await,
            Deactivated => app.deactivate(&email).await,
        }

        let answer = pending.finish().await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{loss:?}: {answer}");
        assert_eq!(app.user("ada@example.com").await, before, "{loss:?}");
    }
}

/// K2: the last use is written at most once a minute.
#[tokio::test]
async fn api_token_use_is_recorded_once_a_minute() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "view_users").await;
    let (row, token) = create_api_token(&app, STAFF, "view_users").await;
    assert_eq!(stored_api_token(&app, row.id).await.last_used_at, None);
    let first = app.clock.now();
    for (seconds, expected) in [(0, 0), (59, 0), (1, 60), (30, 60)] {
        app.advance_clock(TimeDelta::seconds(seconds));
        get(&app, &token, "/api/admin/users/").await;
        let used = stored_api_token(&app, row.id).await.last_used_at;
        assert_eq!(
            used,
            Some(first + TimeDelta::seconds(expected)),
            "{seconds}"
        );
    }
    app.statements.take();
    get(&app, &token, "/api/admin/users/").await;
    let statements = app.statements.take();
    assert!(
        !statements.iter().any(|it| it.starts_with("UPDATE")),
        "{statements:?}"
    );
}

/// K3, L1: the audit log names the token of an action and of a refusal, and no session.
#[tokio::test]
async fn actions_by_api_token_name_it_in_audit_log() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "change_users,delete_users,audit")
        .await;
    app.register("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let (row, token) = create_api_token(&app, STAFF, "change_users,audit").await;

    user_action(&app, &token, id, "activate").await;
    delete(&app, &token, id)
        .await
        .assert_problem(403, "not-permitted");

    for (event, actor_name) in [("authz_admin", json!("Ada")), ("authz_fail", Value::Null)] {
        let path = format!("/api/admin/audit/?event={event}");
        let response = get(&app, &token, &path).await;
        let found = &response.body["events"][0];
        assert_eq!(found["actor"], format!("user {}", row.user_id));
        assert_eq!(found["session"], Value::Null);
        let details = &found["details"];
        assert_eq!(details["actor_name"], actor_name, "{found}");
        assert_eq!(details["api_token_id"], row.id.to_string());
        assert_eq!(details["api_token_name"], row.name.to_string());
    }
    execute(&app, "DELETE FROM api_tokens").await.unwrap();
    let auditor = logged_in_staff(&app, "auditor@example.com", "audit").await;
    let response = get(&app, &auditor, "/api/admin/audit/?event=authz_admin").await;
    let details = &response.body["events"][0]["details"];
    assert_eq!(details["api_token_name"], row.name.to_string());
}

/// A token belongs to none of the listed sessions.
#[tokio::test]
async fn sessions_listed_for_api_token_are_not_current() {
    let app = TestApp::new().await;
    app.create_staff(STAFF, "view_users").await;
    app.login(STAFF, PASSWORD).await;
    let (row, token) = create_api_token(&app, STAFF, "view_users").await;
    let path = format!("/api/admin/users/{}/sessions/", row.user_id);
    let response = get(&app, &token, &path).await;
    assert_eq!(response.body[0]["current"], false, "{response:?}");
}

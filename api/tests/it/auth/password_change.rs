//! `POST /auth/change_password/`

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::{
    support::dashboard::{Dashboard, flash_message},
    support::test_app::{ApiResponse, PASSWORD, TestApp},
};

const NEW: &str = "another quiet morning";

async fn change(app: &TestApp, access: &str, password: &str, new: &str) -> ApiResponse {
    let body = json!({"password": password, "new_password": new});
    app.send(
        app.request(Method::POST, "/auth/change_password/")
            .bearer_auth(access)
            .json(&body),
    )
    .await
}

/// P6: A password change ends every session and pending reset, starts a new session and mails the owner.
#[tokio::test]
async fn password_change_ends_all_sessions_and_mails_owner() {
    let app = TestApp::new().await;
    let here = app.logged_in_user("ada@example.com").await;
    let there = app.login("ada@example.com", PASSWORD).await;
    let token = app.request_checked_reset("ada@example.com").await;

    let answer = change(&app, &here.access, PASSWORD, NEW).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    let here = answer.text("/access");
    assert_eq!(app.get_user(&here).await.status, 200);
    app.assert_revoked(&there).await;
    app.reset_password(&token, "yet another morning")
        .await
        .assert_problem(400, "invalid-reset-token");
    app.try_login("ada@example.com", PASSWORD)
        .await
        .assert_problem(401, "invalid-credentials");
    app.login("ada@example.com", NEW).await;
    let last = app.mails_to("ada@example.com").await.pop().unwrap();
    assert!(
        last.subject.to_lowercase().contains("password"),
        "{}",
        last.subject
    );
}

/// P6: A password change with a wrong current password ends no session and sends no mail.
#[tokio::test]
async fn password_change_wrong_current_password_changes_nothing() {
    let app = TestApp::new().await;
    let here = app.logged_in_user("ada@example.com").await;
    let there = app.login("ada@example.com", PASSWORD).await;
    app.deliver_all().await;
    let mails = app.sink.mails().len();

    change(&app, &here.access, "a wrong password", NEW)
        .await
        .assert_problem(400, "wrong-password");

    assert_eq!(app.get_user(&there.access).await.status, 200);
    app.login("ada@example.com", PASSWORD).await;
    app.deliver_all().await;
    assert_eq!(
        app.sink.mails().len(),
        mails,
        "a mail reported a change that did not happen"
    );
}

/// A user who chooses a weak new password gets the reason.
#[tokio::test]
async fn password_change_weak_password_is_rejected_with_reason() {
    let app = TestApp::new().await;
    let here = app.logged_in_user("ada@example.com").await;
    for (new, code) in [
        ("short", "too_short"),
        ("password1", "too_common"),
        ("ada@example.com", "too_similar"),
    ] {
        let answer = change(&app, &here.access, PASSWORD, new).await;
        answer.assert_invalid_field("new_password", code);
    }
}

/// P6: A copied access or refresh token is useless after a password change (ASVS 7.2.4).
#[tokio::test]
async fn password_change_replaces_tokens_of_current_session() {
    for rotation in ["off", "on"] {
        let app = TestApp::with(&[("REFRESH_ROTATION", rotation)]).await;
        let old = app.logged_in_user("ada@example.com").await;
        let mails = app.mails_to("ada@example.com").await.len();

        let answer = change(&app, &old.access, PASSWORD, NEW).await;

        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.keys(), ["access", "refresh"]);
        assert_eq!(answer.headers["cache-control"], "no-store");
        let (access, refresh) = (answer.text("/access"), answer.text("/refresh"));
        app.get_user(&old.access)
            .await
            .assert_problem(401, "not-authenticated");
        for path in ["/auth/refresh/", "/auth/logout/"] {
            app.post(path, json!({"refresh": old.refresh}))
                .await
                .assert_problem(401, "invalid-refresh-token");
        }
        assert_eq!(app.get_user(&access).await.status, 200, "{rotation}");
        let renewed = app.refresh(&refresh).await;
        assert_eq!(renewed.status, 200, "{renewed:?}");
        // The mail about the change, and none about token reuse.
        assert_eq!(app.mails_to("ada@example.com").await.len(), mails + 1);
    }
}

/// P6, S4: The new session keeps the device, the client IP and the expiry of the old one.
#[tokio::test]
async fn password_change_keeps_session_device_and_expiry() {
    let app = TestApp::new().await;
    let old = app.logged_in_user("ada@example.com").await;
    let list = async |access: &str| {
        let request = app.request(Method::GET, "/auth/sessions/");
        app.send(request.bearer_auth(access)).await.body
    };
    let before = list(&old.access).await;
    app.advance_clock(chrono::TimeDelta::seconds(60));

    let answer = change(&app, &old.access, PASSWORD, NEW).await;

    let after = list(&answer.text("/access")).await;
    assert_eq!(after.as_array().unwrap().len(), 1, "{after}");
    assert_ne!(after[0]["id"], before[0]["id"]);
    for member in ["device", "client_ip", "created", "expires", "current"] {
        assert_eq!(after[0][member], before[0][member], "{member}");
    }
}

/// P6, S3: Tokens from refreshes concurrent with a password change are useless after it.
#[tokio::test]
async fn concurrent_refreshes_leave_no_token_after_password_change() {
    for rotation in ["off", "on"] {
        let app = TestApp::with(&[("REFRESH_ROTATION", rotation)]).await;
        let old = app.logged_in_user("ada@example.com").await;
        let refresh = || app.refresh(&old.refresh);

        let (answer, refreshed) = tokio::join!(
            change(&app, &old.access, PASSWORD, NEW),
            join_all((0..20).map(|_| refresh())),
        );

        assert_eq!(answer.status, 200, "{answer:?}");
        for refreshed in refreshed.iter().filter(|it| it.status == 200) {
            app.get_user(&refreshed.text("/access"))
                .await
                .assert_problem(401, "not-authenticated");
            if rotation == "on" {
                let body = json!({"refresh": refreshed.text("/refresh")});
                app.post("/auth/refresh/", body)
                    .await
                    .assert_problem(401, "invalid-refresh-token");
            }
        }
        assert_eq!(app.get_user(&answer.text("/access")).await.status, 200);
        let body = json!({"refresh": answer.text("/refresh")});
        assert_eq!(app.post("/auth/refresh/", body).await.status, 200);
    }
}

/// P6, A4: A copied dashboard cookie is useless after a password change.
#[tokio::test]
async fn dashboard_password_change_replaces_session_cookie() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let page = root.sign_in("root@example.com", PASSWORD).await;
    let old = page.cookie("latchkey_admin").unwrap();
    let mut root = root;
    root.csrf =
        crate::support::dashboard::field_value(&root.get_html("/admin/account/").await, "csrf");

    let page = root
        .post(
            "/admin/account/",
            &[
                ("password", PASSWORD),
                ("new_password", NEW),
                ("password_again", NEW),
            ],
        )
        .await;

    assert_eq!(page.status, 303, "{page:?}");
    let new = page.cookie("latchkey_admin").unwrap();
    assert_ne!(new, old);
    let html = root.get_html("/admin/account/").await;
    assert_eq!(flash_message(&html), "Your password has been changed.");
    let request = app.request(Method::GET, "/admin/account/");
    let answer = app
        .send(request.header("cookie", old.split(';').next().unwrap()))
        .await;
    assert_eq!(answer.status, 303, "{answer:?}");
}

//! `GET /auth/sessions/`, `DELETE /auth/sessions/{id}/`, `POST /auth/logout_all/`.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    auth::login::claims,
    support::test_app::{ApiResponse, PASSWORD, TestApp},
};

/// The `User-Agent` of a browser.
const FIREFOX: &str =
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

async fn list(app: &TestApp, access: &str) -> ApiResponse {
    app.send(
        app.request(Method::GET, "/auth/sessions/")
            .bearer_auth(access),
    )
    .await
}

async fn end(app: &TestApp, access: &str, id: &str) -> ApiResponse {
    app.send(
        app.request(Method::DELETE, &format!("/auth/sessions/{id}/"))
            .bearer_auth(access),
    )
    .await
}

fn sid(access: &str) -> String {
    claims(access)["sid"].as_str().unwrap().to_owned()
}

/// S5: The owner sees each session of the account, with device and client IP.
#[tokio::test]
async fn session_list_shows_sessions_of_the_account() {
    let app = TestApp::new().await;
    let phone = app.logged_in_user("ada@example.com").await;
    app.advance_clock(TimeDelta::minutes(1));
    let request = app
        .request(Method::POST, "/api/login/")
        .header("user-agent", FIREFOX)
        .json(&json!({"email": "ada@example.com", "password": PASSWORD}));
    let desktop = app.send(request).await.text("/token/access");
    app.logged_in_user("other@example.com").await;

    let answer = list(&app, &desktop).await;

    assert_eq!(answer.status, 200);
    let sessions = answer.body.as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{answer:?}");
    let keys: Vec<_> = sessions[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "id",
            "device",
            "device_name",
            "client_ip",
            "created",
            "last_used",
            "expires",
            "current"
        ]
    );
    assert_eq!(sessions[0]["id"], sid(&desktop));
    assert_eq!(sessions[0]["device"], FIREFOX);
    assert_eq!(sessions[0]["device_name"], "Firefox on Linux");
    assert_eq!(sessions[1]["device_name"], Value::Null);
    assert_eq!(sessions[0]["client_ip"], "127.0.0.1");
    assert_eq!(
        (&sessions[0]["current"], &sessions[1]["current"]),
        (&Value::from(true), &Value::from(false))
    );
    assert_eq!(sessions[1]["id"], sid(&phone.access));
}

/// S5: The owner sees when each session began, was last used and expires.
#[tokio::test]
async fn session_list_shows_login_refresh_and_expiry_times() {
    let app = TestApp::with(&[("REFRESH_TOKEN_SECONDS", "86400")]).await;
    let login = app.clock.now();
    let phone = app.logged_in_user("ada@example.com").await;
    app.advance_clock(TimeDelta::minutes(7));
    let refresh = app.clock.now();
    let answer = app.refresh(&phone.refresh).await;
    assert_eq!(answer.status, 200);
    app.advance_clock(TimeDelta::minutes(11));
    let second = app.clock.now();
    let desktop = app.login("ada@example.com", PASSWORD).await;
    app.advance_clock(TimeDelta::minutes(2));

    let answer = list(&app, &desktop.access).await;

    let time = |pointer: &str| answer.text(pointer).parse::<DateTime<Utc>>().unwrap();
    let day = TimeDelta::days(1);
    for (session, created, used) in [(0, second, second), (1, login, refresh)] {
        assert_eq!(time(&format!("/{session}/created")), created, "{answer:?}");
        assert_eq!(time(&format!("/{session}/last_used")), used, "{answer:?}");
        let expires = time(&format!("/{session}/expires"));
        assert_eq!(expires, created + day, "{answer:?}");
    }
}

/// S4, S5: The owner sees no session that has ended by its idle timeout.
#[tokio::test]
async fn session_list_omits_idle_sessions() {
    let app = TestApp::with(&[("SESSION_IDLE_SECONDS", "3600")]).await;
    let idle = app.logged_in_user("ada@example.com").await;
    app.advance_clock(TimeDelta::minutes(59));
    let here = app.login("ada@example.com", PASSWORD).await;
    let listed = async || {
        let answer = list(&app, &here.access).await;
        let sessions = answer.body.as_array().unwrap().clone();
        let ids = sessions
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(listed().await, [sid(&here.access), sid(&idle.access)]);

    app.advance_clock(TimeDelta::minutes(1));

    assert_eq!(listed().await, [sid(&here.access)]);
}

/// S5: The owner can end one session and keep the others.
#[tokio::test]
async fn session_delete_ends_only_that_session() {
    let app = TestApp::new().await;
    let here = app.logged_in_user("ada@example.com").await;
    let there = app.login("ada@example.com", PASSWORD).await;

    assert_eq!(
        end(&app, &here.access, &sid(&there.access)).await.status,
        204
    );

    app.assert_revoked(&there).await;
    assert_eq!(
        list(&app, &here.access)
            .await
            .body
            .as_array()
            .unwrap()
            .len(),
        1
    );
    end(&app, &here.access, &sid(&there.access))
        .await
        .assert_problem(404, "not-found");
}

/// S5: A user can neither end nor detect sessions of another account.
#[tokio::test]
async fn session_delete_of_another_account_returns_404() {
    let app = TestApp::new().await;
    let ada = app.logged_in_user("ada@example.com").await;
    let eve = app.logged_in_user("eve@example.com").await;

    end(&app, &eve.access, &sid(&ada.access))
        .await
        .assert_problem(404, "not-found");
    for nonsense in ["x", "00000000-0000-7000-8000-000000000000", "%00"] {
        end(&app, &eve.access, nonsense)
            .await
            .assert_problem(404, "not-found");
    }
    assert_eq!(app.get_user(&ada.access).await.status, 200);
}

/// S2: The owner can end all sessions of the account, and only those.
#[tokio::test]
async fn logout_all_ends_only_sessions_of_the_account() {
    let app = TestApp::new().await;
    let here = app.logged_in_user("ada@example.com").await;
    let there = app.login("ada@example.com", PASSWORD).await;
    let other = app.logged_in_user("other@example.com").await;

    let answer = app
        .send(
            app.request(Method::POST, "/auth/logout_all/")
                .bearer_auth(&here.access),
        )
        .await;

    assert_eq!(answer.status, 204);
    for tokens in [here, there] {
        app.assert_revoked(&tokens).await;
    }
    assert_eq!(app.get_user(&other.access).await.status, 200);
}

/// A client without a token gets 401 from each endpoint for sessions.
#[tokio::test]
async fn session_endpoints_without_token_return_401() {
    let app = TestApp::new().await;
    for (method, path) in [
        (Method::GET, "/auth/sessions/"),
        (
            Method::DELETE,
            "/auth/sessions/00000000-0000-7000-8000-000000000000/",
        ),
        (Method::POST, "/auth/logout_all/"),
        (Method::POST, "/auth/change_password/"),
    ] {
        app.send(app.request(method, path))
            .await
            .assert_problem(401, "not-authenticated");
    }
}

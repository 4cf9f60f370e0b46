//! `GET /auth/sessions/`, `DELETE /auth/sessions/{id}/`, `POST /auth/logout_all/`.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    auth::login::claims,
    support::test_app::{ApiResponse, PASSWORD, TestApp},
};

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

/// S5
#[tokio::test]
async fn the_owner_sees_where_the_account_is_logged_in() {
    let app = TestApp::new().await;
    let phone = app.logged_in_user("ada@example.com").await;
    app.advance_clock(TimeDelta::minutes(1));
    let request = app
        .request(Method::POST, "/api/login/")
        .header("user-agent", "Desktop/1.0")
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
            "client_ip",
            "created",
            "last_used",
            "expires",
            "current"
        ]
    );
    assert_eq!(sessions[0]["id"], sid(&desktop));
    assert_eq!(sessions[0]["device"], "Desktop/1.0");
    assert_eq!(sessions[0]["client_ip"], "127.0.0.1");
    assert_eq!(
        (&sessions[0]["current"], &sessions[1]["current"]),
        (&Value::from(true), &Value::from(false))
    );
    assert_eq!(sessions[1]["id"], sid(&phone.access));
}

/// S5: when each began, when it was last used and when it ends, by the clock.
#[tokio::test]
async fn the_times_of_a_session_are_those_of_its_login_and_its_last_refresh() {
    let app = TestApp::with(&[("REFRESH_TOKEN_SECONDS", "86400")]).await;
    let login = app.clock.now();
    let phone = app.logged_in_user("ada@example.com").await;
    app.advance_clock(TimeDelta::minutes(7));
    let refresh = app.clock.now();
    let answer = app
        .post("/auth/refresh/", json!({"refresh": phone.refresh}))
        .await;
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

/// S4, S5: what was idle for too long opens nothing any more, and is in no list.
#[tokio::test]
async fn a_session_that_was_idle_for_too_long_is_not_listed() {
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

/// S5
#[tokio::test]
async fn the_owner_ends_one_session_and_the_other_goes_on() {
    let app = TestApp::new().await;
    let here = app.logged_in_user("ada@example.com").await;
    let there = app.login("ada@example.com", PASSWORD).await;

    assert_eq!(
        end(&app, &here.access, &sid(&there.access)).await.status,
        204
    );

    app.get_user(&there.access)
        .await
        .assert_problem(401, "not-authenticated");
    app.post("/auth/refresh/", json!({"refresh": there.refresh}))
        .await
        .assert_problem(401, "invalid-refresh-token");
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

/// S5: what belongs to somebody else is not there.
#[tokio::test]
async fn nobody_ends_the_session_of_another() {
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

/// S2
#[tokio::test]
async fn logging_out_everywhere_ends_every_session_of_the_account_and_of_no_other() {
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
        app.get_user(&tokens.access)
            .await
            .assert_problem(401, "not-authenticated");
        app.post("/auth/refresh/", json!({"refresh": tokens.refresh}))
            .await
            .assert_problem(401, "invalid-refresh-token");
    }
    assert_eq!(app.get_user(&other.access).await.status, 200);
}

#[tokio::test]
async fn without_a_token_none_of_it_works() {
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

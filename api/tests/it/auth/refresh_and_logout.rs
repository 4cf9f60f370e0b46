//! `POST /auth/refresh/`, `POST /auth/logout/`, and the events that revoke a session.

use chrono::TimeDelta;
use latchkey_shared::{
    models::{session, user},
    types::rotation_times::RotationTimes,
};
use reqwest::Method;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, EntityTrait as _};
use serde_json::json;
use uuid::Uuid;

use crate::{
    auth::login::claims,
    support::test_app::{PASSWORD, TestApp, Tokens},
};

fn sid(tokens: &Tokens) -> Uuid {
    let sid = claims(&tokens.access)["sid"].clone();
    sid.as_str().unwrap().parse().unwrap()
}

/// The lookup reads columns by position. Each one must land in the field of its name.
#[tokio::test]
async fn session_lookup_reads_every_column_of_its_user() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    for flag in 0..4 {
        let email = format!("user{flag}@example.com");
        let tokens = app.logged_in_user(&email).await;
        let later = |minutes| app.clock.now() + TimeDelta::minutes(minutes);
        let changed = user::ActiveModel {
            id: Set(app.user(&email).await.id),
            phone_number: Set(Some("+201001234567".parse().unwrap())),
            picture: Set(Some("picture.png".to_owned())),
            date_birth: Set(later(0).date_naive().into()),
            gender: Set(Some("female".parse().unwrap())),
            is_activated: Set(flag == 0),
            is_active: Set(flag == 1),
            is_staff: Set(flag == 2),
            is_superuser: Set(flag == 3),
            last_login_at: Set(Some(later(1))),
            version: Set(7),
            permissions: Set("view_users".parse().unwrap()),
            ..Default::default()
        };
        let user = changed.update(db).await.unwrap();
        let times = RotationTimes::default().with(later(3), TimeDelta::minutes(1));
        let changed = session::ActiveModel {
            id: Set(sid(&tokens)),
            user_agent: Set(Some("Desktop/1.0".to_owned())),
            last_used_at: Set(later(2)),
            rotation_times: Set(times),
            revoked_at: Set(Some(later(4))),
            ..Default::default()
        };
        let session = changed.update(db).await.unwrap();

        let mut found = session::find_many(db, &[session.id]).await.unwrap();

        assert_eq!(found.remove(&session.id), Some((session, user)));
    }
}

/// Without rotation, a client can use its refresh token as often as it needs.
#[tokio::test]
async fn refresh_token_can_be_used_repeatedly() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;

    for body in [
        json!({"refresh": tokens.refresh}),
        json!({"refresh": format!(" {}\n", tokens.refresh)}),
    ] {
        app.advance_clock(TimeDelta::minutes(10));
        let answer = app.post("/auth/refresh/", body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.keys(), ["access"]);
        assert_eq!(
            claims(&answer.text("/access"))["exp"],
            app.clock.now().timestamp() + 300
        );
        assert_eq!(app.get_user(&answer.text("/access")).await.status, 200);
    }
    let form = app
        .request(Method::POST, "/auth/refresh/")
        .form(&[("refresh", &tokens.refresh)]);
    assert_eq!(app.send(form).await.status, 200);
}

/// S1: An access token cannot be refreshed, and a refresh token gives no access.
#[tokio::test]
async fn access_and_refresh_tokens_are_not_interchangeable() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;

    app.refresh(&tokens.access)
        .await
        .assert_problem(401, "invalid-refresh-token");
    app.get_user(&tokens.refresh)
        .await
        .assert_problem(401, "not-authenticated");
}

/// S2: A correctly signed refresh token is rejected unless the session knows its `jti`.
#[tokio::test]
async fn refresh_token_with_another_jti_is_rejected() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let mut claims = claims(&tokens.refresh);
    claims["jti"] = json!("0".repeat(32));
    let forged = app.refresh_key().sign(&claims);

    app.refresh(&forged)
        .await
        .assert_problem(401, "invalid-refresh-token");
}

/// S2: A leaked database contains no usable refresh token.
#[tokio::test]
async fn refresh_token_is_stored_only_as_hash() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let secret = claims(&tokens.refresh)["jti"].as_str().unwrap().to_owned();

    let rows = session::Entity::find().all(&app.database.db).await.unwrap();

    assert_eq!(rows.len(), 1);
    assert!(!format!("{rows:?}").contains(&secret));
}

/// S2: A logout revokes the tokens of its session at once and keeps other sessions.
#[tokio::test]
async fn logout_ends_only_its_own_session() {
    let app = TestApp::new().await;
    let here = app.logged_in_user("ada@example.com").await;
    let there = app.login("ada@example.com", PASSWORD).await;

    let answer = app
        .post("/auth/logout/", json!({"refresh": here.refresh}))
        .await;

    assert_eq!(answer.status, 204);
    app.assert_revoked(&here).await;
    app.post("/auth/logout/", json!({"refresh": here.refresh}))
        .await
        .assert_problem(401, "invalid-refresh-token");
    assert_eq!(app.get_user(&there.access).await.status, 200);
}

/// S2: The tokens of a deactivated account are useless at once.
#[tokio::test]
async fn deactivation_revokes_tokens_at_once() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;

    app.deactivate("ada@example.com").await;

    app.assert_revoked(&tokens).await;
}

/// S2: The tokens of a deleted account are useless at once.
#[tokio::test]
async fn account_deletion_revokes_tokens_at_once() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;

    latchkey_shared::models::user::Entity::delete_by_id(id)
        .exec(&app.database.db)
        .await
        .unwrap();

    app.assert_revoked(&tokens).await;
}

/// S1, S4: Tokens expire without leeway.
#[tokio::test]
async fn tokens_expire_at_their_exact_second() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;

    app.advance_clock(TimeDelta::seconds(299));
    assert_eq!(app.get_user(&tokens.access).await.status, 200);
    app.advance_clock(TimeDelta::seconds(1));
    app.get_user(&tokens.access)
        .await
        .assert_problem(401, "not-authenticated");

    app.advance_clock(TimeDelta::days(10) - TimeDelta::seconds(301));
    assert_eq!(app.refresh(&tokens.refresh).await.status, 200);
    app.advance_clock(TimeDelta::seconds(1));
    app.refresh(&tokens.refresh)
        .await
        .assert_problem(401, "invalid-refresh-token");
}

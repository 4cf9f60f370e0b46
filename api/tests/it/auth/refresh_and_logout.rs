//! `POST /auth/refresh/`, `POST /auth/logout/`, and what ends a session.

use chrono::TimeDelta;
use latchkey_shared::models::{session, user};
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

/// The look-up takes its columns by their places; by their names they are the same.
#[tokio::test]
async fn a_session_is_found_with_its_user_column_by_column() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    for flag in 0..4 {
        let email = format!("user{flag}@example.com");
        let tokens = app.logged_in_user(&email).await;
        let another = sid(&app.login(&email, PASSWORD).await);
        let another = session::Entity::find_by_id(another).one(db).await;
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
        let changed = session::ActiveModel {
            id: Set(sid(&tokens)),
            user_agent: Set(Some("Desktop/1.0".to_owned())),
            last_used_at: Set(later(2)),
            previous_hash: Set(Some(another.unwrap().unwrap().secret_hash)),
            rotated_at: Set(Some(later(3))),
            revoked_at: Set(Some(later(4))),
            ..Default::default()
        };
        let session = changed.update(db).await.unwrap();

        let mut found = session::find_many(db, &[session.id]).await.unwrap();

        assert_eq!(found.remove(&session.id), Some((session, user)));
    }
}

#[tokio::test]
async fn a_refresh_token_gives_access_tokens_again_and_again() {
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

/// S1: the one kind of token is never taken for the other.
#[tokio::test]
async fn an_access_token_refreshes_nothing_and_a_refresh_token_opens_nothing() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;

    app.post("/auth/refresh/", json!({"refresh": tokens.access}))
        .await
        .assert_problem(401, "invalid-refresh-token");
    app.get_user(&tokens.refresh)
        .await
        .assert_problem(401, "not-authenticated");
}

/// S2: the signature alone does not do; the session has to know this very token.
#[tokio::test]
async fn a_refresh_token_of_the_session_that_is_not_its_own_is_refused() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let mut claims = claims(&tokens.refresh);
    claims["jti"] = json!("0".repeat(32));
    let forged = crate::auth::access_token::signed(&claims);

    app.post("/auth/refresh/", json!({"refresh": forged}))
        .await
        .assert_problem(401, "invalid-refresh-token");
}

/// S2: at rest there is a hash and no token.
#[tokio::test]
async fn the_database_holds_the_hash_of_a_refresh_token_and_not_the_token() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let secret = claims(&tokens.refresh)["jti"].as_str().unwrap().to_owned();

    let rows = session::Entity::find().all(&app.database.db).await.unwrap();

    assert_eq!(rows.len(), 1);
    assert!(!format!("{rows:?}").contains(&secret));
}

/// S2
#[tokio::test]
async fn a_logout_ends_its_session_at_once_and_no_other() {
    let app = TestApp::new().await;
    let here = app.logged_in_user("ada@example.com").await;
    let there = app.login("ada@example.com", PASSWORD).await;

    let answer = app
        .post("/auth/logout/", json!({"refresh": here.refresh}))
        .await;

    assert_eq!(answer.status, 204);
    app.get_user(&here.access)
        .await
        .assert_problem(401, "not-authenticated");
    app.post("/auth/refresh/", json!({"refresh": here.refresh}))
        .await
        .assert_problem(401, "invalid-refresh-token");
    app.post("/auth/logout/", json!({"refresh": here.refresh}))
        .await
        .assert_problem(401, "invalid-refresh-token");
    assert_eq!(app.get_user(&there.access).await.status, 200);
}

/// S2
#[tokio::test]
async fn shutting_an_account_ends_its_tokens_at_once() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;

    app.deactivate("ada@example.com").await;

    app.get_user(&tokens.access)
        .await
        .assert_problem(401, "not-authenticated");
    app.post("/auth/refresh/", json!({"refresh": tokens.refresh}))
        .await
        .assert_problem(401, "invalid-refresh-token");
}

/// S2: with the user its sessions go.
#[tokio::test]
async fn deleting_an_account_ends_its_tokens_at_once() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;

    latchkey_shared::models::user::Entity::delete_by_id(id)
        .exec(&app.database.db)
        .await
        .unwrap();

    app.get_user(&tokens.access)
        .await
        .assert_problem(401, "not-authenticated");
    app.post("/auth/refresh/", json!({"refresh": tokens.refresh}))
        .await
        .assert_problem(401, "invalid-refresh-token");
}

/// S1, S4: no leeway at either end.
#[tokio::test]
async fn tokens_count_until_their_second_and_not_in_it() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;

    app.advance_clock(TimeDelta::seconds(299));
    assert_eq!(app.get_user(&tokens.access).await.status, 200);
    app.advance_clock(TimeDelta::seconds(1));
    app.get_user(&tokens.access)
        .await
        .assert_problem(401, "not-authenticated");

    app.advance_clock(TimeDelta::days(10) - TimeDelta::seconds(301));
    assert_eq!(
        app.post("/auth/refresh/", json!({"refresh": tokens.refresh}))
            .await
            .status,
        200
    );
    app.advance_clock(TimeDelta::seconds(1));
    app.post("/auth/refresh/", json!({"refresh": tokens.refresh}))
        .await
        .assert_problem(401, "invalid-refresh-token");
}

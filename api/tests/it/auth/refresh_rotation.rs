//! Refresh tokens that are replaced when they are used (S3), and sessions that were idle for too long (S4).

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::models::audit::{self, EventKind};
use serde_json::json;

use crate::support::test_app::{ApiResponse, PASSWORD, TestApp};

async fn rotating() -> TestApp {
    TestApp::with(&[("REFRESH_ROTATION", "on")]).await
}

async fn refresh(app: &TestApp, token: &str) -> ApiResponse {
    app.post("/auth/refresh/", json!({"refresh": token})).await
}

/// S3
#[tokio::test]
async fn each_use_gives_a_new_token_and_the_chain_goes_on() {
    let app = rotating().await;
    let mut token = app.logged_in_user("ada@example.com").await.refresh;
    for _ in 0..5 {
        app.advance_clock(TimeDelta::minutes(5));
        let answer = refresh(&app, &token).await;
        assert_eq!(
            (answer.status.as_u16(), answer.keys()),
            (200, vec!["access", "refresh"])
        );
        assert_eq!(app.get_user(&answer.text("/access")).await.status, 200);
        assert_ne!(answer.text("/refresh"), token);
        token = answer.text("/refresh");
    }
}

/// S3: the session ends when it would have, however often it was refreshed.
#[tokio::test]
async fn rotation_does_not_prolong_a_session() {
    let app = rotating().await;
    let first = app.logged_in_user("ada@example.com").await.refresh;
    app.advance_clock(TimeDelta::days(9));
    let second = refresh(&app, &first).await.text("/refresh");
    app.advance_clock(TimeDelta::days(1));
    refresh(&app, &second)
        .await
        .assert_problem(401, "invalid-refresh-token");
}

/// S3: a hundred at once give one successor and no logout.
#[tokio::test]
async fn a_hundred_refreshes_at_once_give_one_successor_and_no_logout() {
    let app = rotating().await;
    let token = app.logged_in_user("ada@example.com").await.refresh;

    let answers = join_all((0..100).map(|_| refresh(&app, &token))).await;

    let successors: std::collections::HashSet<_> = answers
        .iter()
        .map(|answer| answer.text("/refresh"))
        .collect();
    assert_eq!(successors.len(), 1, "{successors:?}");
    let successor = successors.into_iter().next().unwrap();
    assert_eq!(refresh(&app, &successor).await.status, 200);
}

/// S3: a replay inside the window returns the same successor.
#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again() {
    let app = rotating().await;
    let token = app.logged_in_user("ada@example.com").await.refresh;
    let successor = refresh(&app, &token).await.text("/refresh");
    app.advance_clock(TimeDelta::seconds(9));
    assert_eq!(refresh(&app, &token).await.text("/refresh"), successor);
}

/// S3: after the window it ends the whole family, the thief's and the owner's tokens alike, and mails the owner once.
#[tokio::test]
async fn a_replay_after_the_window_ends_the_session_and_mails_the_owner() {
    let app = rotating().await;
    let stolen = app.logged_in_user("ada@example.com").await;
    let elsewhere = app.login("ada@example.com", PASSWORD).await;
    let newer = refresh(&app, &stolen.refresh).await;
    app.advance_clock(TimeDelta::seconds(10));

    for _ in 0..2 {
        refresh(&app, &stolen.refresh)
            .await
            .assert_problem(401, "invalid-refresh-token");
    }

    refresh(&app, &newer.text("/refresh"))
        .await
        .assert_problem(401, "invalid-refresh-token");
    app.get_user(&newer.text("/access"))
        .await
        .assert_problem(401, "not-authenticated");
    assert_eq!(
        app.get_user(&elsewhere.access).await.status,
        200,
        "another session ended, too"
    );
    let told = app.mails_to("ada@example.com").await;
    assert_eq!(
        told.iter()
            .filter(|mail| mail.subject.contains("logged out"))
            .count(),
        1
    );
}

/// S3: also the token before the one before is a replay, at once.
#[tokio::test]
async fn an_older_token_has_no_window() {
    let app = rotating().await;
    let first = app.logged_in_user("ada@example.com").await.refresh;
    let second = refresh(&app, &first).await.text("/refresh");
    let third = refresh(&app, &second).await.text("/refresh");
    refresh(&app, &first)
        .await
        .assert_problem(401, "invalid-refresh-token");
    refresh(&app, &third)
        .await
        .assert_problem(401, "invalid-refresh-token");
}

/// S4: the idle life time is configurable, and a refresh is what counts as use.
#[tokio::test]
async fn a_session_that_was_idle_for_too_long_has_ended() {
    let app = TestApp::with(&[("SESSION_IDLE_SECONDS", "3600")]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    for _ in 0..3 {
        app.advance_clock(TimeDelta::minutes(59));
        assert_eq!(refresh(&app, &tokens.refresh).await.status, 200);
    }
    app.advance_clock(TimeDelta::hours(1));
    refresh(&app, &tokens.refresh)
        .await
        .assert_problem(401, "invalid-refresh-token");
}

/// S3: whoever never got the new token can leave with the old one; later that is a replay, which ends the session, too.
#[tokio::test]
async fn a_logout_with_the_old_token_ends_the_session_within_the_window_and_after_it() {
    let app = rotating().await;
    app.register("ada@example.com").await;
    app.activate("ada@example.com").await;
    for (passed, status, told) in [(9, 204, 0), (10, 401, 1)] {
        let old = app.login("ada@example.com", PASSWORD).await.refresh;
        let newer = refresh(&app, &old).await;
        app.advance_clock(TimeDelta::seconds(passed));

        for _ in 0..2 {
            let answer = app.post("/auth/logout/", json!({"refresh": old})).await;
            assert!(
                answer.status == status || answer.status == 401,
                "{answer:?}"
            );
        }

        app.get_user(&newer.text("/access"))
            .await
            .assert_problem(401, "not-authenticated");
        let mails = app.mails_to("ada@example.com").await;
        let replays = mails.iter().filter(|it| it.subject.contains("logged out"));
        assert_eq!(replays.count(), told);
        let log = audit::list(&app.database.db, audit::Filter::default(), 10).await;
        let ends: Vec<_> = log.unwrap().into_iter().map(|it| it.event).collect();
        let kind = if told == 0 {
            EventKind::TokenRevoked
        } else {
            EventKind::TokenReuse
        };
        assert!(ends.contains(&kind.as_str().to_owned()), "{ends:?}");
    }
}

//! Rotation of refresh tokens (S3) and idle timeouts of sessions (S4).

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::models::audit::{self, EventKind};
use serde_json::json;

use crate::support::test_app::{PASSWORD, TestApp};

async fn start_rotating() -> TestApp {
    TestApp::with(&[("REFRESH_ROTATION", "on")]).await
}

/// S3: Each refresh replaces the refresh token.
#[tokio::test]
async fn rotating_refresh_returns_a_new_token_each_time() {
    let app = start_rotating().await;
    let mut token = app.logged_in_user("ada@example.com").await.refresh;
    for _ in 0..5 {
        app.advance_clock(TimeDelta::minutes(5));
        let answer = app.refresh(&token).await;
        assert_eq!(
            (answer.status.as_u16(), answer.keys()),
            (200, vec!["access", "refresh"])
        );
        assert_eq!(app.get_user(&answer.text("/access")).await.status, 200);
        assert_ne!(answer.text("/refresh"), token);
        token = answer.text("/refresh");
    }
}

/// S3: Refreshes do not extend the absolute lifetime of a session.
#[tokio::test]
async fn rotation_does_not_extend_session_expiry() {
    let app = start_rotating().await;
    let first = app.logged_in_user("ada@example.com").await.refresh;
    app.advance_clock(TimeDelta::days(9));
    let second = app.refresh(&first).await.text("/refresh");
    app.advance_clock(TimeDelta::days(1));
    app.refresh(&second)
        .await
        .assert_problem(401, "invalid-refresh-token");
}

/// S3: A client that refreshes 100 times concurrently gets one new token and stays logged in.
#[tokio::test]
async fn concurrent_refreshes_return_one_successor() {
    let app = start_rotating().await;
    let token = app.logged_in_user("ada@example.com").await.refresh;

    let answers = join_all((0..100).map(|_| app.refresh(&token))).await;

    let successors: std::collections::HashSet<_> = answers
        .iter()
        .map(|answer| answer.text("/refresh"))
        .collect();
    assert_eq!(successors.len(), 1, "{successors:?}");
    let successor = successors.into_iter().next().unwrap();
    assert_eq!(app.refresh(&successor).await.status, 200);
}

/// S3: A client that lost the response can repeat its refresh within the window.
#[tokio::test]
async fn refresh_reuse_within_window_returns_same_successor() {
    let app = start_rotating().await;
    let token = app.logged_in_user("ada@example.com").await.refresh;
    let successor = app.refresh(&token).await.text("/refresh");
    app.advance_clock(TimeDelta::seconds(9));
    assert_eq!(app.refresh(&token).await.text("/refresh"), successor);
}

/// S3: A reuse after the window revokes the thief's and the owner's tokens and mails the owner once.
#[tokio::test]
async fn refresh_reuse_after_window_ends_session_mails_owner() {
    let app = start_rotating().await;
    let stolen = app.logged_in_user("ada@example.com").await;
    let elsewhere = app.login("ada@example.com", PASSWORD).await;
    let newer = app.refresh(&stolen.refresh).await;
    app.advance_clock(TimeDelta::seconds(10));

    for _ in 0..2 {
        app.refresh(&stolen.refresh)
            .await
            .assert_problem(401, "invalid-refresh-token");
    }

    app.refresh(&newer.text("/refresh"))
        .await
        .assert_problem(401, "invalid-refresh-token");
    app.get_user(&newer.text("/access"))
        .await
        .assert_problem(401, "not-authenticated");
    assert_eq!(
        app.get_user(&elsewhere.access).await.status,
        200,
        "another session ended"
    );
    let mails = app.mails_to("ada@example.com").await;
    assert_eq!(
        mails
            .iter()
            .filter(|mail| mail.subject.contains("logged out"))
            .count(),
        1
    );
}

/// S3: Every token that was replaced within the window returns the current one, so that several tabs can refresh in turn.
#[tokio::test]
async fn tokens_replaced_within_window_return_current_token() {
    let app = start_rotating().await;
    let first = app.logged_in_user("ada@example.com").await.refresh;
    let second = app.refresh(&first).await.text("/refresh");
    app.advance_clock(TimeDelta::seconds(3));
    let third = app.refresh(&second).await.text("/refresh");
    app.advance_clock(TimeDelta::seconds(3));
    let fourth = app.refresh(&third).await.text("/refresh");
    app.advance_clock(TimeDelta::seconds(3));
    for old in [&first, &second, &third, &first] {
        let answer = app.refresh(old).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text("/refresh")),
            (200, fourth.clone())
        );
        assert_eq!(app.get_user(&answer.text("/access")).await.status, 200);
    }
    let fifth = app.refresh(&fourth).await.text("/refresh");
    assert_eq!(app.refresh(&first).await.text("/refresh"), fifth);

    // The first token was replaced 10 seconds ago, and the second 7.
    app.advance_clock(TimeDelta::seconds(1));
    assert_eq!(app.refresh(&second).await.text("/refresh"), fifth);
    for ended in [&first, &second, &fifth] {
        app.refresh(ended)
            .await
            .assert_problem(401, "invalid-refresh-token");
    }
    let mails = app.mails_to("ada@example.com").await;
    let notices = mails.iter().filter(|it| it.subject.contains("logged out"));
    assert_eq!(notices.count(), 1);
}

/// S3: The number of replaced tokens that are accepted is bounded. An older one ends the session.
#[tokio::test]
async fn seventeenth_replaced_token_within_window_ends_session() {
    let app = start_rotating().await;
    let mut tokens = vec![app.logged_in_user("ada@example.com").await.refresh];
    for _ in 0..17 {
        let newer = app.refresh(&tokens[tokens.len() - 1]).await;
        tokens.push(newer.text("/refresh"));
    }
    assert_eq!(app.refresh(&tokens[1]).await.text("/refresh"), tokens[17]);
    for ended in [&tokens[0], &tokens[17]] {
        app.refresh(ended)
            .await
            .assert_problem(401, "invalid-refresh-token");
    }
}

/// S4: A session ends after the configured idle time. Each refresh counts as use.
#[tokio::test]
async fn session_idle_for_too_long_is_ended() {
    let app = TestApp::with(&[("SESSION_IDLE_SECONDS", "3600")]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    for _ in 0..3 {
        app.advance_clock(TimeDelta::minutes(59));
        assert_eq!(app.refresh(&tokens.refresh).await.status, 200);
    }
    app.advance_clock(TimeDelta::hours(1));
    app.refresh(&tokens.refresh)
        .await
        .assert_problem(401, "invalid-refresh-token");
}

/// S3: A client that never got the new token can log out with the old one. After the window this is a reuse.
#[tokio::test]
async fn logout_with_replaced_token_ends_session() {
    let app = start_rotating().await;
    app.register("ada@example.com").await;
    app.activate("ada@example.com").await;
    for (passed, status, mail_count) in [(9, 204, 0), (10, 401, 1)] {
        let old = app.login("ada@example.com", PASSWORD).await.refresh;
        let newer = app.refresh(&old).await;
        let newer = app.refresh(&newer.text("/refresh")).await;
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
        let notices = mails.iter().filter(|it| it.subject.contains("logged out"));
        assert_eq!(notices.count(), mail_count);
        let log = audit::list(&app.database.db, audit::Filter::default(), 10).await;
        let ends: Vec<_> = log.unwrap().into_iter().map(|it| it.event).collect();
        let kind = if mail_count == 0 {
            EventKind::TokenRevoked
        } else {
            EventKind::TokenReuse
        };
        assert!(ends.contains(&kind.as_str().to_owned()), "{ends:?}");
    }
}

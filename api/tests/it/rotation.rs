//! Refresh tokens that are replaced when they are used (S3), and sessions that were idle for too long (S4).

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::models::audit::{self, EventKind};
use serde_json::json;

use crate::world::{Answer, PASSWORD, World};

async fn rotating() -> World {
    World::with(&[("REFRESH_ROTATION", "on")]).await
}

async fn refresh(world: &World, token: &str) -> Answer {
    world
        .post("/auth/refresh/", json!({"refresh": token}))
        .await
}

/// S3
#[tokio::test]
async fn each_use_gives_a_new_token_and_the_chain_goes_on() {
    let world = rotating().await;
    let mut token = world.somebody("ada@example.com").await.refresh;
    for _ in 0..5 {
        world.pass(TimeDelta::minutes(5));
        let answer = refresh(&world, &token).await;
        assert_eq!(
            (answer.status.as_u16(), answer.keys()),
            (200, vec!["access", "refresh"])
        );
        assert_eq!(world.get_user(&answer.text("/access")).await.status, 200);
        assert_ne!(answer.text("/refresh"), token);
        token = answer.text("/refresh");
    }
}

/// S3: the session ends when it would have, however often it was refreshed.
#[tokio::test]
async fn rotation_does_not_prolong_a_session() {
    let world = rotating().await;
    let first = world.somebody("ada@example.com").await.refresh;
    world.pass(TimeDelta::days(9));
    let second = refresh(&world, &first).await.text("/refresh");
    world.pass(TimeDelta::days(1));
    refresh(&world, &second)
        .await
        .is_problem(401, "invalid-refresh-token");
}

/// S3: a hundred at once give one successor and no logout.
#[tokio::test]
async fn a_hundred_refreshes_at_once_give_one_successor_and_no_logout() {
    let world = rotating().await;
    let token = world.somebody("ada@example.com").await.refresh;

    let answers = join_all((0..100).map(|_| refresh(&world, &token))).await;

    let successors: std::collections::HashSet<_> = answers
        .iter()
        .map(|answer| answer.text("/refresh"))
        .collect();
    assert_eq!(successors.len(), 1, "{successors:?}");
    let successor = successors.into_iter().next().unwrap();
    assert_eq!(refresh(&world, &successor).await.status, 200);
}

/// S3: a replay inside the window returns the same successor.
#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again() {
    let world = rotating().await;
    let token = world.somebody("ada@example.com").await.refresh;
    let successor = refresh(&world, &token).await.text("/refresh");
    world.pass(TimeDelta::seconds(9));
    assert_eq!(refresh(&world, &token).await.text("/refresh"), successor);
}

/// S3: after the window it ends the whole family, the thief's and the owner's tokens alike, and mails the owner once.
#[tokio::test]
async fn a_replay_after_the_window_ends_the_session_and_mails_the_owner() {
    let world = rotating().await;
    let stolen = world.somebody("ada@example.com").await;
    let elsewhere = world.login("ada@example.com", PASSWORD).await;
    let newer = refresh(&world, &stolen.refresh).await;
    world.pass(TimeDelta::seconds(10));

    for _ in 0..2 {
        refresh(&world, &stolen.refresh)
            .await
            .is_problem(401, "invalid-refresh-token");
    }

    refresh(&world, &newer.text("/refresh"))
        .await
        .is_problem(401, "invalid-refresh-token");
    world
        .get_user(&newer.text("/access"))
        .await
        .is_problem(401, "not-authenticated");
    assert_eq!(
        world.get_user(&elsewhere.access).await.status,
        200,
        "another session ended, too"
    );
    let told = world.mails_to("ada@example.com").await;
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
    let world = rotating().await;
    let first = world.somebody("ada@example.com").await.refresh;
    let second = refresh(&world, &first).await.text("/refresh");
    let third = refresh(&world, &second).await.text("/refresh");
    refresh(&world, &first)
        .await
        .is_problem(401, "invalid-refresh-token");
    refresh(&world, &third)
        .await
        .is_problem(401, "invalid-refresh-token");
}

/// S4: the idle life time is configurable, and a refresh is what counts as use.
#[tokio::test]
async fn a_session_that_was_idle_for_too_long_has_ended() {
    let world = World::with(&[("SESSION_IDLE_SECONDS", "3600")]).await;
    let tokens = world.somebody("ada@example.com").await;
    for _ in 0..3 {
        world.pass(TimeDelta::minutes(59));
        assert_eq!(refresh(&world, &tokens.refresh).await.status, 200);
    }
    world.pass(TimeDelta::hours(1));
    refresh(&world, &tokens.refresh)
        .await
        .is_problem(401, "invalid-refresh-token");
}

/// S3: whoever never got the new token can leave with the old one; later that is a replay, which ends the session, too.
#[tokio::test]
async fn a_logout_with_the_old_token_ends_the_session_within_the_window_and_after_it() {
    let world = rotating().await;
    world.register("ada@example.com").await;
    world.activate("ada@example.com").await;
    for (passed, status, told) in [(9, 204, 0), (10, 401, 1)] {
        let old = world.login("ada@example.com", PASSWORD).await.refresh;
        let newer = refresh(&world, &old).await;
        world.pass(TimeDelta::seconds(passed));

        for _ in 0..2 {
            let answer = world.post("/auth/logout/", json!({"refresh": old})).await;
            assert!(
                answer.status == status || answer.status == 401,
                "{answer:?}"
            );
        }

        world
            .get_user(&newer.text("/access"))
            .await
            .is_problem(401, "not-authenticated");
        let mails = world.mails_to("ada@example.com").await;
        let replays = mails.iter().filter(|it| it.subject.contains("logged out"));
        assert_eq!(replays.count(), told);
        let log = audit::list(&world.database.db, audit::Filter::default(), 10).await;
        let ends: Vec<_> = log.unwrap().into_iter().map(|it| it.event).collect();
        let kind = if told == 0 {
            EventKind::TokenRevoked
        } else {
            EventKind::TokenReuse
        };
        assert!(ends.contains(&kind.as_str().to_owned()), "{ends:?}");
    }
}

//! `POST /auth/change_password/`

use reqwest::Method;
use serde_json::json;

use crate::world::{Answer, PASSWORD, World};

const NEW: &str = "another quiet morning";

async fn change(world: &World, access: &str, password: &str, new: &str) -> Answer {
    let body = json!({"password": password, "new_password": new});
    world
        .send(
            world
                .request(Method::POST, "/auth/change_password/")
                .bearer_auth(access)
                .json(&body),
        )
        .await
}

/// P6: it needs the current password, ends every other session, and mails a notice.
#[tokio::test]
async fn a_change_ends_the_other_sessions_keeps_this_one_and_mails_the_owner() {
    let world = World::new().await;
    let here = world.somebody("ada@example.com").await;
    let there = world.login("ada@example.com", PASSWORD).await;
    let (token, code) = world.forgotten("ada@example.com").await;
    assert_eq!(world.check(&token, &code).await.status, 200);

    let answer = change(&world, &here.access, PASSWORD, NEW).await;

    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(world.get_user(&here.access).await.status, 200);
    world
        .get_user(&there.access)
        .await
        .is_problem(401, "not-authenticated");
    world
        .post("/auth/refresh/", json!({"refresh": there.refresh}))
        .await
        .is_problem(401, "invalid-refresh-token");
    world
        .reset(&token, "yet another morning")
        .await
        .is_problem(400, "invalid-reset-token");
    world
        .try_login("ada@example.com", PASSWORD)
        .await
        .is_problem(401, "invalid-credentials");
    world.login("ada@example.com", NEW).await;
    let last = world.mails_to("ada@example.com").await.pop().unwrap();
    assert!(
        last.subject.to_lowercase().contains("password"),
        "{}",
        last.subject
    );
}

/// P6
#[tokio::test]
async fn without_the_current_password_nothing_changes() {
    let world = World::new().await;
    let here = world.somebody("ada@example.com").await;
    let there = world.login("ada@example.com", PASSWORD).await;
    world.deliver_all().await;
    let mails = world.sink.mails().len();

    change(&world, &here.access, "a wrong password", NEW)
        .await
        .is_problem(400, "wrong-password");

    assert_eq!(world.get_user(&there.access).await.status, 200);
    world.login("ada@example.com", PASSWORD).await;
    world.deliver_all().await;
    assert_eq!(
        world.sink.mails().len(),
        mails,
        "a notice was sent of what did not happen"
    );
}

#[tokio::test]
async fn a_weak_new_password_is_refused_with_the_reason() {
    let world = World::new().await;
    let here = world.somebody("ada@example.com").await;
    for (new, code) in [
        ("short", "too_short"),
        ("password1", "too_common"),
        ("ada@example.com", "too_similar"),
    ] {
        let answer = change(&world, &here.access, PASSWORD, new).await;
        answer.is_problem(400, "invalid-input");
        assert_eq!(
            answer.bad_fields(),
            [("new_password".to_owned(), code.to_owned())]
        );
    }
}

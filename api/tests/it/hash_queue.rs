//! P5: passwords that wait keep nobody waiting but those who come with one.

use std::thread::available_parallelism;

use futures_util::{StreamExt as _, stream::FuturesUnordered};

use crate::world::World;

/// Each hash takes a thousand times as long as one should, so that the queue is full for long. No answer of a login can
/// come before those of the profile then, unless it was refused.
#[tokio::test]
async fn with_the_hash_queue_full_a_login_is_503_and_a_profile_is_answered() {
    let mut world = World::new().await;
    let me = world.somebody("ada@example.com").await;
    for (key, value) in [
        ("BIND", "127.0.0.1:0"),
        ("ARGON2_MEMORY_KIB", "19456"),
        ("ARGON2_ITERATIONS", "1000"),
        ("HASH_QUEUE_SECONDS", "1"),
    ] {
        world.variables.insert(key.to_owned(), value.to_owned());
    }
    let mut process = world.process(&["serve"]);
    let line = process.wait_for_line("Latchkey serves.").await;
    world.base = format!("http://{}", line.rsplit("address=").next().unwrap().trim());
    let cores = available_parallelism().unwrap().get();

    let mut logins: FuturesUnordered<_> = (0..cores + 3)
        .map(|number| {
            let email = format!("nobody{number}@example.com");
            let world = &world;
            async move { world.try_login(&email, "a wrong password").await }
        })
        .collect();
    // The first that is answered is one that waited in vain; those before it are still being hashed.
    let mut refused = vec![logins.next().await.unwrap()];
    let mut read = 0;
    while read < 3 || refused.len() < 3 {
        tokio::select! {
            profile = world.get_user(&me.access) => {
                assert_eq!(profile.status, 200, "{profile:?}");
                read += 1;
            }
            Some(login) = logins.next() => refused.push(login),
        }
    }
    for login in refused {
        login.is_problem(503, "busy");
        assert!(login.headers.contains_key("retry-after"), "{login:?}");
    }
    process.kill().await;
}

//! P5: queued password hashes delay only requests with a password.

use std::thread::available_parallelism;

use futures_util::{StreamExt as _, stream::FuturesUnordered};

use crate::support::test_app::TestApp;

/// P5: requests without a password are served while the hash queue is full. Each hash takes a thousand times as long as usual,
/// so a login that is answered before the profile was refused.
#[tokio::test]
async fn full_hash_queue_logins_return_503_profiles_work() {
    let mut app = TestApp::new().await;
    let me = app.logged_in_user("ada@example.com").await;
    for (key, value) in [
        ("ARGON2_MEMORY_KIB", "19456"),
        ("ARGON2_ITERATIONS", "1000"),
        ("HASH_QUEUE_SECONDS", "1"),
    ] {
        app.set(key, value);
    }
    let mut process = app.serve().await;
    let cores = available_parallelism().unwrap().get();

    let mut logins: FuturesUnordered<_> = (0..cores + 3)
        .map(|number| {
            let email = format!("unknown{number}@example.com");
            let app = &app;
            async move { app.try_login(&email, "a wrong password").await }
        })
        .collect();
    // The first answer goes to a login that timed out in the queue. Earlier logins are still being hashed.
    let mut refused = vec![logins.next().await.unwrap()];
    let mut profiles = 0;
    while profiles < 3 || refused.len() < 3 {
        tokio::select! {
            profile = app.get_user(&me.access) => {
                assert_eq!(profile.status, 200, "{profile:?}");
                profiles += 1;
            }
            Some(login) = logins.next() => refused.push(login),
        }
    }
    for login in refused {
        login.assert_problem(503, "busy");
        assert!(login.headers.contains_key("retry-after"), "{login:?}");
    }
    process.kill().await;
}

//! P5: passwords that wait keep nobody waiting but those who come with one.

use std::thread::available_parallelism;

use futures_util::{StreamExt as _, stream::FuturesUnordered};

use crate::support::test_app::TestApp;

/// Each hash takes a thousand times as long as one should, so that the queue is full for long. No answer of a login can
/// come before those of the profile then, unless it was refused.
#[tokio::test]
async fn full_hash_queue_logins_return_503_profiles_work() {
    let mut app = TestApp::new().await;
    let me = app.logged_in_user("ada@example.com").await;
    for (key, value) in [
        ("BIND", "127.0.0.1:0"),
        ("ARGON2_MEMORY_KIB", "19456"),
        ("ARGON2_ITERATIONS", "1000"),
        ("HASH_QUEUE_SECONDS", "1"),
    ] {
        app.variables.insert(key.to_owned(), value.to_owned());
    }
    let mut process = app.process(&["serve"]);
    app.base = process.wait_for_url("Listening on").await;
    let cores = available_parallelism().unwrap().get();

    let mut logins: FuturesUnordered<_> = (0..cores + 3)
        .map(|number| {
            let email = format!("nobody{number}@example.com");
            let app = &app;
            async move { app.try_login(&email, "a wrong password").await }
        })
        .collect();
    // The first that is answered is one that waited in vain; those before it are still being hashed.
    let mut refused = vec![logins.next().await.unwrap()];
    let mut read = 0;
    while read < 3 || refused.len() < 3 {
        tokio::select! {
            profile = app.get_user(&me.access) => {
                assert_eq!(profile.status, 200, "{profile:?}");
                read += 1;
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

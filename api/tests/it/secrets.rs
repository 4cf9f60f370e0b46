//! O4: after a whole run neither database nor Redis nor queue shows a password, a code or a token; and no log line does.

use reqwest::Method;
use serde_json::json;

use crate::{
    login::claims,
    world::{PASSWORD, World, code_in},
};

#[tokio::test]
async fn a_dump_of_everything_shows_no_secret() {
    let world = World::new().await;
    let tokens = world.somebody("ada@example.com").await;
    let waiting = world
        .post("/auth/email_request/", json!({"email": "ada@example.com"}))
        .await
        .text("/token");
    let before = world.redis.dump().await;
    world.deliver_all().await;
    let code = code_in(world.sink.mails().last().unwrap());

    let dump = [
        before,
        world.redis.dump().await,
        world.database.dump().await,
    ]
    .concat();

    assert!(
        dump.contains("ada@example.com"),
        "the dump shows nothing at all"
    );
    assert!(dump.contains(":code:"), "the dump shows no code's key");
    let ids = [claims(&tokens.refresh)["jti"].as_str().unwrap().to_owned()];
    for secret in [PASSWORD, &tokens.access, &tokens.refresh, &waiting, &ids[0]] {
        assert!(!dump.contains(secret), "{secret} is in the dump");
    }
    // Six digits occur by chance in any id, so they are looked for as a word.
    let words: Vec<_> = dump.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    assert!(!words.contains(&code.as_str()), "{code} is in the dump");
}

/// L1, on a real process with everything logged.
#[tokio::test]
async fn no_log_line_shows_a_secret_or_a_whole_address() {
    let mut world = World::new().await;
    world
        .variables
        .insert("RUST_LOG".to_owned(), "info,latchkey=trace".to_owned());
    world
        .variables
        .insert("BIND".to_owned(), "127.0.0.1:0".to_owned());
    let mut process = world.process(&["serve"]);
    let line = process.wait_for_line("Latchkey serves.").await;
    let port: u16 = line
        .rsplit(':')
        .next()
        .unwrap()
        .trim()
        .trim_matches('"')
        .parse()
        .unwrap();
    world.base = format!("http://127.0.0.1:{port}");

    let tokens = world.somebody("ada@example.com").await;
    world.try_login("ada@example.com", "a wrong password").await;
    world
        .patch_user(&tokens.access, json!({"phoneNumber": "+201001234567"}))
        .await;
    let refreshed = world
        .post("/auth/refresh/", json!({"refresh": tokens.refresh}))
        .await
        .text("/access");
    let asked = world
        .post("/auth/email_request/", json!({"email": "ada@example.com"}))
        .await;
    let id = asked.headers["x-request-id"].to_str().unwrap();
    world.check(&asked.text("/token"), "000000").await;
    let misplaced = format!("/auth/refresh/{}", tokens.refresh);
    for path in [
        "/api/user/ada@example.com",
        &misplaced,
        "/media/ada@example.com",
    ] {
        world.send(world.request(Method::GET, path)).await;
    }
    let method = Method::from_bytes(b"SECRETMETHOD").unwrap();
    world.send(world.request(method, "/last")).await;
    process.wait_for_line("_OTHER").await;

    let log = process.lines().join("\n");
    assert!(log.contains(id), "the log does not name the request");
    for secret in [
        PASSWORD,
        "a wrong password",
        "ada@example.com",
        "+201001234567",
        "000000",
        "SECRETMETHOD",
        &tokens.access,
        &tokens.refresh,
        &refreshed,
        &asked.text("/token"),
    ] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

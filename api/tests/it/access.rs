//! What counts as an access token, and what does not.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{login::claims, world::World};

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Claims signed with the world's key, as nobody else can.
pub(crate) fn signed(claims: &Value) -> String {
    jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(KEY),
    )
    .unwrap()
}

#[tokio::test]
async fn without_a_token_the_answer_is_401_and_says_how() {
    let world = World::new().await;
    for (method, header) in [
        (Method::GET, None),
        (Method::PATCH, None),
        (Method::GET, Some("Bearer")),
        (Method::GET, Some("Bearer x.y.z")),
        (Method::GET, Some("Basic YTpi")),
        (Method::GET, Some("Token abc")),
    ] {
        let mut request = world.request(method, "/api/user/");
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let answer = world.send(request.json(&json!({"username": "x"}))).await;
        answer.is_problem(401, "not-authenticated");
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"api\"");
    }
}

#[tokio::test]
async fn an_account_that_is_not_activated_any_more_gets_403() {
    let world = World::new().await;
    let tokens = world.somebody("ada@example.com").await;
    let mut claims = claims(&tokens.access);
    claims["exp"] = json!(world.clock.now().timestamp() + 10);
    assert_eq!(
        world.get_user(&signed(&claims)).await.status,
        200,
        "the forger's own tools work"
    );

    set_activated(&world, false).await;

    world
        .get_user(&tokens.access)
        .await
        .is_problem(403, "not-activated");
    world
        .patch_user(&tokens.access, json!({"username": "x"}))
        .await
        .is_problem(403, "not-activated");
}

/// S1: RFC 8725's attacks, and claims that are not what they should be, each signed with the right key where that helps.
#[tokio::test]
async fn forged_and_malformed_tokens_are_refused() {
    let world = World::new().await;
    let tokens = world.somebody("ada@example.com").await;
    let real = claims(&tokens.access);
    let with = |name: &str, value: Value| {
        let mut claims = real.clone();
        claims[name] = value;
        signed(&claims)
    };
    let without = |name: &str| {
        let mut claims = real.clone();
        claims.as_object_mut().unwrap().remove(name);
        signed(&claims)
    };
    let [head, payload, signature] = tokens
        .access
        .split('.')
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let other_key = EncodingKey::from_secret(b"another key of thirty-two bytes!");
    let hs512 = jsonwebtoken::encode(
        &Header::new(Algorithm::HS512),
        &real,
        &EncodingKey::from_secret(KEY),
    )
    .unwrap();

    let forged = [
        (
            "no algorithm",
            format!(
                "{}.{payload}.",
                encode(json!({"alg": "none", "typ": "JWT"}))
            ),
        ),
        (
            "no algorithm, signed",
            format!("{}.{payload}.{signature}", encode(json!({"alg": "none"}))),
        ),
        ("another algorithm of the family", hs512),
        (
            "an asymmetric algorithm",
            format!(
                "{}.{payload}.{signature}",
                encode(json!({"alg": "RS256", "typ": "JWT"}))
            ),
        ),
        (
            "another key",
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &real, &other_key).unwrap(),
        ),
        (
            "a key id that points elsewhere",
            format!(
                "{}.{payload}.{signature}",
                encode(json!({"alg": "HS256", "kid": "../../dev/null"}))
            ),
        ),
        (
            "another payload",
            format!("{head}.{}.{signature}", encode(json!({"user_id": 1}))),
        ),
        ("no signature", format!("{head}.{payload}.")),
        ("two parts", format!("{head}.{payload}")),
        ("no such type", with("token_type", json!("admin"))),
        ("no type", without("token_type")),
        ("no expiry", without("exp")),
        ("expiry as a text", with("exp", json!("99999999999"))),
        ("expiry as a fraction", with("exp", json!(99_999_999_999.5))),
        ("expiry beyond all numbers", with("exp", json!(1e300))),
        ("expired", with("exp", json!(world.clock.now().timestamp()))),
        ("no session", without("sid")),
        (
            "no such session",
            with("sid", json!("00000000-0000-7000-8000-000000000000")),
        ),
        ("no user", without("user_id")),
        ("another user", with("user_id", json!(4711))),
        ("a user that is no number", with("user_id", json!("x"))),
        (
            "too long",
            format!("{head}.{}.{signature}", "A".repeat(100_000)),
        ),
    ];
    for (name, token) in forged {
        let answer = world.get_user(&token).await;
        if answer.status == 431 || answer.status == 400 {
            // Too long for a header at all.
            assert_eq!(name, "too long");
            continue;
        }
        answer.is_problem(401, "not-authenticated");
        let answer = world
            .post("/auth/refresh/", json!({"refresh": token}))
            .await;
        assert!(
            [400, 401, 413].contains(&answer.status.as_u16()),
            "{name}: {answer:?}"
        );
    }
}

async fn set_activated(world: &World, value: bool) {
    use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};
    let mut row = world.user("ada@example.com").await.into_active_model();
    row.is_activated = Set(value);
    row.update(&world.database.db).await.unwrap();
}

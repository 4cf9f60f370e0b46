//! Validation of access tokens, and of refresh tokens where they share it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    auth::login::claims,
    support::{
        test_app::TestApp,
        tokens::{ALGORITHMS, TestKey, settings},
    },
};

/// A request without a valid access token gets 401 and a `WWW-Authenticate` header.
#[tokio::test]
async fn request_without_valid_token_returns_401_with_challenge() {
    let app = TestApp::new().await;
    for (method, header) in [
        (Method::GET, None),
        (Method::PATCH, None),
        (Method::GET, Some("Bearer")),
        (Method::GET, Some("Bearer x.y.z")),
        (Method::GET, Some("Basic YTpi")),
        (Method::GET, Some("Token abc")),
    ] {
        let mut request = app.request(method, "/api/user/");
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let answer = app.send(request.json(&json!({"username": "x"}))).await;
        answer.assert_problem(401, "not-authenticated");
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"api\"");
    }
}

/// A client whose account is no longer activated gets 403 and the reason.
#[tokio::test]
async fn access_token_of_unactivated_account_returns_403() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let mut claims = claims(&tokens.access);
    claims["exp"] = json!(app.clock.now().timestamp() + 10);
    assert_eq!(
        app.get_user(&app.access_key().await.sign(&claims))
            .await
            .status,
        200,
        "a valid token made by the same helper is accepted"
    );

    set_activated(&app, false).await;

    app.get_user(&tokens.access)
        .await
        .assert_problem(403, "not-activated");
    app.patch_user(&tokens.access, json!({"username": "x"}))
        .await
        .assert_problem(403, "not-activated");
}

/// Attacks of RFC 8725 on the header of a token. Only the check that an attack targets can reject it: a token is signed
/// with the right key, or with the key that its header suggests where that is the attack.
fn forged_headers(real: &Value, key: &TestKey) -> Vec<(String, String)> {
    let payload = real.to_string();
    let attacker = key.of_attacker();
    let unsigned = |algorithm: &str| {
        let header = key.header_with(&json!({"alg": algorithm}));
        let signed = key.sign_with(&header, &payload);
        signed[..=signed.rfind('.').unwrap()].to_owned()
    };
    let mut all: Vec<_> = ["none", "NONE", "nOnE", "HS256", "ES256"]
        .iter()
        .map(|name| (format!("unsigned, {name}"), unsigned(name)))
        .collect();
    let others = [
        "none", "HS256", "HS384", "HS512", "ES256", "ES384", "EdDSA", "RS256", "PS256", "",
    ];
    for other in others.iter().filter(|it| **it != key.algorithm) {
        let header = key.header_with(&json!({"alg": other}));
        all.push((format!("signed, {other}"), key.sign_with(&header, &payload)));
    }
    for (name, header, key) in [
        ("a list as algorithm", json!({"alg": [key.algorithm]}), key),
        ("a null algorithm", json!({"alg": null}), key),
        ("an attacker's key", json!({}), &attacker),
        (
            "a key in the header",
            json!({"jwk": attacker.jwk()}),
            &attacker,
        ),
        (
            "a key URL",
            json!({"jku": "http://127.0.0.1:9/keys"}),
            &attacker,
        ),
        (
            "a certificate URL",
            json!({"x5u": "http://127.0.0.1:9/x"}),
            &attacker,
        ),
        ("a certificate", json!({"x5c": ["MIIB"]}), &attacker),
        (
            "a path as key id",
            json!({"kid": "../../../../dev/null"}),
            key,
        ),
        (
            "SQL as key id",
            json!({"kid": "x' UNION SELECT 'known"}),
            key,
        ),
        ("an unknown key id", json!({"kid": "A".repeat(43)}), key),
        ("a number as key id", json!({"kid": 1}), key),
        ("a null key id", json!({"kid": null}), key),
    ] {
        all.push((
            name.to_owned(),
            key.sign_with(&key.header_with(&header), &payload),
        ));
    }
    all
}

/// A public key that a verifier uses as a shared secret, if it trusts the algorithm in the header (RFC 8725, 2.1).
fn public_key_as_secret(real: &Value, key: &TestKey) -> Vec<(String, String)> {
    let mut secrets = key.public_forms();
    secrets.push(Vec::new());
    let sign = |secret: &Vec<u8>| {
        let secret = TestKey::secret(secret);
        let named = key.header_with(&json!({"alg": "HS256"}));
        let payload = real.to_string();
        [
            secret.sign(real),
            secret.sign_with(&named, &payload),
            secret.sign_with(&key.header(), &payload),
        ]
    };
    let tokens = secrets.iter().flat_map(sign);
    tokens
        .map(|token| ("a public or empty secret".to_owned(), token))
        .collect()
}

/// Signatures that a faulty implementation of the algorithm accepts, or in another encoding.
fn forged_signatures(real: &Value, key: &TestKey) -> Vec<(String, String)> {
    let token = key.sign(real);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let length = signature.len();
    let mut flipped = signature.clone();
    flipped[length - 1] ^= 1;
    let mut all: Vec<_> = [
        ("zeros", vec![0; length]),
        ("ones", vec![255; length]),
        ("flipped", flipped),
        ("truncated", signature[..length - 1].to_vec()),
        ("half", signature[..length / 2].to_vec()),
        ("extended", [&signature[..], &[0]].concat()),
        ("doubled", [&signature[..], &signature[..]].concat()),
        (
            "zero and half",
            [&vec![0; length / 2][..], &signature[length / 2..]].concat(),
        ),
        (
            "half and zero",
            [&signature[..length / 2], &vec![0; length - length / 2][..]].concat(),
        ),
    ]
    .into_iter()
    .map(|(name, bytes)| {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
        (format!("signature: {name}"), token)
    })
    .collect();
    if key.algorithm == "ES256" {
        all.push(("signature in DER".to_owned(), key.sign_in_der(real)));
    }
    all
}

/// Headers that a verifier has to reject although algorithm, key and signature are right (RFC 7515, 4.1.11; RFC 8725, 3.11).
fn unsupported_headers(real: &Value, key: &TestKey) -> Vec<(String, String)> {
    let payload = real.to_string();
    let mut all: Vec<_> = [
        (
            "a critical extension",
            json!({"crit": ["b64"], "b64": true}),
        ),
        ("a critical claim", json!({"crit": ["exp"]})),
        ("an empty list of extensions", json!({"crit": []})),
        ("a null list of extensions", json!({"crit": null})),
        ("an unencoded payload", json!({"b64": false})),
        ("another type", json!({"typ": "at+jwt"})),
        ("the type in lower case", json!({"typ": "jwt"})),
        ("the type as a list", json!({"typ": ["JWT"]})),
        ("a nested token", json!({"cty": "JWT"})),
        ("a compressed payload", json!({"zip": "DEF"})),
        ("its own key", json!({"jwk": key.jwk()})),
        ("a key URL", json!({"jku": "http://127.0.0.1:9/keys"})),
    ]
    .into_iter()
    .map(|(name, more)| {
        let token = key.sign_with(&key.header_with(&more), &payload);
        (name.to_owned(), token)
    })
    .collect();
    for missing in ["typ", "alg"] {
        let mut header = key.header();
        header.as_object_mut().unwrap().remove(missing);
        all.push((format!("no {missing}"), key.sign_with(&header, &payload)));
    }
    // The pairs' tokens name their key, and those of a secret none.
    let mut header = key.header();
    if header.as_object_mut().unwrap().remove("kid").is_none() {
        header["kid"] = json!("A".repeat(43));
    }
    all.push(("key id".to_owned(), key.sign_with(&header, &payload)));
    all
}

/// Claims of an access token that were made for another service or by another issuer (RFC 8725, 3.8 and 3.9).
fn foreign_claims(real: &Value, key: &TestKey) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("iss", json!(format!("{}/", real["iss"].as_str().unwrap()))),
        ("iss", json!([real["iss"]])),
        ("iss", Value::Null),
        ("aud", json!("bank")),
        ("aud", json!(["shop", "bank"])),
        ("aud", Value::Null),
        ("sub", json!("4711")),
        ("sub", json!(1)),
    ] {
        let mut claims = real.clone();
        claims[name] = value;
        all.push((format!("another {name}"), key.sign(&claims)));
    }
    for name in ["iss", "aud", "sub"] {
        let mut claims = real.clone();
        claims.as_object_mut().unwrap().remove(name);
        all.push((format!("no {name}"), key.sign(&claims)));
    }
    all
}

/// Invalid claims, signed with the right key.
fn forged_claims(real: &Value, key: &TestKey, now: i64) -> Vec<(String, String)> {
    let with = |name: &str, value: Value| {
        let mut claims = real.clone();
        claims[name] = value;
        key.sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = real.clone();
        claims.as_object_mut().unwrap().remove(name);
        key.sign(&claims)
    };
    // Numbers as text, because no Rust type holds them.
    let expiring = |number: &str| {
        let mut claims = real.clone();
        claims["exp"] = json!("here");
        let payload = claims.to_string().replace("\"here\"", number);
        key.sign_with(&key.header(), &payload)
    };
    let all = [
        ("no such type", with("token_type", json!("admin"))),
        ("no type", without("token_type")),
        ("no expiry", without("exp")),
        ("null expiry", with("exp", Value::Null)),
        ("expiry as a text", with("exp", json!("99999999999"))),
        ("expiry as a fraction", with("exp", json!(99_999_999_999.5))),
        ("expiry beyond all integers", with("exp", json!(1e300))),
        ("expiry beyond 63 bits", expiring("9223372036854775808")),
        ("expiry of 64 bits", with("exp", json!(u64::MAX))),
        ("expiry beyond 64 bits", expiring("18446744073709551616")),
        ("expiry of 400 digits", expiring(&"9".repeat(400))),
        ("negative expiry", with("exp", json!(-1))),
        ("lowest expiry", with("exp", json!(i64::MIN))),
        ("expiry below 63 bits", expiring("-9223372036854775809")),
        ("expired", with("exp", json!(now))),
        ("not valid yet", with("nbf", json!(now + 1))),
        ("not valid before a text", with("nbf", json!("0"))),
        ("not valid before a fraction", with("nbf", json!(0.5))),
        ("not valid beyond 63 bits", with("nbf", json!(u64::MAX))),
        ("no session", without("sid")),
        (
            "no such session",
            with("sid", json!("00000000-0000-7000-8000-000000000000")),
        ),
        ("a session that is no id", with("sid", json!("x"))),
        ("no user", without("user_id")),
        ("another user", with("user_id", json!(4711))),
        ("a user that is no number", with("user_id", json!("x"))),
        ("a user beyond 63 bits", with("user_id", json!(u64::MAX))),
    ];
    let named = |(name, token): (&str, String)| (name.to_owned(), token);
    all.map(named).to_vec()
}

/// A real token whose parts are exchanged, missing or repeated.
fn mangled(token: &str) -> Vec<(String, String)> {
    let [head, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let other = URL_SAFE_NO_PAD.encode(json!({"user_id": 1}).to_string());
    let all = [
        ("another payload", format!("{head}.{other}.{signature}")),
        ("no signature", format!("{head}.{payload}.")),
        ("two parts", format!("{head}.{payload}")),
        ("four parts", format!("{token}.{signature}")),
        ("one more letter", format!("{token}A")),
    ];
    let named = |(name, token): (&str, String)| (name.to_owned(), token);
    all.map(named).to_vec()
}

/// Every forgery of a token, made with the key that signs it.
fn forgeries(token: &str, key: &TestKey, now: i64) -> Vec<(String, String)> {
    let real = claims(token);
    let mut all = forged_headers(&real, key);
    all.extend(public_key_as_secret(&real, key));
    all.extend(forged_signatures(&real, key));
    all.extend(unsupported_headers(&real, key));
    all.extend(forged_claims(&real, key, now));
    all.extend(mangled(token));
    all
}

/// S1: No forged or malformed access token is accepted, with each algorithm. `ACCESS_TOKEN_SECRET` is set for all of them, so that
/// the server accepts HS256, too.
#[tokio::test]
async fn forged_or_malformed_access_token_is_rejected() {
    for algorithm in ALGORITHMS {
        let audience = ("TOKEN_AUDIENCE", "shop");
        let app = TestApp::with(&[&settings(algorithm)[..], &[audience]].concat()).await;
        let tokens = app.logged_in_user("ada@example.com").await;
        let (key, now) = (app.access_key().await, app.clock.now().timestamp());
        assert_eq!(key.algorithm, algorithm);
        let real = claims(&tokens.access);

        let mut all = forgeries(&tokens.access, &key, now);
        all.extend(foreign_claims(&real, &key));
        let foreign_secrets = [
            app.refresh_key(),
            TestKey::secret(latchkey_testing::SECRET_KEY.as_bytes()),
        ];
        all.extend(foreign_secrets.map(|key| ("another secret".to_owned(), key.sign(&real))));
        for (name, token) in all {
            let answer = app.get_user(&token).await;
            assert_eq!(answer.status, 401, "{algorithm}, {name}: {answer:?}");
            answer.assert_problem(401, "not-authenticated");
        }
        let valid = app.get_user(&key.sign(&real)).await;
        assert_eq!(valid.status, 200, "made by the same helper: {valid:?}");
    }
}

/// S1: No forged or malformed refresh token is accepted.
#[tokio::test]
async fn forged_or_malformed_refresh_token_is_rejected() {
    let app = TestApp::with(&settings("ES256")).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let (key, now) = (app.refresh_key(), app.clock.now().timestamp());
    let real = claims(&tokens.refresh);

    let mut all = forgeries(&tokens.refresh, &key, now);
    let access_key = app.access_key().await;
    let secrets = [
        latchkey_testing::SECRET_KEY,
        crate::support::tokens::ACCESS_SECRET,
    ];
    all.extend(secrets.map(|secret| {
        let token = TestKey::secret(secret.as_bytes()).sign(&real);
        ("another secret".to_owned(), token)
    }));
    all.push((
        "the key of access tokens".to_owned(),
        access_key.sign(&real),
    ));
    for (name, token) in all {
        let answer = app.refresh(&token).await;
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        answer.assert_problem(401, "invalid-refresh-token");
    }
    let valid = app.refresh(&key.sign(&real)).await;
    assert_eq!(valid.status, 200, "made by the same helper: {valid:?}");
}

/// Tokens longer than any of this service are refused before they are parsed.
#[tokio::test]
async fn oversized_token_is_rejected() {
    let app = TestApp::new().await;
    let long = format!("{}.{}.x", "A".repeat(50), "A".repeat(100_000));
    let answer = app.get_user(&long).await;
    assert!(
        [400, 401, 431].contains(&answer.status.as_u16()),
        "{answer:?}"
    );
    assert_eq!(app.refresh(&long).await.status, 413);
    app.refresh(&long[..10_000])
        .await
        .assert_problem(400, "invalid-input");
}

/// RFC 7519, section 4.1.5: A token is valid from the second in its `nbf` claim.
#[tokio::test]
async fn token_is_valid_from_its_nbf_second() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let mut claims = claims(&tokens.access);
    claims["nbf"] = json!(app.clock.now().timestamp() + 5);
    let token = app.access_key().await.sign(&claims);

    app.advance_clock(TimeDelta::seconds(4));
    let early = app.get_user(&token).await;
    app.advance_clock(TimeDelta::seconds(1));
    let in_time = app.get_user(&token).await;

    early.assert_problem(401, "not-authenticated");
    assert_eq!(in_time.status, 200, "{in_time:?}");
}

async fn set_activated(app: &TestApp, value: bool) {
    use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};
    let mut row = app.user("ada@example.com").await.into_active_model();
    row.is_activated = Set(value);
    row.update(&app.database.db).await.unwrap();
}

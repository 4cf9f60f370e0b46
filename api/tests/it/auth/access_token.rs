//! Validation of access tokens, and of refresh tokens where they share it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{auth::login::claims, support::test_app::TestApp};

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Signs claims with the key of the application.
pub(crate) fn signed(claims: &Value) -> String {
    jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(KEY),
    )
    .unwrap()
}

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
        app.get_user(&signed(&claims)).await.status,
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

/// Returns a token signed with HMAC-SHA256, whatever its header says.
fn forged(header: &Value, payload: &str, key: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let key = EncodingKey::from_secret(key);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// Attacks of RFC 8725 on the header of a token. Only the check that an attack targets can reject it: a token is signed
/// with the right key, or with the key that its header suggests where that is the attack.
fn forged_headers(real: &Value) -> Vec<(&'static str, String)> {
    let payload = real.to_string();
    let unsigned = |header: Value| {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        format!("{header}.{}.", URL_SAFE_NO_PAD.encode(&payload))
    };
    let with_key = |header: Value, key: &[u8]| forged(&header, &payload, key);
    let attacker_key = b"an attacker's own key, 32 bytes!";
    let attacker_jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(attacker_key)});
    let jwt = |algorithm: &str| json!({"alg": algorithm, "typ": "JWT"});
    let hs512 = jsonwebtoken::encode(
        &Header::new(Algorithm::HS512),
        real,
        &EncodingKey::from_secret(KEY),
    )
    .unwrap();
    vec![
        ("no algorithm", unsigned(jwt("none"))),
        ("no algorithm, in capitals", unsigned(jwt("NONE"))),
        ("no algorithm, in mixed case", unsigned(jwt("nOnE"))),
        ("no algorithm, signed", with_key(jwt("none"), KEY)),
        ("missing algorithm", with_key(json!({"typ": "JWT"}), KEY)),
        (
            "an algorithm that is a list",
            with_key(json!({"alg": ["HS256"]}), KEY),
        ),
        ("another algorithm of the family", hs512),
        ("another algorithm's name", with_key(jwt("HS512"), KEY)),
        // A verifier that trusts the algorithm in the header would use the secret as a public key.
        ("RSA over the secret", with_key(jwt("RS256"), KEY)),
        ("a curve over the secret", with_key(jwt("ES256"), KEY)),
        ("signed by the empty key", with_key(jwt("HS256"), b"")),
        (
            "signed by another key",
            with_key(jwt("HS256"), attacker_key),
        ),
        (
            "a key id that names an empty file",
            with_key(json!({"alg": "HS256", "kid": "../../../../dev/null"}), b""),
        ),
        (
            "a key id that is the key",
            with_key(json!({"alg": "HS256", "kid": "known"}), b"known"),
        ),
        (
            "a key id that selects one",
            with_key(
                json!({"alg": "HS256", "kid": "x' UNION SELECT 'known"}),
                b"known",
            ),
        ),
        (
            "a key of its own",
            with_key(json!({"alg": "HS256", "jwk": attacker_jwk}), attacker_key),
        ),
        (
            "a key from elsewhere",
            with_key(
                json!({"alg": "HS256", "jku": "http://127.0.0.1:9/keys"}),
                attacker_key,
            ),
        ),
    ]
}

/// Headers that a verifier has to reject although algorithm, key and signature are right (RFC 7515, 4.1.11; RFC 8725, 3.11).
fn unsupported_headers(real: &Value) -> Vec<(&'static str, String)> {
    let header = |more: Value| {
        let mut header = json!({"alg": "HS256", "typ": "JWT"});
        for (name, value) in more.as_object().unwrap() {
            header[name] = value.clone();
        }
        forged(&header, &real.to_string(), KEY)
    };
    vec![
        (
            "a critical extension",
            header(json!({"crit": ["b64"], "b64": true})),
        ),
        ("a critical claim", header(json!({"crit": ["exp"]}))),
        ("an empty list of extensions", header(json!({"crit": []}))),
        ("a null list of extensions", header(json!({"crit": null}))),
        ("an unencoded payload", header(json!({"b64": false}))),
        ("another type", header(json!({"typ": "at+jwt"}))),
        ("the type in lower case", header(json!({"typ": "jwt"}))),
        ("the type as a list", header(json!({"typ": ["JWT"]}))),
        (
            "no type",
            forged(&json!({"alg": "HS256"}), &real.to_string(), KEY),
        ),
        ("a nested token", header(json!({"cty": "JWT"}))),
        ("a compressed payload", header(json!({"zip": "DEF"}))),
    ]
}

/// Invalid claims, signed with the right key.
fn forged_claims(real: &Value, now: i64) -> Vec<(&'static str, String)> {
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
    // Numbers as text, because no Rust type holds them.
    let expiring = |number: &str| {
        let mut claims = real.clone();
        claims["exp"] = json!("here");
        let payload = claims.to_string().replace("\"here\"", number);
        forged(&json!({"alg": "HS256", "typ": "JWT"}), &payload, KEY)
    };
    vec![
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
    ]
}

/// A real token whose parts are exchanged, missing or repeated.
fn mangled(token: &str) -> Vec<(&'static str, String)> {
    let [head, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let other = URL_SAFE_NO_PAD.encode(json!({"user_id": 1}).to_string());
    vec![
        ("another payload", format!("{head}.{other}.{signature}")),
        ("no signature", format!("{head}.{payload}.")),
        ("two parts", format!("{head}.{payload}")),
        ("four parts", format!("{token}.{signature}")),
        ("one more letter", format!("{token}A")),
    ]
}

/// S1: No forged or malformed token is accepted, neither as an access token nor as a refresh token.
#[tokio::test]
async fn forged_or_malformed_token_is_rejected() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let now = app.clock.now().timestamp();
    let forgeries = |token: &str| {
        let real = claims(token);
        let jwt = json!({"alg": "HS256", "typ": "JWT"});
        let valid = forged(&jwt, &real.to_string(), KEY);
        let mut all = forged_headers(&real);
        all.extend(unsupported_headers(&real));
        all.extend(forged_claims(&real, now));
        all.extend(mangled(token));
        (valid, all)
    };
    let refresh = async |token: &str| {
        let body = json!({"refresh": token});
        app.post("/auth/refresh/", body).await
    };

    let (valid, forgeries_of_access) = forgeries(&tokens.access);
    for (name, token) in forgeries_of_access {
        let answer = app.get_user(&token).await;
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        answer.assert_problem(401, "not-authenticated");
    }
    assert_eq!(
        app.get_user(&valid).await.status,
        200,
        "a valid token made by the same helper is accepted"
    );

    let (valid, forgeries_of_refresh) = forgeries(&tokens.refresh);
    for (name, token) in forgeries_of_refresh {
        let answer = refresh(&token).await;
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        answer.assert_problem(401, "invalid-refresh-token");
    }
    assert_eq!(
        refresh(&valid).await.status,
        200,
        "a valid token made by the same helper is accepted"
    );

    let long = format!("{}.{}.x", "A".repeat(50), "A".repeat(100_000));
    let answer = app.get_user(&long).await;
    assert!(
        [400, 401, 431].contains(&answer.status.as_u16()),
        "{answer:?}"
    );
    assert_eq!(refresh(&long).await.status, 413);
    refresh(&long[..10_000])
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
    let token = signed(&claims);

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

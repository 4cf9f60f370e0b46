//! The keys of access tokens: publication, rotation, revocation, and the switch of the algorithm.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use latchkey_testing::wait_until;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    auth::login::claims,
    support::{
        test_app::{ApiResponse, PASSWORD, TestApp},
        tokens::settings,
        traffic::Traffic,
    },
};

const KEYS: &str = "/.well-known/jwks.json";
const METADATA: &str = "/.well-known/openid-configuration";

async fn get(app: &TestApp, path: &str) -> ApiResponse {
    let answer = app.send(app.request(Method::GET, path)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// The ids of the published keys.
async fn published(app: &TestApp) -> Vec<String> {
    let answer = get(app, KEYS).await;
    let keys = answer.body["keys"].as_array().unwrap().clone();
    let kid = |key: &Value| key["kid"].as_str().unwrap().to_owned();
    keys.iter().map(kid).collect()
}

fn kid(token: &str) -> Option<String> {
    decode_header(token).unwrap().kid
}

/// Another service verifies access tokens with the JWKS, and cannot sign any with it.
#[tokio::test]
async fn jwks_verifies_access_tokens() {
    for (name, algorithm) in [("ES256", Algorithm::ES256), ("EdDSA", Algorithm::EdDSA)] {
        let app =
            TestApp::with(&[("ACCESS_TOKEN_ALGORITHM", name), ("TOKEN_AUDIENCE", "shop")]).await;
        let token = app.logged_in_user("ada@example.com").await.access;
        let answer = get(&app, KEYS).await;
        let members = answer.body["keys"][0].as_object().unwrap().keys();
        let expected: &[_] = match algorithm {
            Algorithm::ES256 => &["kty", "crv", "x", "y", "alg", "use", "kid"],
            _ => &["kty", "crv", "x", "alg", "use", "kid"],
        };
        assert_eq!(members.collect::<Vec<_>>(), expected, "no private key");

        let set: JwkSet = serde_json::from_value(answer.body).unwrap();
        let key = set.find(&kid(&token).unwrap()).unwrap();
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&app.base]);
        validation.set_audience(&["shop"]);
        let key = DecodingKey::from_jwk(key).unwrap();
        let verified = decode::<Value>(&token, &key, &validation).unwrap();
        assert_eq!(verified.claims, claims(&token));

        let metadata = get(&app, METADATA).await.body;
        let expected = json!({
            "issuer": app.base,
            "jwks_uri": format!("{}{KEYS}", app.base),
            "id_token_signing_alg_values_supported": [name],
            "subject_types_supported": ["public"],
            "response_types_supported": [],
        });
        assert_eq!(metadata, expected);
    }
}

/// With a shared secret nothing is published.
#[tokio::test]
async fn jwks_of_shared_secret_is_empty() {
    let app = TestApp::with(&settings("HS256")).await;
    assert_eq!(get(&app, KEYS).await.body, json!({"keys": []}));
    let algorithms = &get(&app, METADATA).await.body["id_token_signing_alg_values_supported"];
    assert_eq!(*algorithms, json!(["HS256"]));
}

/// Proxies may cache the public keys, and pages of every origin may fetch them, whatever `CORS_ORIGINS` allows.
#[tokio::test]
async fn jwks_is_cacheable_and_open_to_every_origin() {
    for origins in ["", "https://app.example.com"] {
        let app = TestApp::with(&[("JWKS_MAX_AGE_SECONDS", "60"), ("CORS_ORIGINS", origins)]).await;
        for path in [KEYS, METADATA] {
            let request = app.request(Method::GET, path);
            let answer = app
                .send(request.header("origin", "https://other.example"))
                .await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.headers["cache-control"], "public, max-age=60");
            assert_eq!(answer.headers["access-control-allow-origin"], "*");
            assert!(
                !answer
                    .headers
                    .contains_key("access-control-allow-credentials")
            );
        }
    }
}

/// S1: Each request checks the session and the expiry of a token whose signature was verified before.
#[tokio::test]
async fn verified_token_ends_with_its_session_and_expiry() {
    let app = TestApp::new().await;
    let first = app.logged_in_user("ada@example.com").await;
    let second = app.login("ada@example.com", PASSWORD).await;
    for _ in 0..2 {
        assert_eq!(app.get_user(&first.access).await.status, 200);
        assert_eq!(app.get_user(&second.access).await.status, 200);
    }

    let logout = app
        .post("/auth/logout/", json!({"refresh": first.refresh}))
        .await;
    assert_eq!(logout.status, 204);
    app.get_user(&first.access)
        .await
        .assert_problem(401, "not-authenticated");

    app.advance_clock(TimeDelta::seconds(299));
    assert_eq!(app.get_user(&second.access).await.status, 200);
    app.advance_clock(TimeDelta::seconds(1));
    app.get_user(&second.access)
        .await
        .assert_problem(401, "not-authenticated");
}

/// S1: A key verifies only tokens of its own algorithm that name it (RFC 8725, 3.1).
#[tokio::test]
async fn tokens_that_name_another_key_are_rejected() {
    let mut app = TestApp::new().await;
    let token = app.logged_in_user("ada@example.com").await.access;
    let real = claims(&token);
    app.set("ACCESS_TOKEN_ALGORITHM", "EdDSA");
    app.run(&["keys", "rotate"], 0).await;
    let [first, second] = app.signing_keys().await.try_into().ok().unwrap();

    assert_eq!(
        app.get_user(&second.sign(&real)).await.status,
        200,
        "published"
    );
    for (key, other) in [(&first, &second), (&second, &first)] {
        for header in [
            json!({"kid": other.kid}),
            json!({"alg": other.algorithm}),
            json!({"kid": other.kid, "alg": other.algorithm}),
        ] {
            let forged = key.sign_with(&key.header_with(&header), &real.to_string());
            app.get_user(&forged)
                .await
                .assert_problem(401, "not-authenticated");
        }
    }
    let kids = [&second, &first].map(|key| key.kid.clone().unwrap());
    assert_eq!(published(&app).await, kids);
}

/// Anyone can send unknown key ids. They cause one look-up in 5 seconds.
#[tokio::test]
async fn unknown_key_ids_cause_one_look_up() {
    let app = TestApp::new().await;
    let token = app.logged_in_user("ada@example.com").await.access;
    let (key, real) = (app.access_key().await, claims(&token));
    app.statements.take();

    let unknown = |number: usize| {
        let header = key.header_with(&json!({"kid": format!("{number:043}")}));
        key.sign_with(&header, &real.to_string())
    };
    let tokens: Vec<_> = (0..30).map(unknown).collect();
    for answer in join_all(tokens.iter().map(|token| app.get_user(token))).await {
        answer.assert_problem(401, "not-authenticated");
    }

    let statements = app.statements.take();
    let look_ups = statements.iter().filter(|sql| sql.contains("signing_keys"));
    assert_eq!(look_ups.count(), 1, "{statements:?}");
}

/// A server accepts the tokens of a key that another one has just created.
#[tokio::test]
async fn new_key_of_another_server_is_looked_up() {
    let app = TestApp::new().await;
    let first = app.logged_in_user("ada@example.com").await;
    app.run(&["keys", "rotate", "--now"], 0).await;
    // The command uses the clock of the machine, which is ahead of the test's.
    app.advance_clock(TimeDelta::minutes(1));
    let other = app.api_with_keys(&app.database.keys).await;

    let refresh = json!({"refresh": first.refresh});
    let refreshed = app
        .send(
            app.http
                .post(format!("{other}/auth/refresh/"))
                .json(&refresh),
        )
        .await;
    let access = refreshed.text("/access");

    assert_ne!(kid(&access), kid(&first.access));
    assert_eq!(app.get_user(&access).await.status, 200);
    assert_eq!(app.get_user(&first.access).await.status, 200, "retired");
}

/// A revoked key's tokens are refused, even those that were verified before. Sessions go on.
#[tokio::test]
async fn revoked_key_is_refused_and_replaced() {
    let mut app = TestApp::with(&[("JWKS_MAX_AGE_SECONDS", "1")]).await;
    let _server = app.serve().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let revoked = kid(&tokens.access).unwrap();
    assert_eq!(app.get_user(&tokens.access).await.status, 200);

    app.run(&["keys", "revoke", &revoked], 0).await;

    wait_until(async || app.get_user(&tokens.access).await.status == 401).await;
    let access = app.refresh(&tokens.refresh).await.text("/access");
    assert_ne!(kid(&access).unwrap(), revoked);
    assert_eq!(app.get_user(&access).await.status, 200);
    assert_eq!(published(&app).await, [kid(&access).unwrap()]);
}

/// Ids are base64url, so that some begin with a hyphen.
#[tokio::test]
async fn revoke_accepts_key_id_with_leading_hyphen() {
    let app = TestApp::new().await;
    let unknown = "-gSFgtGiwT-yFRxjWwuHx1WBjyQXuoNJjrQZj4U4NAg";
    let output = app.run(&["keys", "revoke", unknown], 1).await;
    assert!(output.contains("no key"), "{output}");
}

/// Two servers rotate keys while clients use both, and no request fails.
#[tokio::test]
async fn rotation_under_load_fails_no_request() {
    let mut app = TestApp::with(&[("JWKS_MAX_AGE_SECONDS", "1")]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let _first = app.serve().await;
    let first_url = app.base.clone();
    let _second = app.serve().await;
    let traffic = Traffic::start(&app, [first_url, app.base.clone()], &tokens.refresh);
    traffic.wait_for_rounds(1).await;

    let mut kids = BTreeSet::from([kid(&tokens.access).unwrap()]);
    for arguments in [
        &["keys", "rotate"][..],
        &["keys", "rotate"],
        &["keys", "rotate"],
    ] {
        app.run(arguments, 0).await;
        let newest = app.access_key().await.kid;
        wait_until(async || traffic.kids().iter().all(|kid| *kid == newest)).await;
        assert!(kids.insert(newest.unwrap()), "{kids:?}");
        traffic.wait_for_rounds(1).await;
    }

    assert_eq!(traffic.stop().await, Vec::<String>::new());
}

/// The algorithm is switched with servers that are replaced one after the other. No request fails and no session ends.
#[tokio::test]
async fn switched_algorithm_fails_no_request() {
    let mut app = TestApp::with(&settings("HS256")).await;
    app.set("JWKS_MAX_AGE_SECONDS", "1");
    let tokens = app.logged_in_user("ada@example.com").await;
    let mut servers = [app.serve().await, app.serve().await];
    let urls = [app.base.clone(), app.base.clone()];
    let traffic = Traffic::start(&app, urls, &tokens.refresh);
    traffic.wait_for_rounds(1).await;

    for algorithm in ["ES256", "HS256"] {
        app.set("ACCESS_TOKEN_ALGORITHM", algorithm);
        for (index, server) in servers.iter_mut().enumerate() {
            let next = app.serve().await;
            traffic.replace(index, &app.base).await;
            server.terminate().await;
            *server = next;
            traffic.wait_for_rounds(1).await;
        }
        // The shared secret signs until the first key pair has been published.
        let is_named = algorithm == "ES256";
        wait_until(async || traffic.kids().iter().all(|kid| kid.is_some() == is_named)).await;
    }

    assert_eq!(traffic.stop().await, Vec::<String>::new());
    assert_eq!(app.get_user(&tokens.access).await.status, 200);
}

//! Requests that the framework rejects: each response is a problem document (A3).

use reqwest::{Body, Method};
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    http::read_until_closed,
    support::test_app::{ApiResponse, PASSWORD, PUBLIC_POSTS, TestApp},
};

const JSON: &str = "application/json";

/// Posts a body with this `Content-Type`.
async fn post(app: &TestApp, path: &str, media_type: &str, body: impl Into<Body>) -> ApiResponse {
    let request = app.request(Method::POST, path);
    app.send(request.header("content-type", media_type).body(body))
        .await
}

/// A3: a client that calls a wrong path gets a problem it can parse.
#[tokio::test]
async fn unknown_path_returns_404_problem() {
    let app = TestApp::new().await;
    for path in [
        "/nope",
        "/api",
        "/api/user/1/",
        "/auth/",
        "/administration/",
        "/api/admin/",
        "/media/nope",
        "/problems/nope",
        "/%00",
        "/api//user",
    ] {
        app.send(app.request(Method::GET, path))
            .await
            .assert_problem(404, "not-found");
    }
}

/// A3: a client that uses a wrong method learns the right ones.
#[tokio::test]
async fn wrong_method_returns_405_problem() {
    let app = TestApp::new().await;
    for path in PUBLIC_POSTS {
        let answer = app.send(app.request(Method::GET, path)).await;
        answer.assert_problem(405, "method-not-allowed");
        assert_eq!(answer.headers["allow"], "POST", "{path}");
        app.send(app.request(Method::DELETE, path))
            .await
            .assert_problem(405, "method-not-allowed");
    }
    for (method, path, allowed) in [
        (Method::PUT, "/api/user/", "GET, PATCH"),
        (Method::PUT, "/auth/user", "GET, PATCH"),
        (Method::POST, "/auth/sessions/4711/", "DELETE"),
        (Method::PUT, "/api/admin/users/bulk/", "POST"),
        (Method::PUT, "/api/admin/users/7/", "GET, PATCH, DELETE"),
        (Method::POST, "/docs", "GET, HEAD"),
    ] {
        let answer = app.send(app.request(method, path)).await;
        answer.assert_problem(405, "method-not-allowed");
        assert_eq!(answer.headers["allow"], allowed, "{path}");
    }
}

/// A3: a client that sends another media type, or none, learns it.
#[tokio::test]
async fn unsupported_media_type_returns_415_problem() {
    let app = TestApp::new().await;
    for path in PUBLIC_POSTS {
        for media_type in [
            "text/plain",
            "application/vnd.api+json",
            "application/xml",
            "",
            "nonsense",
        ] {
            let answer = post(&app, path, media_type, "{}").await;
            answer.assert_problem(415, "unsupported-media-type");
        }
        let answer = app.send(app.request(Method::POST, path).body("{}")).await;
        answer.assert_problem(415, "unsupported-media-type");
    }
}

/// Clients may write the media type in any case and with parameters, as HTTP allows.
#[tokio::test]
async fn json_media_type_with_parameters_is_accepted() {
    let app = TestApp::new().await;
    for media_type in [
        "Application/JSON; charset=UTF-8",
        "application/json;charset=utf-8",
        "application/json ; x=y",
    ] {
        let body = r#"{"email": "a@example.com"}"#;
        let answer = post(&app, "/auth/email_request/", media_type, body).await;
        assert_eq!(answer.status, 201, "{media_type}: {answer:?}");
    }
}

/// A client that sends no body learns which fields are missing.
#[tokio::test]
async fn missing_body_is_read_as_empty_form() {
    let app = TestApp::new().await;
    for path in PUBLIC_POSTS {
        app.send(app.request(Method::POST, path))
            .await
            .assert_problem(400, "invalid-input");
        let empty = post(&app, path, JSON, "").await;
        empty.assert_problem(400, "invalid-input");
    }
}

/// A3: a client that sends a malformed body gets a 400 (in the original some were 500, S17).
#[tokio::test]
async fn malformed_body_returns_400_problem() {
    let app = TestApp::new().await;
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let unfinished = "--b\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na";
    let many: Vec<_> = (0..2_000).map(|number| format!("k{number}=v&")).collect();
    let many = many.concat();
    for path in PUBLIC_POSTS {
        for body in [
            "{",
            "{'email': 'a@b.co'}",
            "[]",
            "[1]",
            "null",
            "\"abc\"",
            "5",
            "{\"a\":NaN}",
            "\u{feff}{}",
            "{\"a\":1}x",
            &deep,
        ] {
            let answer = post(&app, path, JSON, body.to_owned()).await;
            answer.assert_problem(400, "malformed-body");
        }
        for (media_type, body) in [
            (JSON, &b"{\"email\":\"\xe9\"}"[..]),
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=b", unfinished.as_bytes()),
            ("application/x-www-form-urlencoded", many.as_bytes()),
        ] {
            let answer = post(&app, path, media_type, body.to_vec()).await;
            answer.assert_problem(400, "malformed-body");
        }
    }
}

/// A3: a deeply nested body cannot exhaust the stack. If a field contains it, the response names the field.
#[tokio::test]
async fn deeply_nested_body_returns_400_problem() {
    let app = TestApp::new().await;
    let nested = |field: &str, depth: usize| {
        let (open, close) = ("{\"a\":[".repeat(depth), "]}".repeat(depth));
        format!("{{\"{field}\":{open}1{close}}}")
    };
    let deep = nested("email", 5_000);
    let wide = format!("{{\"email\":[{}1]}}", "1,".repeat(30_000));
    for path in ["/api/register/", "/api/login/", "/auth/email_request/"] {
        for body in [&deep, &wide] {
            let answer = post(&app, path, JSON, body.clone()).await;
            answer.assert_problem(400, "invalid-input");
            let expected = ("email".to_owned(), "type".to_owned());
            assert!(answer.invalid_fields().contains(&expected), "{answer:?}");
        }
    }
    // The largest bodies are 8 MiB. A recursive parser would exceed the 2 MiB stack of its thread.
    let deeper = nested("image", 50_000);
    let unclosed = format!("{{\"image\":{}", "[".repeat(8_000_000));
    for (body, problem) in [(deeper, "invalid-input"), (unclosed, "malformed-body")] {
        let answer = post(&app, "/api/register/", JSON, body).await;
        answer.assert_problem(400, problem);
    }
    let many: serde_json::Map<_, _> = (0..2_000)
        .map(|number| (format!("k{number}"), json!(1)))
        .collect();
    app.post("/api/register/", many.into())
        .await
        .assert_problem(400, "malformed-body");
}

/// A form field that is sent twice has its last value, as in the original.
#[tokio::test]
async fn repeated_form_field_takes_the_last_value() {
    let app = TestApp::new().await;
    let form = [
        ("email", "first@example.com"),
        ("email", "last@example.com"),
        ("username", "u"),
        ("password", PASSWORD),
    ];
    let answer = app
        .send(app.request(Method::POST, "/api/register/").form(&form))
        .await;
    assert_eq!(answer.text("/email"), "last@example.com");
}

/// A3: a client learns that its body is too large.
#[tokio::test]
async fn body_over_the_limit_returns_413_problem() {
    let app = TestApp::new().await;
    for path in PUBLIC_POSTS {
        let size = if path == "/api/register/" {
            9 * 1024 * 1024
        } else {
            70 * 1024
        };
        let body = format!("{{\"junk\":\"{}\"}}", "x".repeat(size));
        let answer = post(&app, path, JSON, body).await;
        answer.assert_problem(413, "body-too-large");
    }
}

/// The server rejects bytes that are not HTTP, and serves the next client.
#[tokio::test]
async fn invalid_http_does_not_affect_other_clients() {
    let app = TestApp::new().await;
    for garbage in [
        &b"\x16\x03\x01\x02\0"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"POST /api/login/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ] {
        let mut connection = TcpStream::connect(app.address()).await.unwrap();
        connection.write_all(garbage).await.unwrap();
        connection.shutdown().await.unwrap();
        let answer = read_until_closed(&mut connection).await;
        assert!(
            answer.is_empty()
                || answer.starts_with("HTTP/1.1 4")
                || answer.starts_with("HTTP/1.1 5"),
            "{answer}"
        );
    }
    let live = app.send(app.request(Method::GET, "/health/live")).await;
    assert_eq!(live.status, 200);
}

/// A3: a client learns nothing about tables and SQL when the database fails.
#[tokio::test]
async fn failing_database_returns_500_without_internal_details() {
    let app = TestApp::new().await;
    fail_on(&app, "INSERT ON password_resets").await;

    let answer = app
        .post("/auth/email_request/", json!({"email": "a@example.com"}))
        .await;

    answer.assert_problem(500, "internal");
    let body = answer.body.to_string();
    for inside in [
        "password_resets",
        "refused",
        "SQL",
        "sqlx",
        "relation",
        "table",
    ] {
        assert!(!body.contains(inside), "{body}");
    }
}

/// A3: developers can open the URL of a problem type.
#[tokio::test]
async fn problem_type_url_describes_the_problem() {
    let app = TestApp::new().await;
    for problem in latchkey_api::http::error::ProblemType::all() {
        let answer = app
            .send(app.request(Method::GET, &format!("/problems/{}", problem.name)))
            .await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.as_str().unwrap().starts_with(problem.title));
    }
}

/// Makes a write fail with an error of the database that has no known reason.
pub(crate) async fn fail_on(app: &TestApp, write: &str) {
    let fail = if app.database.is_postgres() {
        format!(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'division_by_zero'; END $$;              CREATE TRIGGER fail BEFORE {write} FOR EACH ROW EXECUTE FUNCTION fail()"
        )
    } else {
        // An integer overflow.
        format!(
            "CREATE TRIGGER fail BEFORE {write} BEGIN SELECT abs(-9223372036854775807 - 1); END"
        )
    };
    app.database.db.execute_unprepared(&fail).await.unwrap();
}

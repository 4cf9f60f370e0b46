//! Errors of the framework's own: each is a problem like any other (A3).

use latchkey_testing::PATIENCE;
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::test_app::TestApp;

const POSTS: [&str; 7] = [
    "/api/register/",
    "/api/login/",
    "/auth/refresh/",
    "/auth/email_request/",
    "/auth/check_otp/",
    "/auth/reset_password/",
    "/auth/logout/",
];

/// A3
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

/// A3
#[tokio::test]
async fn wrong_method_returns_405_problem() {
    let app = TestApp::new().await;
    for path in POSTS {
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

/// A3
#[tokio::test]
async fn unsupported_media_type_returns_415_problem() {
    let app = TestApp::new().await;
    for path in POSTS {
        for media_type in [
            "text/plain",
            "application/vnd.api+json",
            "application/xml",
            "",
            "nonsense",
        ] {
            let request = app
                .request(Method::POST, path)
                .header("content-type", media_type)
                .body("{}");
            app.send(request)
                .await
                .assert_problem(415, "unsupported-media-type");
        }
        let no_type = app.request(Method::POST, path).body("{}");
        app.send(no_type)
            .await
            .assert_problem(415, "unsupported-media-type");
    }
}

#[tokio::test]
async fn json_media_type_with_parameters_is_accepted() {
    let app = TestApp::new().await;
    for media_type in [
        "Application/JSON; charset=UTF-8",
        "application/json;charset=utf-8",
        "application/json ; x=y",
    ] {
        let request = app
            .request(Method::POST, "/auth/email_request/")
            .header("content-type", media_type);
        let answer = app
            .send(request.body(json!({"email": "a@example.com"}).to_string()))
            .await;
        assert_eq!(answer.status, 201, "{media_type}: {answer:?}");
    }
}

#[tokio::test]
async fn missing_body_is_read_as_empty_form() {
    let app = TestApp::new().await;
    for path in POSTS {
        app.send(app.request(Method::POST, path))
            .await
            .assert_problem(400, "invalid-input");
        let empty = app
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .body("");
        app.send(empty).await.assert_problem(400, "invalid-input");
    }
}

/// A3, and S17 of the original: some of these were 500s.
#[tokio::test]
async fn malformed_body_returns_400_problem() {
    let app = TestApp::new().await;
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for path in POSTS {
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
            let request = app
                .request(Method::POST, path)
                .header("content-type", "application/json");
            app.send(request.body(body.to_owned()))
                .await
                .assert_problem(400, "malformed-body");
        }
        let latin1 = app
            .request(Method::POST, path)
            .header("content-type", "application/json");
        app.send(latin1.body(b"{\"email\":\"\xe9\"}".to_vec()))
            .await
            .assert_problem(400, "malformed-body");
        let no_boundary = app
            .request(Method::POST, path)
            .header("content-type", "multipart/form-data");
        app.send(no_boundary.body("x"))
            .await
            .assert_problem(400, "malformed-body");
        let cut_off = app
            .request(Method::POST, path)
            .header("content-type", "multipart/form-data; boundary=b");
        let body = "--b\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na";
        app.send(cut_off.body(body))
            .await
            .assert_problem(400, "malformed-body");
        let many: Vec<_> = (0..2_000)
            .map(|number| (format!("k{number}"), "v"))
            .collect();
        app.send(app.request(Method::POST, path).form(&many))
            .await
            .assert_problem(400, "malformed-body");
    }
}

/// Whatever is nested in a field, and however deep, it is no text, and the answer names the field.
#[tokio::test]
async fn deeply_nested_body_returns_400_problem() {
    let app = TestApp::new().await;
    let deep = format!(
        "{{\"email\":{}1{}}}",
        "{\"a\":[".repeat(5_000),
        "]}".repeat(5_000)
    );
    let wide = format!("{{\"email\":[{}1]}}", "1,".repeat(30_000));
    for path in ["/api/register/", "/api/login/", "/auth/email_request/"] {
        for body in [&deep, &wide] {
            let request = app
                .request(Method::POST, path)
                .header("content-type", "application/json");
            let answer = app.send(request.body(body.clone())).await;
            answer.assert_problem(400, "invalid-input");
            assert!(
                answer
                    .invalid_fields()
                    .contains(&("email".to_owned(), "type".to_owned())),
                "{answer:?}"
            );
        }
    }
    // What a body of 8 MiB has room for, and on a thread of 2 MiB of stack would be far beyond its end.
    let deeper = format!(
        "{{\"image\":{}1{}}}",
        "{\"a\":[".repeat(50_000),
        "]}".repeat(50_000)
    );
    let unclosed = format!("{{\"image\":{}", "[".repeat(8_000_000));
    for (body, problem) in [(deeper, "invalid-input"), (unclosed, "malformed-body")] {
        let request = app
            .request(Method::POST, "/api/register/")
            .header("content-type", "application/json");
        let answer = app.send(request.body(body)).await;
        answer.assert_problem(400, problem);
    }
    let many: serde_json::Map<_, _> = (0..2_000)
        .map(|number| (format!("k{number}"), json!(1)))
        .collect();
    app.post("/api/register/", many.into())
        .await
        .assert_problem(400, "malformed-body");
}

/// Of a field that comes twice the last counts, as in the original.
#[tokio::test]
async fn repeated_form_field_takes_the_last_value() {
    let app = TestApp::new().await;
    let form = [
        ("email", "first@example.com"),
        ("email", "last@example.com"),
        ("username", "u"),
        ("password", crate::support::test_app::PASSWORD),
    ];
    let answer = app
        .send(app.request(Method::POST, "/api/register/").form(&form))
        .await;
    assert_eq!(answer.text("/email"), "last@example.com");
}

/// A3: a body over the limit is refused before it is read.
#[tokio::test]
async fn body_over_the_limit_returns_413_problem() {
    let app = TestApp::new().await;
    for path in POSTS {
        let size = if path == "/api/register/" {
            9 * 1024 * 1024
        } else {
            70 * 1024
        };
        let body = format!("{{\"junk\":\"{}\"}}", "x".repeat(size));
        let request = app
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .body(body);
        app.send(request)
            .await
            .assert_problem(413, "body-too-large");
    }
}

/// What is no HTTP is answered and closed, and the next client is served.
#[tokio::test]
async fn invalid_http_does_not_affect_other_clients() {
    let app = TestApp::new().await;
    let address = app.base.strip_prefix("http://").unwrap();
    for garbage in [
        &b"\x16\x03\x01\x02\0"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"POST /api/login/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(garbage).await.unwrap();
        connection.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer))
            .await
            .unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty()
                || answer.starts_with("HTTP/1.1 4")
                || answer.starts_with("HTTP/1.1 5"),
            "{answer}"
        );
    }
    assert_eq!(
        app.send(app.request(Method::GET, "/health/live"))
            .await
            .status,
        200
    );
}

/// A3: what is wrong inside is not said outside.
#[tokio::test]
async fn failing_database_returns_500_without_internal_details() {
    use sea_orm::ConnectionTrait as _;
    let app = TestApp::new().await;
    app.database
        .db
        .execute_unprepared("ALTER TABLE password_resets RENAME TO elsewhere")
        .await
        .unwrap();

    let answer = app
        .post("/auth/email_request/", json!({"email": "a@example.com"}))
        .await;

    answer.assert_problem(500, "internal");
    let body = answer.body.to_string();
    for inside in [
        "password_resets",
        "elsewhere",
        "SQL",
        "sqlx",
        "relation",
        "table",
    ] {
        assert!(!body.contains(inside), "{body}");
    }
}

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

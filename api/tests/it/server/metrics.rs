//! `GET /metrics` on its own port.

use reqwest::Method;

use crate::support::test_app::{PASSWORD, TestApp};

/// Operators see the requests of each route. Emails, unknown paths and unknown methods are not labels.
#[tokio::test]
async fn metrics_count_requests_without_personal_data() {
    let mut app = TestApp::new().await;
    app.set("METRICS_BIND", "127.0.0.1:0");
    let mut process = app.serve().await;
    let metrics_url = process.wait_for_url("Metrics on").await;

    app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", "a wrong password").await;
    app.try_login("ada@example.com", PASSWORD).await;
    app.send(app.request(Method::GET, "/secret-path")).await;
    app.send(app.request(Method::from_bytes(b"BREW").unwrap(), "/docs"))
        .await;

    let metrics = app.http.get(format!("{metrics_url}/metrics"));
    let text = app.send(metrics).await.body;
    let text = text.as_str().unwrap();
    for line in [
        r#"latchkey_build_info{program="latchkey-api""#,
        r#"latchkey_http_requests_total{method="POST",route="/api/login",status="200"} 2"#,
        r#"latchkey_http_requests_total{method="POST",route="/api/login",status="401"} 1"#,
        r#"latchkey_http_requests_total{method="GET",route="unknown",status="404"} 1"#,
        r#"latchkey_http_requests_total{method="_OTHER",route="/docs",status="405"} 1"#,
        r#"latchkey_http_request_duration_seconds_count{method="POST",route="/api/register"} 1"#,
        "latchkey_password_hash_wait_seconds_count 4",
        "latchkey_password_hash_queue_depth 0",
        "latchkey_password_hash_refused_total 0",
        r#"latchkey_queue_depth{priority="normal"} 1"#,
        r#"latchkey_queue_depth{priority="high"} 0"#,
        r#"latchkey_mails_queued_total{kind="welcome"} 1"#,
        r#"latchkey_database_connections{state="open"}"#,
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    for personal in ["ada", "example.com", "secret-path", "BREW"] {
        assert!(!text.contains(personal), "{personal} is in:\n{text}");
    }
    let public = app.send(app.request(Method::GET, "/metrics")).await;
    public.assert_problem(404, "not-found");
}

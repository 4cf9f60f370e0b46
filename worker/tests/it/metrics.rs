//! Metrics and health checks of the worker.

use latchkey_shared::{clock::Clock, models::mail::MailState};
use latchkey_testing::{Fault, RedisServer, wait_for};

use crate::test_app::{TestApp, get};

/// A restart would not help, so the liveness check passes.
#[tokio::test]
async fn smtp_outage_worker_is_live_but_not_ready() {
    let mut app = TestApp::new().await;
    app.sink.stop();
    let (_worker, base) = app
        .process_with_metrics(&["run", "--concurrency", "2"])
        .await;

    let (status, body) = get(&format!("{base}/health/ready")).await;

    assert_eq!(
        (status, body.as_str()),
        (
            503,
            r#"{"status":"unavailable","database":"ok","redis":"ok","smtp":"fails"}"#
        )
    );
    assert_eq!(get(&format!("{base}/health/live")).await.0, 200);
}

/// Without Redis the worker is degraded and still ready, as it delivers notices.
#[tokio::test]
async fn metrics_count_outcomes_and_health_names_dependencies() {
    let mut app = TestApp::new().await;
    app.clock = Clock::system();
    let mut redis = RedisServer::start().await;
    app.use_redis(&redis.url()).await;
    app.users(4).await;
    app.sink.set_fault(Fault::RefuseRecipients(
        vec!["user3@example.com".to_owned()],
        550,
    ));
    let (mut worker, base) = app.process_with_metrics(&[]).await;

    app.request_resets(4).await;
    app.reset("unknown@example.com").await;
    app.wait_for(MailState::Sent, 3).await;
    app.wait_for(MailState::Failed, 1).await;
    app.wait_for(MailState::Cancelled, 1).await;

    let (status, text) = get(&format!("{base}/metrics")).await;
    assert_eq!(status, 200);
    for line in [
        r#"latchkey_build_info{program="latchkey-worker""#,
        r#"latchkey_delivery_attempts_total{kind="reset_code",outcome="sent"} 3"#,
        r#"latchkey_delivery_attempts_total{kind="reset_code",outcome="failed"} 1"#,
        r#"latchkey_delivery_attempts_total{kind="reset_code",outcome="cancelled"} 1"#,
        r#"latchkey_mails{kind="reset_code",state="sent"} 3"#,
        r#"latchkey_mails{kind="reset_code",state="failed"} 1"#,
        "latchkey_mail_delay_seconds_count 3",
        "latchkey_delivery_duration_seconds_count 5",
        "latchkey_mail_oldest_queued_age_seconds 0",
        r#"latchkey_queue_depth{priority="high"}"#,
        r#"latchkey_queue_depth{priority="normal"} 0"#,
        "latchkey_mail_attempts_count 3",
        r#"latchkey_smtp_duration_seconds_count{result="accepted"} 3"#,
        r#"latchkey_smtp_duration_seconds_count{result="refused"} 1"#,
        "latchkey_relay_pushes_total",
        r#"latchkey_database_connections{state="open"}"#,
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    assert!(!text.contains("example.com"), "{text}");
    assert_eq!(get(&format!("{base}/health/live")).await.0, 200);
    let (status, body) = get(&format!("{base}/health/ready")).await;
    assert_eq!(
        (status, body.as_str()),
        (
            200,
            r#"{"status":"ok","database":"ok","redis":"ok","smtp":"ok"}"#
        )
    );

    redis.kill().await;
    let ready = async || get(&format!("{base}/health/ready")).await;
    let (_, body) = wait_for("degraded", ready, |(status, body)| {
        assert_eq!(*status, 200, "{body}");
        body.contains(r#""status":"degraded""#)
    })
    .await;
    assert!(
        body.contains(r#""database":"ok""#) && !body.contains(r#""redis":"ok""#),
        "{body}"
    );
    assert_eq!(get(&format!("{base}/health/live")).await.0, 200);
    worker.wait_for_line("Dependency failed").await;
}

/// No machine has a documentation address (RFC 5737): the worker warns, and then stops as it cannot listen there.
#[tokio::test]
async fn metrics_on_reachable_address_log_a_warning() {
    let mut app = TestApp::new().await;
    app.set("METRICS_BIND", "192.0.2.1:9101");
    let mut worker = app.process(&[]);

    let line = worker.wait_for_line("METRICS_BIND is 192.0.2.1:9101").await;

    assert!(
        line.contains("WARN") && line.contains("ENVIRONMENT=production"),
        "{line}"
    );
}

//! A request, its mail and the SMTP conversations share one trace.

use latchkey_testing::{Collector, Fault, Span, wait_for};
use tokio::net::TcpListener;

use super::{Installation, user};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENTS_SPAN: &str = "00f067aa0ba902b7";

/// Requests a code in the trace of a client.
async fn request_code(it: &Installation, address: &str) -> u16 {
    request_code_in(it, address, &format!("00-{TRACE}-{CLIENTS_SPAN}-01")).await
}

async fn request_code_in(it: &Installation, address: &str, traceparent: &str) -> u16 {
    let request = it
        .http
        .post(format!("http://{address}/auth/email_request/?secret=query"))
        .header("traceparent", traceparent)
        .form(&[("email", user(0))])
        .send();
    request.await.unwrap().status().as_u16()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// An operator can follow a request from the client's trace through the API and the worker to SMTP. No span contains a secret.
#[tokio::test]
async fn request_mail_and_conversations_share_one_trace() {
    let mut it = Installation::with_users(1).await;
    let collector = Collector::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), collector.url()).unwrap();
    let path = file.path().to_str().unwrap();
    it.app.set("OTEL_EXPORTER_OTLP_ENDPOINT_FILE", path);
    it.app.sink.set_fault(Fault::RefuseFirst(1, 451));
    let (api, worker) = (it.api().await, it.worker().await);

    assert_eq!(request_code(&it, &api.address).await, 201);
    it.wait_until_all_sent(1).await;
    // The remaining spans are sent at shutdown.
    let (mut process, address) = (api.process, api.address);
    process.terminate().await;
    assert_eq!(process.exit().await.code(), Some(0));
    worker.terminate().await;
    let (code, log) = worker.output().await;
    assert_eq!(code, Some(0), "{log}");

    let spans = collector.spans();
    let all: Vec<_> = spans.iter().filter(|span| span.trace_id == TRACE).collect();
    assert_eq!(all.len(), 5, "{spans:#?}");
    let request = named(&spans, "POST /auth/email_request")[0];
    assert_eq!(
        (request.service.as_str(), request.kind),
        ("latchkey-api", 2)
    );
    assert_eq!(request.parent_id, CLIENTS_SPAN);
    let kept = format!("00-{TRACE}-{}-01", request.id);
    assert_eq!(it.app.rows().await[0].trace.as_deref(), Some(&*kept));
    assert!(spans.iter().all(|span| span.events == 0), "{spans:#?}");
    let (deliveries, conversations) = (named(&spans, "delivery"), named(&spans, "smtp"));
    assert_eq!(
        (deliveries.len(), conversations.len()),
        (2, 2),
        "{spans:#?}"
    );
    for delivery in &deliveries {
        assert_eq!(
            (delivery.service.as_str(), delivery.kind),
            ("latchkey-worker", 5)
        );
        assert_eq!(delivery.parent_id, request.id);
    }
    for conversation in &conversations {
        assert_eq!(conversation.kind, 3);
        let around = deliveries.iter().find(|it| it.id == conversation.parent_id);
        assert_eq!(around.unwrap().failed, conversation.failed);
    }
    assert_eq!(conversations.iter().filter(|it| it.failed).count(), 1);
    let mail = it.app.sink.mails().remove(0);
    let sent: Vec<u8> = collector.bodies().concat();
    let sent = String::from_utf8_lossy(&sent);
    for secret in [
        "@example.com",
        "query",
        "secret",
        &mail.code().unwrap(),
        &address,
    ] {
        assert!(!sent.contains(secret), "{secret} was sent to the collector");
    }
    assert!(log.contains(TRACE), "{log}");
}

/// Without `OTEL_EXPORTER_OTLP_ENDPOINT`, mails and log lines have no trace.
#[tokio::test]
async fn no_collector_disables_tracing() {
    let it = Installation::with_users(1).await;
    let (api, _worker) = (it.api().await, it.worker().await);

    assert_eq!(request_code(&it, &api.address).await, 201);
    it.wait_until_all_sent(1).await;

    assert_eq!(it.app.rows().await[0].trace, None);
    assert!(!api.process.lines().join(" ").contains("trace.id"));
}

/// Requests and deliveries continue, and both programs exit with 0.
#[tokio::test]
async fn hanging_collector_delays_only_the_shutdown() {
    let mut it = Installation::with_users(1).await;
    let collector = Collector::start_hanging().await;
    it.app.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let (mut api, mut worker) = (it.api().await, it.worker().await);

    for number in 1..=20 {
        assert_eq!(request_code(&it, &api.address).await, 201);
        it.wait_until_all_sent(number).await;
    }

    // Both programs exit although the collector does not accept their last spans.
    for process in [&mut api.process, &mut worker] {
        process.terminate().await;
        assert_eq!(process.exit().await.code(), Some(0));
    }
    worker
        .wait_for_line("Export of the last spans failed or timed out")
        .await;
}

#[tokio::test]
async fn invalid_collector_url_stops_the_start() {
    let mut it = Installation::new().await;
    let url = "https://user:hunter2@collector.example.com";
    it.app.set("OTEL_EXPORTER_OTLP_ENDPOINT", url);

    let (code, log) = it.app.process(&[]).output().await;

    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("OTEL_EXPORTER_OTLP_ENDPOINT: expected the http:// URL"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

/// A request that its client did not sample sends no span. A request with an invalid header starts a new trace.
#[tokio::test]
async fn traceparent_sampling_is_respected_and_invalid_one_replaced() {
    let mut it = Installation::with_users(1).await;
    let collector = Collector::start().await;
    it.app.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let mut api = it.api().await;

    let not_sampled = format!("00-{TRACE}-{CLIENTS_SPAN}-00");
    assert_eq!(request_code_in(&it, &api.address, &not_sampled).await, 201);
    assert_eq!(
        request_code_in(&it, &api.address, "00-no-trace-01").await,
        201
    );

    let mut rows = it.app.rows().await;
    rows.sort_by_key(|row| row.created_at);
    let kept: Vec<_> = rows.into_iter().filter_map(|row| row.trace).collect();
    assert!(kept[0].contains(TRACE) && kept[0].ends_with("-00"));
    assert!(!kept[1].contains(TRACE) && kept[1].ends_with("-01"));
    api.process.terminate().await;
    assert_eq!(api.process.exit().await.code(), Some(0));
    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!(spans[0].parent_id, "");
    assert_eq!(
        kept[1],
        format!("00-{}-{}-01", spans[0].trace_id, spans[0].id)
    );
}

#[tokio::test]
async fn log_filter_does_not_filter_traces() {
    let mut it = Installation::with_users(1).await;
    let collector = Collector::start().await;
    it.app.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    it.app.set("RUST_LOG", "off");
    it.app.request_resets(1).await;
    let worker = it.app.process(&[]);
    it.wait_until_all_sent(1).await;

    // Sent by the interval of the exporter, without a shutdown.
    let spans = async || collector.spans();
    let spans = wait_for("two spans", spans, |spans| spans.len() >= 2).await;
    let (delivery, conversation) = (named(&spans, "delivery")[0], named(&spans, "smtp")[0]);
    assert_eq!(delivery.parent_id, "", "the request had no trace");
    assert_eq!(conversation.parent_id, delivery.id);
    assert_eq!(worker.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn unreachable_collector_is_logged_once() {
    let mut it = Installation::with_users(1).await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unused = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    it.app.set("OTEL_EXPORTER_OTLP_ENDPOINT", &unused);
    let mut api = it.api().await;

    assert_eq!(request_code(&it, &api.address).await, 201);
    let line = api
        .process
        .wait_for_line("Export of spans to OTEL_EXPORTER_OTLP_ENDPOINT failed")
        .await;
    assert!(line.contains("Connection refused"), "{line}");
    assert_eq!(request_code(&it, &api.address).await, 201);

    api.process.terminate().await;
    let (code, log) = api.process.output().await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(
        log.matches("Export of spans to OTEL_EXPORTER_OTLP_ENDPOINT failed")
            .count(),
        1,
        "{log}"
    );
}

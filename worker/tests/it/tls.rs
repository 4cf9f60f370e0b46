//! TLS and logins on SMTP connections.

use latchkey_testing::Security;
use latchkey_worker::delivery::Outcome;

use crate::test_app::TestApp;

async fn deliver(app: &TestApp) -> Outcome {
    let mail = app.queue_code("ada@example.com").await;
    app.deliver(mail).await
}

#[tokio::test]
async fn offered_starttls_is_used() {
    let app = TestApp::with(Security::StartTls, None).await;
    assert_eq!(deliver(&app).await, Outcome::Sent);
    assert!(app.sink.mails()[0].encrypted);
}

/// Keywords and mechanisms of a server may have any case (RFC 5321, 4.1.1.1).
#[tokio::test]
async fn extensions_in_lower_case_are_used() {
    let app = TestApp::with(Security::StartTls, Some(("ada", "secret"))).await;
    app.sink
        .offer_extensions(&["StartTls", "8bitmime", "auth plain login"]);
    assert_eq!(deliver(&app).await, Outcome::Sent);
    assert!(app.sink.mails()[0].encrypted);
}

#[tokio::test]
async fn implicit_tls_works_with_login() {
    let app = TestApp::with(Security::Implicit, Some(("ada", "secret"))).await;
    assert_eq!(deliver(&app).await, Outcome::Sent);
    assert!(app.sink.mails()[0].encrypted);
}

/// A relay in the operator's own network may have no TLS.
#[tokio::test]
async fn server_without_starttls_is_accepted_by_default() {
    let mut app = TestApp::new().await;
    let url = app.sink.url();
    app.set("SMTP_URL", &url);
    assert_eq!(deliver(&app).await, Outcome::Sent);
    assert!(!app.sink.mails()[0].encrypted);
}

/// `tls=required`: the mail is deferred if the server does not offer STARTTLS.
#[tokio::test]
async fn required_tls_sends_no_plain_text() {
    let mut app = TestApp::new().await;
    let url = format!("{}?tls=required", app.sink.url());
    app.set("SMTP_URL", &url);
    assert_eq!(deliver(&app).await, Outcome::Deferred);
    assert!(app.sink.mails().is_empty());
}

/// With a login, TLS is required unless `SMTP_URL` says `tls=none` or `tls=opportunistic`.
#[tokio::test]
async fn password_is_sent_unencrypted_only_if_configured() {
    let app = TestApp::with(Security::Plain, Some(("ada", "secret"))).await;
    assert_eq!(deliver(&app).await, Outcome::Deferred);
    assert!(app.sink.mails().is_empty());
}

#[tokio::test]
async fn certificate_of_unknown_authority_is_rejected() {
    let mut app = TestApp::with(Security::Implicit, None).await;
    app.variables.remove("SMTP_CA_FILE");
    assert_eq!(deliver(&app).await, Outcome::Deferred);
    assert!(app.sink.mails().is_empty());
}

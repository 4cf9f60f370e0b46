//! O4: a code is only in its mail and, encrypted, in Redis.

use latchkey_testing::Fault;
use latchkey_worker::delivery::Outcome;

use crate::test_app::TestApp;

#[tokio::test]
async fn mailed_code_is_stored_encrypted_only() {
    let app = TestApp::new().await;
    app.user("ada@example.com").await;
    let (reset, written) = app.write_reset("ada@example.com").await;
    app.outbox().notify_worker(written).await;
    let pushed = app.redis.dump().await;
    let mail = app.rows().await[0].id;
    assert!(pushed.contains(&mail.to_string()), "{pushed}");
    assert!(!pushed.contains('@'), "{pushed}");

    assert_eq!(app.deliver(mail).await, Outcome::Sent);

    let arrived = app.sink.mails().remove(0);
    let code = arrived.code().unwrap();
    assert_eq!(code.len(), 6);
    assert!(arrived.subject.starts_with(&code), "{}", arrived.subject);
    assert!(arrived.html.contains(&code));
    let kept = app.codes().find(reset).await.unwrap().unwrap();
    assert!(kept.matches(&code.parse().unwrap()));

    // Ids and times contain digits, too. A code stands between other characters.
    for text in [
        app.redis.dump().await,
        format!("{:?}", app.rows().await),
        format!("{:?}", app.reset_row(reset).await),
    ] {
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
        assert!(!words.any(|word| word == code), "{code} is in {text}");
    }
    assert!(app.redis.dump().await.contains(&reset.to_string()));
}

/// A refusal may repeat the subject, which contains the code.
#[tokio::test]
async fn code_repeated_by_server_is_not_stored() {
    let app = TestApp::new().await;
    let mail = app.queue_code("ada@example.com").await;
    app.sink.set_fault(Fault::RepeatSubject(554));

    assert_eq!(app.deliver(mail).await, Outcome::Deferred);

    let words = app.row(mail).await.last_error.unwrap();
    assert!(words.contains("… is your Latchkey code"), "{words}");
}

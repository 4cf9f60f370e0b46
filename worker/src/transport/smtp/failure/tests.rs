//! What a reply means for its mail, and for delivery health.

use super::*;

/// R3: silence after `RCPT TO` may be about the recipient, silence before about the server.
#[test]
fn timeout_from_recipient_on_is_refusal() {
    let (silent, begun) = (ReplyState::default(), ReplyState::begun());
    let cause = |stage, replies| {
        let limit = Duration::from_secs(3);
        SmtpFailure::timed_out(stage, limit).after(replies).cause()
    };
    assert_eq!(cause(Stage::Recipient, &begun), FailureCause::Refusal);
    assert_eq!(cause(Stage::Recipient, &silent), FailureCause::Refusal);
    assert_eq!(cause(Stage::Body, &silent), FailureCause::Refusal);
    assert_eq!(cause(Stage::Sender, &silent), FailureCause::Connection);
    assert_eq!(cause(Stage::Sender, &begun), FailureCause::Connection);
}

#[test]
fn cause_follows_reply_code_of_recipient() {
    let cause = |reply| {
        let failure = SmtpFailure::new(Stage::Recipient, reply, "");
        failure.kind().to_string()
    };
    for (code, enhanced, expected) in [
        (550, "5.4.4", "recipient RCPT TO 550 5.4.4"),
        (553, "5.6.7", "recipient RCPT TO 553 5.6.7"),
        (450, "4.7.1", "refusal RCPT TO 450 4.7.1"),
        (421, "4.7.0", "refusal RCPT TO 421 4.7.0"),
    ] {
        assert_eq!(cause(Reply::Code(code, enhanced.parse().ok())), expected);
    }
    assert_eq!(cause(Reply::Unreadable), "refusal RCPT TO unreadable");
    assert_eq!(cause(Reply::Disconnected), "refusal RCPT TO");
    let local = SmtpFailure::before(Stage::Recipient, "message");
    assert_eq!(local.kind().to_string(), "recipient ");
}

#[test]
fn only_recipient_refusals_are_final() {
    for (code, text, expected) in [
        (550, "", false),
        (550, "user unknown", true),
        (550, "5.1.1 unknown", false),
        (550, "5.1.1 user unknown", true),
        (550, "5.1.1", true),
        (552, "5.2.2 full", false),
        (550, "user unknown 5.2.2", false),
        (550, "mailbox full", false),
        (550, "5.1.0 rejected", false),
        (550, "5.2.0 mailbox", false),
        (550, "5.2.4 mailing list", false),
        (550, "5.1.5 valid", false),
        (550, "5.1.7 sender", false),
        (550, "5.1.9 relayed", false),
        (550, "5.1.2 no such host", false),
        (550, "5.1.2 no such address", true),
        (501, "5.1.3 syntax", false),
        (501, "5.1.3", true),
        (553, "5.1.4 user unknown", false),
        (551, "5.1.6 user unknown", true),
        (556, "5.1.10 recipient not found", true),
        (550, "5.2.1 mailbox disabled", true),
        (550, "5.2.1", false),
        (552, "5.2.3 too long", false),
        (550, "user unknown (table 2.1)", false),
        (550, "user unknown [5.1.1]", true),
        (550, "5.7.1: denied", false),
        (550, "#5.7.1 denied", false),
        (550, "5.1.8 sender", false),
        (550, "4.1.1 user unknown", false),
        (550, "5.1.1 user unknown 5.7.1", false),
        (550, "5.7.1/5.1.1 denied", false),
        (550, "5. 7. 1 denied", false),
        (550, "5 .7 .1 denied", false),
        (550, "5.01.1 user unknown", false),
        (550, "user unknown (server 10.5.1.1a)", false),
        (552, "full", false),
        (554, "5.1.1 user unknown", true),
        (554, "user unknown", false),
        (450, "5.1.1 user unknown", false),
        (450, "4.1.1 user unknown", false),
        (571, "denied", false),
    ] {
        assert_eq!(
            refuses_recipient(code, text, "ada@example.com"),
            expected,
            "{code} {text}"
        );
    }
}

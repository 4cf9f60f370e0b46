//! `latchkey-worker mails` and the usage of the command line.

use latchkey_shared::models::mail::{MailKind, MailState};
use latchkey_testing::{Fault, closed_pipe, full_disk};
use latchkey_worker::delivery::Outcome;

use crate::test_app::TestApp;

#[tokio::test]
async fn failed_mails_can_be_listed_and_retried() {
    let app = TestApp::new().await;
    app.user("ada@example.com").await;
    let (_, mail) = app.reset("ada@example.com").await;
    app.sink.set_fault(Fault::ReplyFirst(1, 550));
    assert_eq!(app.deliver(mail).await, Outcome::Failed);

    let list = ["mails", "list", "--state", "failed"];
    let (code, table) = app.process(&list).output().await;
    assert_eq!(code, Some(0), "{table}");
    for part in [
        &mail.to_string(),
        "reset_code",
        "failed",
        "ada@example.com",
        "550",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let (_, json) = app.process(&["mails", "list", "--json"]).output().await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["state"], &json["attempts"]),
        (&"failed".into(), &1.into())
    );

    let (code, text) = app
        .process(&["mails", "retry", "--state", "failed"])
        .output()
        .await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(app.row(mail).await.state, MailState::Queued);
    app.clock.advance(chrono::TimeDelta::seconds(60));
    assert_eq!(app.deliver(mail).await, Outcome::Sent);

    let (code, text) = app
        .process(&["mails", "retry", &mail.to_string()])
        .output()
        .await;
    assert_eq!(code, Some(3), "sent already: {text}");
    let (code, text) = app.process(&list).output().await;
    assert_eq!(code, Some(3), "none failed: {text}");
}

#[tokio::test]
async fn mails_list_filters_by_kind_recipient_and_time() {
    let app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    app.user("eve@example.com").await;
    let (_, code) = app.reset("ada@example.com").await;
    let (_, other) = app.reset("eve@example.com").await;
    let notice = app.notice(MailKind::Welcome, &user).await;

    for (arguments, expected) in [
        (vec!["--kind", "welcome"], vec![notice]),
        (vec!["--to", "EVE@example.com"], vec![other]),
        (
            vec!["--to", "ada@example.com", "--kind", "reset_code"],
            vec![code],
        ),
        (
            vec!["--since", "1h", "--to", "eve@example.com"],
            vec![other],
        ),
        (vec!["--since", "2999-01-01T00:00:00Z"], vec![]),
        (vec!["--state", "sent"], vec![]),
        (vec!["--limit", "1", "--kind", "welcome"], vec![notice]),
    ] {
        let (code, table) = app
            .process(&[&["mails", "list"], &arguments[..]].concat())
            .output()
            .await;
        assert_eq!(
            code,
            Some(if expected.is_empty() { 3 } else { 0 }),
            "{arguments:?}: {table}"
        );
        let listed = table.lines().skip(1).count();
        assert_eq!(listed, expected.len(), "{arguments:?}: {table}");
        assert!(
            expected.iter().all(|id| table.contains(&id.to_string())),
            "{arguments:?}: {table}"
        );
    }
    let (_, text) = app
        .process(&["mails", "show", &code.to_string()])
        .output()
        .await;
    for part in [
        "reset_code",
        "queued",
        "ada@example.com",
        "attempts        0",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let unknown = "00000000-0000-7000-8000-000000000000";
    assert_eq!(
        app.process(&["mails", "show", unknown]).output().await.0,
        Some(3)
    );
}

#[tokio::test]
async fn mails_cancel_ends_only_queued_mails() {
    let app = TestApp::new().await;
    app.user("ada@example.com").await;
    let (_, first) = app.reset("ada@example.com").await;
    let (_, second) = app.reset("ada@example.com").await;
    assert_eq!(app.deliver(second).await, Outcome::Sent);

    let cancel = |id: uuid::Uuid| app.process(&["mails", "cancel", &id.to_string()]).output();
    assert_eq!(cancel(first).await.0, Some(0));
    assert_eq!(cancel(first).await.0, Some(3));
    assert_eq!(cancel(second).await.0, Some(3));

    assert_eq!(app.deliver(first).await, Outcome::NotClaimed);
    assert_eq!(app.row(first).await.state, MailState::Cancelled);
    assert_eq!(app.sink.mails().len(), 1);
}

#[tokio::test]
async fn usage_error_exits_with_2_help_lists_variables() {
    let app = TestApp::new().await;
    for wrong in [
        vec!["mails", "retry"],
        vec!["mails", "list", "--state", "lost"],
        vec!["mails", "list", "--kind", "lost"],
        vec!["mails", "list", "--since", "yesterday"],
        vec!["mails", "cancel"],
        vec!["fly"],
    ] {
        let (code, text) = app.process(&wrong).output().await;
        assert_eq!(code, Some(2), "{wrong:?}: {text}");
    }
    let (code, help) = app.process(&["--help"]).output().await;
    assert_eq!(code, Some(0));
    for variable in [
        "SMTP_URL",
        "SMTP_CA_FILE",
        "WORKER_CONCURRENCY",
        "METRICS_BIND",
        "SECRET_KEY",
    ] {
        assert!(help.contains(variable), "{variable}: {help}");
    }
}

#[tokio::test]
async fn mails_cancel_and_retry_accept_filters() {
    let app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    app.user("eve@example.com").await;
    let (_, adas) = app.reset("ada@example.com").await;
    let (_, eves) = app.reset("eve@example.com").await;
    let notice = app.notice(MailKind::Welcome, &user).await;
    let states = async || {
        let mut states = Vec::new();
        for mail in [adas, eves, notice] {
            states.push(app.row(mail).await.state);
        }
        states
    };
    let (queued, cancelled) = (MailState::Queued, MailState::Cancelled);

    for (arguments, lines, expected) in [
        (
            vec!["cancel", "--to", "ada@example.com", "--kind", "reset_code"],
            1,
            [cancelled, queued, queued],
        ),
        (
            vec!["cancel", "--since", "1h", "--kind", "welcome", "--json"],
            1,
            [cancelled, queued, cancelled],
        ),
        (
            vec!["cancel", "--all"],
            1,
            [cancelled, cancelled, cancelled],
        ),
        (
            vec![
                "retry",
                "--state",
                "cancelled",
                "--to",
                "eve@example.com",
                "--json",
            ],
            1,
            [cancelled, queued, cancelled],
        ),
        (
            vec!["retry", "--state", "cancelled"],
            2,
            [queued, queued, queued],
        ),
    ] {
        let (code, text) = app
            .process(&[&["mails"], &arguments[..]].concat())
            .output()
            .await;
        assert_eq!(
            (code, text.lines().count()),
            (Some(0), lines),
            "{arguments:?}: {text}"
        );
        assert_eq!(states().await, expected, "{arguments:?}");
        if arguments.contains(&"--json") {
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["done"], true, "{text}");
        }
    }
    for nothing in [
        ["cancel", "--to", "nobody@example.com"],
        ["retry", "--state", "failed"],
    ] {
        let (code, text) = app
            .process(&[&["mails"], &nothing[..]].concat())
            .output()
            .await;
        assert_eq!(code, Some(3), "{nothing:?}: {text}");
    }
    for wrong in [
        vec!["cancel"],
        vec!["retry"],
        vec!["retry", "--to", "ada@example.com"],
    ] {
        let (code, text) = app
            .process(&[&["mails"], &wrong[..]].concat())
            .output()
            .await;
        assert_eq!(code, Some(2), "{wrong:?}: {text}");
    }
    assert_eq!(states().await, [queued; 3]);
}

/// As in `mails list | head -1`, and on a full disk.
#[tokio::test]
async fn command_without_working_stdout_does_not_panic() {
    let app = TestApp::new().await;
    app.user("ada@example.com").await;
    app.reset("ada@example.com").await;
    for command in [&["mails", "list"][..], &["doctor"], &["doctor", "--json"]] {
        let process = app.process_with_stdout(command, closed_pipe());
        let (code, output) = process.output().await;
        assert_eq!((code, output.as_str()), (Some(0), ""), "{command:?}");

        let process = app.process_with_stdout(command, full_disk());
        let (code, output) = process.output().await;
        assert_eq!(code, Some(1), "{command:?}: {output}");
        assert!(
            output.contains("standard output: No space left"),
            "{command:?}: {output}"
        );
    }
}

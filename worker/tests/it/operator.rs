//! `latchkey-worker mails` and the usage of the command line.

use latchkey_shared::models::mail::{MailKind, MailState};
use latchkey_testing::{Fault, closed_pipe, full_disk};
use latchkey_worker::delivery::Outcome;
use uuid::Uuid;

use crate::test_app::TestApp;

/// Runs `mails` with arguments that are separated by blanks.
async fn run_mails(app: &TestApp, arguments: &str) -> (Option<i32>, String) {
    let arguments: Vec<_> = ["mails"].into_iter().chain(arguments.split(' ')).collect();
    app.process(&arguments).output().await
}

/// Writes a code to `ada@example.com`, one to `eve@example.com`, and a notice to the first.
async fn write_mails(app: &TestApp) -> [Uuid; 3] {
    let user = app.user("ada@example.com").await;
    app.user("eve@example.com").await;
    let (_, first) = app.reset("ada@example.com").await;
    let (_, second) = app.reset("eve@example.com").await;
    [first, second, app.notice(MailKind::Welcome, &user).await]
}

async fn states(app: &TestApp, mails: [Uuid; 3]) -> Vec<MailState> {
    let mut states = Vec::new();
    for mail in mails {
        states.push(app.row(mail).await.state);
    }
    states
}

/// The list shows the reply of the server. A retry of a mail that was already sent exits with 3.
#[tokio::test]
async fn failed_mails_can_be_listed_and_retried() {
    let app = TestApp::new().await;
    let mail = app.queue_code("ada@example.com").await;
    app.sink.set_fault(Fault::RefuseFirst(1, 550));
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
    let [first, second, notice] = write_mails(&app).await;

    for (arguments, expected) in [
        ("list --kind welcome", vec![notice]),
        ("list --to EVE@example.com", vec![second]),
        ("list --to ada@example.com --kind reset_code", vec![first]),
        ("list --since 1h --to eve@example.com", vec![second]),
        ("list --since 2999-01-01T00:00:00Z", vec![]),
        ("list --state sent", vec![]),
        ("list --limit 1 --kind welcome", vec![notice]),
    ] {
        let (code, table) = run_mails(&app, arguments).await;
        let exit_code = if expected.is_empty() { 3 } else { 0 };
        assert_eq!(code, Some(exit_code), "{arguments}: {table}");
        let listed = table.lines().skip(1).count();
        assert_eq!(listed, expected.len(), "{arguments}: {table}");
        assert!(
            expected.iter().all(|id| table.contains(&id.to_string())),
            "{arguments}: {table}"
        );
    }
    let (_, text) = run_mails(&app, &format!("show {first}")).await;
    for part in [
        "reset_code",
        "queued",
        "ada@example.com",
        "attempts        0",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let unknown = "show 00000000-0000-7000-8000-000000000000";
    assert_eq!(run_mails(&app, unknown).await.0, Some(3));
}

#[tokio::test]
async fn mails_cancel_ends_only_queued_mails() {
    let app = TestApp::new().await;
    let first = app.queue_code("ada@example.com").await;
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
    let mails = write_mails(&app).await;
    let (queued, cancelled) = (MailState::Queued, MailState::Cancelled);

    for (arguments, lines, expected) in [
        (
            "cancel --to ada@example.com --kind reset_code",
            1,
            [cancelled, queued, queued],
        ),
        (
            "cancel --since 1h --kind welcome --json",
            1,
            [cancelled, queued, cancelled],
        ),
        ("cancel --all", 1, [cancelled; 3]),
        (
            "retry --state cancelled --to eve@example.com --json",
            1,
            [cancelled, queued, cancelled],
        ),
        ("retry --state cancelled", 2, [queued; 3]),
    ] {
        let (code, text) = run_mails(&app, arguments).await;
        assert_eq!(
            (code, text.lines().count()),
            (Some(0), lines),
            "{arguments}: {text}"
        );
        assert_eq!(states(&app, mails).await, expected, "{arguments}");
        if arguments.contains("--json") {
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["done"], true, "{text}");
        }
    }
}

/// A script sees by the exit code that no mail matches (3) or that a filter is missing (2).
#[tokio::test]
async fn mails_command_without_match_or_filter_fails() {
    let app = TestApp::new().await;
    let mails = write_mails(&app).await;
    for (arguments, expected) in [
        ("cancel --to unknown@example.com", 3),
        ("retry --state failed", 3),
        ("cancel", 2),
        ("retry", 2),
        ("retry --to ada@example.com", 2),
    ] {
        let (code, text) = run_mails(&app, arguments).await;
        assert_eq!(code, Some(expected), "{arguments}: {text}");
    }
    assert_eq!(states(&app, mails).await, [MailState::Queued; 3]);
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

//! The command line, as a process of its own.

use chrono::TimeDelta;
use latchkey_migration::{Migrator, MigratorTrait as _};
use latchkey_testing::{Process, closed_pipe, full_disk};
use reqwest::Method;

use crate::support::test_app::{PASSWORD, TestApp};

#[tokio::test]
async fn users_command_activates_deactivates_and_lists() {
    let app = TestApp::new().await;
    app.register("ada@example.com").await;

    let (code, output) = app
        .process(&["users", "activate", "ADA@example.com"])
        .output()
        .await;
    assert_eq!(code, Some(0), "{output}");
    let tokens = app.login("ada@example.com", PASSWORD).await;
    // The process goes by the machine's clock, which has moved on.
    app.advance_clock(TimeDelta::minutes(1));
    assert_eq!(
        app.mails_to("ada@example.com").await.len(),
        2,
        "a welcome and a note of the activation"
    );
    let (code, output) = app
        .process(&["users", "activate", "ada@example.com"])
        .output()
        .await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("already activated"), "{output}");
    assert_eq!(
        app.mails_to("ada@example.com").await.len(),
        2,
        "nothing changed, so nobody is told"
    );

    let (_, output) = app.process(&["users", "list"]).output().await;
    assert!(output.contains("ada@example.com"), "{output}");
    let (_, output) = app.process(&["users", "list", "--json"]).output().await;
    assert!(output.contains("\"is_activated\": true"), "{output}");

    let (code, output) = app
        .process(&["users", "deactivate", "ada@example.com"])
        .output()
        .await;
    assert_eq!(code, Some(0), "{output}");
    app.get_user(&tokens.access)
        .await
        .assert_problem(401, "not-authenticated");

    let (code, output) = app
        .process(&["users", "activate", "nobody@example.com"])
        .output()
        .await;
    assert_eq!(code, Some(1));
    assert!(
        output.contains("no account has the email address nobody@example.com"),
        "{output}"
    );
}

#[tokio::test]
async fn create_superuser_asks_for_missing_fields() {
    let app = TestApp::new().await;
    let script = format!(
        "printf '%s\\n' 'boss@example.com' 'Boss' '{PASSWORD}' | {} create-superuser --password-stdin",
        env!("CARGO_BIN_EXE_latchkey-api")
    );
    let (code, output) = Process::spawn("sh", &["-c", &script], &app.variables)
        .output()
        .await;
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains("Email address:") && output.contains("Username:"),
        "{output}"
    );
    let user = app.user("boss@example.com").await;
    assert!(user.is_staff && user.is_superuser && user.is_activated);
    app.login("boss@example.com", PASSWORD).await;

    let (code, output) = Process::spawn("sh", &["-c", &script], &app.variables)
        .output()
        .await;
    assert_eq!(code, Some(1));
    assert!(output.contains("taken"), "{output}");

    let weak = script
        .replace(PASSWORD, "password")
        .replace("boss@", "other@");
    let (code, output) = Process::spawn("sh", &["-c", &weak], &app.variables)
        .output()
        .await;
    assert_eq!(code, Some(1));
    assert!(output.contains("most common passwords"), "{output}");
}

#[tokio::test]
async fn serve_without_schema_names_the_migrate_command() {
    let mut app = TestApp::new().await;
    let folder = tempfile::tempdir().unwrap();
    app.variables.insert(
        "DATABASE_URL".to_owned(),
        format!("sqlite://{}/new/empty.db", folder.path().display()),
    );

    let (code, output) = app.process(&["serve"]).output().await;
    assert_eq!(code, Some(1));
    assert!(output.contains("latchkey-api migrate"), "{output}");

    for count in [Migrator::migrations().len(), 0] {
        let (code, output) = app.process(&["migrate"]).output().await;
        assert_eq!(code, Some(0), "{output}");
        assert!(
            output.contains(&format!("Applied {count} migration(s)")),
            "{output}"
        );
    }
}

/// Programs are replaced one by one, and one that is not replaced yet may have to start again.
#[tokio::test]
async fn serve_with_newer_schema_starts() {
    use sea_orm::ConnectionTrait as _;
    let mut app = TestApp::new().await;
    app.variables
        .insert("BIND".to_owned(), "127.0.0.1:0".to_owned());
    let step =
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_of_a_later_version', 1)";
    app.database.db.execute_unprepared(step).await.unwrap();

    let mut process = app.process(&["serve"]);

    process.wait_for_line("Listening on").await;
}

/// What a balancer needs: told to end, the API says that it is not ready, and serves on for a while.
#[tokio::test]
async fn draining_server_is_unready_but_serves() {
    let mut app = TestApp::new().await;
    for (key, value) in [("BIND", "127.0.0.1:0"), ("DRAIN_SECONDS", "3")] {
        app.variables.insert(key.to_owned(), value.to_owned());
    }
    let mut process = app.process(&["serve"]);
    app.base = process.wait_for_url("Listening on").await;
    let ready = || app.send(app.request(Method::GET, "/health/ready"));
    assert_eq!(ready().await.status, 200);

    process.terminate().await;

    let mut answer = ready().await;
    while answer.status == 200 {
        answer = ready().await;
    }
    assert_eq!(
        (answer.status.as_u16(), answer.text("/status")),
        (503, "stopping".to_owned())
    );
    let served = app.send(app.request(Method::GET, "/openapi.json")).await;
    assert_eq!(served.status, 200);
    assert_eq!(process.exit().await.code(), Some(0));
}

#[tokio::test]
async fn invalid_configuration_names_every_bad_key() {
    let mut app = TestApp::new().await;
    for (key, value) in [
        ("ENVIRONMENT", "prod"),
        ("DATABASE_URL", "mysql://x"),
        ("REDIS_URL", "http://x"),
        ("PUBLIC_URL", "accounts"),
        ("BIND", "8000"),
        ("ACCESS_TOKEN_SECONDS", "0"),
        ("OTP_TRIES", "many"),
        ("ACTIVATION", "maybe"),
        ("CORS_ORIGINS", "https://a.example.com/path"),
        ("LOG_FORMAT", "xml"),
        ("SECRET_KEY_FILE", "/dev/null"),
    ] {
        app.variables.insert(key.to_owned(), value.to_owned());
    }

    let (code, output) = app.process(&["serve"]).output().await;

    assert_eq!(code, Some(1));
    for line in [
        "ENVIRONMENT: expected development or production",
        "DATABASE_URL: expected sqlite://",
        "REDIS_URL: expected redis://",
        "PUBLIC_URL: expected the URL",
        "BIND: expected an address and a port",
        "ACCESS_TOKEN_SECONDS: expected a number from 1",
        "OTP_TRIES: expected a number from 1 to 10",
        "ACTIVATION: expected admin, email or none",
        "CORS_ORIGINS: expected origins",
        "LOG_FORMAT: expected text or json",
        "SECRET_KEY: expected either SECRET_KEY or SECRET_KEY_FILE",
    ] {
        assert!(output.contains(line), "{line} is not in: {output}");
    }
    assert!(!output.contains("mysql"), "a value was repeated: {output}");
}

#[tokio::test]
async fn production_rejects_development_settings() {
    let mut app = TestApp::new().await;
    app.variables
        .insert("ENVIRONMENT".to_owned(), "production".to_owned());
    app.variables
        .insert("SECRET_KEY".to_owned(), "short".to_owned());

    let (code, output) = app.process(&["serve"]).output().await;

    assert_eq!(code, Some(1));
    for key in [
        "SECRET_KEY: expected at least 32 bytes",
        "ARGON2_MEMORY_KIB: expected",
        "ARGON2_ITERATIONS: expected",
    ] {
        assert!(output.contains(key), "{key} is not in: {output}");
    }
    assert!(!output.contains("short"), "{output}");
}

#[tokio::test]
async fn missing_dependency_stops_start_with_remedy() {
    let mut app = TestApp::new().await;
    app.variables
        .insert("REDIS_URL".to_owned(), "redis://127.0.0.1:1".to_owned());
    let (code, output) = app.process(&["serve"]).output().await;
    assert_eq!(code, Some(1));
    assert!(
        output.contains("REDIS_URL") && output.contains("redis-server"),
        "{output}"
    );

    app.variables.insert(
        "DATABASE_URL".to_owned(),
        "postgres://u:topsecret@127.0.0.1:1/x".to_owned(),
    );
    let (code, output) = app.process(&["serve"]).output().await;
    assert_eq!(code, Some(1));
    assert!(
        output.contains("DATABASE_URL") && output.contains("postgresql"),
        "{output}"
    );
    assert!(!output.contains("topsecret"), "{output}");
}

/// A running server, its log in JSON, a request under way when SIGTERM comes: it is answered, then the server ends with 0.
#[tokio::test]
async fn sigterm_finishes_active_requests_before_exit() {
    let mut app = TestApp::new().await;
    for (key, value) in [
        ("BIND", "127.0.0.1:0"),
        ("LOG_FORMAT", "json"),
        ("ARGON2_MEMORY_KIB", "262144"),
        ("ARGON2_ITERATIONS", "3"),
    ] {
        app.variables.insert(key.to_owned(), value.to_owned());
    }
    let mut process = app.process(&[]);
    app.base = process.wait_for_url("Listening on").await;

    let slow = app.try_login("nobody@example.com", PASSWORD);
    let stop = async {
        // The login is being hashed by the time that this is answered.
        assert_eq!(
            app.send(app.request(Method::GET, "/health/live"))
                .await
                .status,
            200
        );
        process.terminate().await;
    };
    let (answer, ()) = tokio::join!(slow, stop);

    answer.assert_problem(401, "invalid-credentials");
    assert_eq!(process.exit().await.code(), Some(0));
    assert!(
        process
            .lines()
            .iter()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    );
}

#[tokio::test]
async fn help_lists_commands_and_variables() {
    let app = TestApp::new().await;
    for (arguments, parts) in [
        (
            &["--help"][..],
            &[
                "serve",
                "migrate",
                "create-superuser",
                "users",
                "pictures",
                "openapi",
                "SECRET_KEY",
                "DATABASE_URL",
            ][..],
        ),
        (
            &["serve", "--help"],
            &["BIND", "PUBLIC_URL", "ACTIVATION", "ARGON2_MEMORY_KIB"],
        ),
        (
            &["create-superuser", "--help"],
            &["--password-stdin", "DATABASE_URL"],
        ),
        (&["users", "--help"], &["activate", "deactivate", "list"]),
    ] {
        let (code, output) = app.process(arguments).output().await;
        assert_eq!(code, Some(0));
        for part in parts {
            assert!(
                output.contains(part),
                "{part} is not in {arguments:?}: {output}"
            );
        }
    }
}

#[tokio::test]
async fn openapi_command_needs_no_configuration() {
    let app = TestApp::new().await;
    let program = env!("CARGO_BIN_EXE_latchkey-api");
    let (code, output) = Process::spawn(
        program,
        &["openapi", "--yaml"],
        &std::collections::BTreeMap::<String, String>::new(),
    )
    .output()
    .await;
    assert_eq!(code, Some(0));
    assert!(output.contains("title: Latchkey"), "{output}");
    drop(app);
}

const PRINTING: [&[&str]; 8] = [
    &["openapi"],
    &["openapi", "--yaml"],
    &["migrate"],
    &["users", "list"],
    &["users", "list", "--json"],
    &["audit", "list"],
    &["audit", "verify"],
    &["pictures", "prune"],
];

/// As in `users list | head -1`.
#[tokio::test]
async fn command_with_closed_stdout_ends_quietly() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    for command in PRINTING {
        let process = app.process_with_stdout(command, closed_pipe());
        let (code, output) = process.output().await;
        assert_eq!((code, output.as_str()), (Some(0), ""), "{command:?}");
    }
}

#[tokio::test]
async fn command_with_full_stdout_reports_the_error() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    for command in PRINTING {
        let process = app.process_with_stdout(command, full_disk());
        let (code, output) = process.output().await;
        assert_eq!(code, Some(1), "{command:?}: {output}");
        assert!(
            output.contains("standard output: No space left"),
            "{command:?}: {output}"
        );
    }
}

/// A log on a full disk loses lines and ends no program.
#[tokio::test]
async fn command_with_full_stderr_does_not_panic() {
    let mut app = TestApp::new().await;
    app.variables
        .insert("RUST_LOG".to_owned(), "debug".to_owned());
    let program = env!("CARGO_BIN_EXE_latchkey-api");
    for (command, expected) in [("migrate", 0), ("users activate nobody@example.com", 1)] {
        let script = format!("exec {program} {command} 2>/dev/full");
        let process = Process::spawn("sh", &["-c", &script], &app.variables);
        let (code, output) = process.output().await;
        assert_eq!(code, Some(expected), "{command}: {output}");
    }
}

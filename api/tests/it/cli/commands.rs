//! The commands of `latchkey-api`, run as processes.

use chrono::TimeDelta;
use latchkey_migration::{Migrator, MigratorTrait as _};
use latchkey_testing::{Process, closed_pipe, full_disk};
use reqwest::Method;

use crate::{
    cli::contains_all,
    support::{
        api_tokens::create_api_token,
        test_app::{PASSWORD, TestApp},
    },
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_latchkey-api");

/// Runs a command. Returns its output after it has exited with this code.
async fn run(app: &TestApp, arguments: &[&str], expected: i32) -> String {
    let (code, output) = app.process(arguments).output().await;
    assert_eq!(code, Some(expected), "{arguments:?}: {output}");
    output
}

/// Operators manage accounts without the dashboard. Owners learn of their activation once.
#[tokio::test]
async fn users_command_activates_deactivates_and_lists() {
    let app = TestApp::new().await;
    app.register("ada@example.com").await;

    run(&app, &["users", "activate", "ADA@example.com"], 0).await;
    let tokens = app.login("ada@example.com", PASSWORD).await;
    // The process uses the clock of the machine, which is ahead of the test's.
    app.advance_clock(TimeDelta::minutes(1));
    assert_eq!(
        app.mails_to("ada@example.com").await.len(),
        2,
        "a welcome mail and a notice of the activation"
    );
    let output = run(&app, &["users", "activate", "ada@example.com"], 0).await;
    contains_all(&output, &["already activated"]);
    assert_eq!(
        app.mails_to("ada@example.com").await.len(),
        2,
        "nothing changed, so no mail is sent"
    );

    let output = run(&app, &["users", "list"], 0).await;
    contains_all(&output, &["ada@example.com"]);
    let output = run(&app, &["users", "list", "--json"], 0).await;
    contains_all(&output, &["\"is_activated\": true"]);

    run(&app, &["users", "deactivate", "ada@example.com"], 0).await;
    app.get_user(&tokens.access)
        .await
        .assert_problem(401, "not-authenticated");

    // An email may begin with a hyphen.
    for nobody in ["nobody@example.com", "-ada@example.com"] {
        let output = run(&app, &["users", "activate", nobody], 1).await;
        let expected = format!("no account has the email address {nobody}");
        contains_all(&output, &[&expected]);
    }
}

/// Operators create the first administrator. The command asks for what it is not given.
#[tokio::test]
async fn create_superuser_asks_for_missing_fields() {
    let app = TestApp::new().await;
    let script = format!(
        "printf '%s\\n' 'boss@example.com' 'Boss' '{PASSWORD}' | {PROGRAM} create-superuser --password-stdin"
    );
    let run = async |script: &str| {
        let process = Process::spawn("sh", &["-c", script], &app.variables);
        process.output().await
    };
    let (code, output) = run(&script).await;
    assert_eq!(code, Some(0), "{output}");
    contains_all(&output, &["Email address:", "Username:"]);
    let user = app.user("boss@example.com").await;
    assert!(user.is_staff && user.is_superuser && user.is_activated);
    app.login("boss@example.com", PASSWORD).await;

    let (code, output) = run(&script).await;
    assert_eq!(code, Some(1));
    contains_all(&output, &["taken"]);

    let weak = script
        .replace(PASSWORD, "password")
        .replace("boss@", "other@");
    let (code, output) = run(&weak).await;
    assert_eq!(code, Some(1));
    contains_all(&output, &["most common passwords"]);
}

/// The error tells operators which command creates the tables.
#[tokio::test]
async fn serve_without_schema_names_the_migrate_command() {
    let mut app = TestApp::new().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/new/empty.db", folder.path().display());
    app.set("DATABASE_URL", &url);

    let output = run(&app, &["serve"], 1).await;
    contains_all(&output, &["latchkey-api migrate"]);

    for count in [Migrator::migrations().len(), 0] {
        let output = run(&app, &["migrate"], 0).await;
        contains_all(&output, &[&format!("Applied {count} migration(s)")]);
    }
}

/// An upgrade from a version without the permission to export keeps what staff may do.
#[tokio::test]
async fn migrate_grants_export_to_staff_who_view_users() {
    use sea_orm::ConnectionTrait as _;
    let app = TestApp::new().await;
    app.create_staff("viewer@example.com", "view_users,audit")
        .await;
    app.create_staff("auditor@example.com", "audit").await;
    let step = "DELETE FROM seaql_migrations WHERE version = 'm0010_export_permission'";
    app.database.db.execute_unprepared(step).await.unwrap();

    let output = run(&app, &["migrate"], 0).await;

    contains_all(&output, &["Applied 1 migration(s)"]);
    let permissions = async |email| app.user(email).await.permissions.to_string();
    assert_eq!(
        permissions("viewer@example.com").await,
        "view_users,export_users,audit"
    );
    assert_eq!(permissions("auditor@example.com").await, "audit");
}

/// An upgrade from a version without API tokens keeps the accounts and mails, and their owners can then have tokens.
#[tokio::test]
async fn migrate_adds_api_tokens_to_earlier_schema() {
    use sea_orm::ConnectionTrait as _;
    let app = TestApp::new().await;
    app.create_staff("staff@example.com", "view_users").await;
    let before = app.user("staff@example.com").await;
    for statement in [
        "DROP TABLE api_tokens",
        "ALTER TABLE mails DROP COLUMN api_token_name",
        "DELETE FROM seaql_migrations WHERE version = 'm0023_api_tokens'",
    ] {
        let db = &app.database.db;
        db.execute_unprepared(statement).await.unwrap();
    }
    let output = run(&app, &["users", "list"], 1).await;
    contains_all(&output, &["latchkey-api migrate"]);

    let output = run(&app, &["migrate"], 0).await;

    contains_all(&output, &["Applied 1 migration(s)"]);
    assert_eq!(app.user("staff@example.com").await, before);
    let (_, token) = create_api_token(&app, "staff@example.com", "view_users").await;
    let request = app.request(reqwest::Method::GET, "/api/admin/users/");
    let response = app.send(request.bearer_auth(&token.access)).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert!(!app.mails_to("staff@example.com").await.is_empty());
}

/// `migrate` makes accounts searchable that an earlier version stored, and keeps the others as they are.
#[tokio::test]
async fn migrate_fills_search_texts_of_earlier_accounts() {
    use latchkey_shared::models::user::search::{self, Filter};
    use sea_orm::ConnectionTrait as _;
    let app = TestApp::new().await;
    for i in 0..3 {
        app.register(&format!("user{i}@example.com")).await;
    }
    let before = app.user("user1@example.com").await;
    let forget = "UPDATE users SET search_text = '' WHERE email <> 'user0@example.com'";
    app.database.db.execute_unprepared(forget).await.unwrap();
    let found = async || {
        let filter = Filter {
            text: Some("ada user".to_owned()),
            ..Filter::default()
        };
        search::count(&app.database.db, &filter).await.unwrap()
    };
    assert_eq!(found().await, 1);
    run(&app, &["migrate"], 0).await;
    assert_eq!(found().await, 3);
    assert_eq!(app.user("user1@example.com").await, before);
}

/// During a rolling upgrade, an old process can restart on the schema of the new version.
#[tokio::test]
async fn serve_with_newer_schema_starts() {
    use sea_orm::ConnectionTrait as _;
    let mut app = TestApp::new().await;
    let step =
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_of_a_later_version', 1)";
    app.database.db.execute_unprepared(step).await.unwrap();

    app.serve().await;
}

/// Load balancers see a stopping server as not ready while it still serves requests.
#[tokio::test]
async fn draining_server_is_unready_but_serves() {
    let mut app = TestApp::new().await;
    app.set("DRAIN_SECONDS", "3");
    let mut process = app.serve().await;
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

/// Operators see every invalid setting at once. The values are not printed.
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
        app.set(key, value);
    }

    let output = run(&app, &["serve"], 1).await;

    let errors = [
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
    ];
    contains_all(&output, &errors);
    assert!(!output.contains("mysql"), "a value was repeated: {output}");
}

/// Production refuses a short secret and cheap password hashes.
#[tokio::test]
async fn production_rejects_development_settings() {
    let mut app = TestApp::new().await;
    app.set("ENVIRONMENT", "production");
    app.set("SECRET_KEY", "short");

    let output = run(&app, &["serve"], 1).await;

    let errors = [
        "SECRET_KEY: expected at least 32 bytes",
        "ARGON2_MEMORY_KIB: expected",
        "ARGON2_ITERATIONS: expected",
    ];
    contains_all(&output, &errors);
    assert!(!output.contains("short"), "{output}");
}

/// The error names the setting and how to start the missing program. It does not contain the password.
#[tokio::test]
async fn missing_dependency_stops_start_with_remedy() {
    let mut app = TestApp::new().await;
    app.set("REDIS_URL", "redis://127.0.0.1:1");
    let output = run(&app, &["serve"], 1).await;
    contains_all(&output, &["REDIS_URL", "redis-server"]);

    app.set("DATABASE_URL", "postgres://u:topsecret@127.0.0.1:1/x");
    let output = run(&app, &["serve"], 1).await;
    contains_all(&output, &["DATABASE_URL", "postgresql"]);
    assert!(!output.contains("topsecret"), "{output}");
}

/// A client whose request has begun before SIGTERM gets its response. The server then exits with 0, and its log is valid JSON.
#[tokio::test]
async fn sigterm_finishes_active_requests_before_exit() {
    let mut app = TestApp::new().await;
    for (key, value) in [
        ("BIND", "127.0.0.1:0"),
        ("LOG_FORMAT", "json"),
        ("ARGON2_MEMORY_KIB", "262144"),
        ("ARGON2_ITERATIONS", "3"),
    ] {
        app.set(key, value);
    }
    let mut process = app.process(&[]);
    app.base = process.wait_for_url("Listening on").await;

    let slow = app.try_login("nobody@example.com", PASSWORD);
    let stop = async {
        // The server hashes the password of the login when it answers this request.
        let live = app.send(app.request(Method::GET, "/health/live")).await;
        assert_eq!(live.status, 200);
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

/// The help of each command names its subcommands, options and settings.
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
        let output = run(&app, arguments, 0).await;
        contains_all(&output, parts);
    }
}

/// Builds can print the OpenAPI document without a database or a secret.
#[tokio::test]
async fn openapi_command_needs_no_configuration() {
    let process = Process::spawn(PROGRAM, &["openapi", "--yaml"], [("", ""); 0]);
    let (code, output) = process.output().await;
    assert_eq!(code, Some(0), "{output}");
    contains_all(&output, &["title: Latchkey"]);
}

/// The commands that write to the standard output.
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

/// Commands can be piped, as in `users list | head -1`.
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

/// A script that saves the output on a full disk sees the command fail.
#[tokio::test]
async fn command_with_full_stdout_reports_the_error() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    for command in PRINTING {
        let process = app.process_with_stdout(command, full_disk());
        let (code, output) = process.output().await;
        assert_eq!(code, Some(1), "{command:?}: {output}");
        contains_all(&output, &["standard output: No space left"]);
    }
}

/// A log on a full disk loses lines, but the program continues.
#[tokio::test]
async fn command_with_full_stderr_does_not_panic() {
    let mut app = TestApp::new().await;
    app.set("RUST_LOG", "debug");
    for (command, expected) in [("migrate", 0), ("users activate nobody@example.com", 1)] {
        let script = format!("exec {PROGRAM} {command} 2>/dev/full");
        let process = Process::spawn("sh", &["-c", &script], &app.variables);
        let (code, output) = process.output().await;
        assert_eq!(code, Some(expected), "{command}: {output}");
    }
}

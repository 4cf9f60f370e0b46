//! The audit log (L1): its events, the detection of tampering, and its readers.

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::models::audit::{self, AuditKey, ChainError, Head, HeadWatcher, Model};
use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::support::test_app::{ApiResponse, PASSWORD, TestApp, registration, wrong_code};

/// All events, oldest first.
pub(crate) async fn events(app: &TestApp) -> Vec<Model> {
    let all = audit::list(&app.database.db, audit::Filter::default(), 10_000).await;
    let mut all = all.unwrap();
    audit::load_details(&app.database.db, &audit_key(app), &mut all)
        .await
        .unwrap();
    all.reverse();
    all
}

fn audit_key(app: &TestApp) -> AuditKey {
    app.database.keys.audit_key()
}

async fn verify(app: &TestApp, expected_head: Option<&Head>) -> Result<Head, ChainError> {
    audit::verify(&app.database.db, &audit_key(app), expected_head).await
}

pub(crate) async fn execute(app: &TestApp, statement: &str) -> Result<(), sea_orm::DbErr> {
    app.database.db.execute_unprepared(statement).await?;
    Ok(())
}

/// Drops the triggers that make the log append-only, as an intruder in the database would.
pub(crate) async fn drop_triggers(app: &TestApp) {
    let statements: &[&str] = if app.database.url().starts_with("postgres") {
        &[
            "DROP TRIGGER audit_events_append_only ON audit_events",
            "DROP TRIGGER audit_events_no_truncate ON audit_events",
        ]
    } else {
        &[
            "DROP TRIGGER audit_events_no_update",
            "DROP TRIGGER audit_events_no_delete",
            "DROP TRIGGER audit_events_no_replace",
        ]
    };
    for statement in statements {
        execute(app, statement).await.unwrap();
    }
}

/// Causes each event of an account once or more. Returns the response to a login with an unknown email, and secrets that
/// occurred.
async fn cause_account_events(app: &TestApp) -> (ApiResponse, [String; 2]) {
    let first = app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", "a wrong password").await;
    let unknown_email = app
        .try_login("unknown@example.com", "a wrong password")
        .await;
    let (token, code) = app.request_reset("ada@example.com").await;
    app.check_otp(&token, &wrong_code(&code)).await;
    app.check_otp(&token, &code).await;
    app.reset_password(&token, "another quiet morning").await;
    let new = app.login("ada@example.com", "another quiet morning").await;
    let change = |password: &str| {
        let body = json!({"password": password, "new_password": "a third good password"});
        app.request(Method::POST, "/auth/change_password/")
            .bearer_auth(&new.access)
            .json(&body)
    };
    app.send(change("a wrong password")).await;
    let changed = app.send(change("another quiet morning")).await;
    let access = changed.text("/access");
    app.patch_user(&access, json!({"email": "lovelace@example.com"}))
        .await;
    app.patch_user(&access, json!({"username": "Countess"}))
        .await;
    app.post(
        "/auth/logout/",
        json!({"refresh": changed.text("/refresh")}),
    )
    .await;
    for _ in 0..2 {
        // The session has ended. The refusal is logged once.
        app.post("/auth/refresh/", json!({"refresh": first.refresh}))
            .await;
    }
    for _ in 0..4 {
        app.try_login("lovelace@example.com", "a wrong password")
            .await;
    }
    (unknown_email, [token, new.access])
}

/// L1: each login, refusal and change of an account is one event with actor, outcome, client IP and request.
#[tokio::test]
async fn account_events_are_audited_with_actor_and_request() {
    let app = TestApp::with(&[("LIMIT_LOGIN_IP", "7/60")]).await;
    let (unknown_email, secrets) = cause_account_events(&app).await;

    let events = events(&app).await;
    let logged: Vec<_> = events
        .iter()
        .map(|it| (it.event.as_str(), it.outcome.as_str(), it.actor.as_str()))
        .collect();
    assert_eq!(
        logged,
        [
            ("user_created", "success", "user 1"),
            ("authn_login_success", "success", "user 1"),
            ("authn_login_fail", "failure", "anonymous"),
            ("authn_login_fail", "failure", "anonymous"),
            ("authn_reset_code_fail", "failure", "anonymous"),
            ("authn_reset_code_success", "success", "anonymous"),
            ("authn_password_change", "success", "anonymous"),
            ("authn_login_success", "success", "user 1"),
            ("authn_password_change_fail", "failure", "user 1"),
            ("authn_password_change", "success", "user 1"),
            ("user_updated", "success", "user 1"),
            ("authn_token_revoked", "success", "user 1"),
            ("authn_token_fail", "failure", "anonymous"),
            ("authn_login_fail", "failure", "anonymous"),
            ("authn_login_fail", "failure", "anonymous"),
            ("authn_login_fail", "failure", "anonymous"),
            ("excess_rate_limit_exceeded", "failure", "anonymous"),
        ]
    );
    let of_ada = events
        .iter()
        .filter(|event| event.user_id == Some(1))
        .count();
    assert_eq!(of_ada, 14);
    assert_eq!(
        events[3].request_id,
        unknown_email.headers["x-request-id"].to_str().unwrap()
    );
    assert!(events[3].user_id.is_none() && events[3].subject.is_some());
    assert_ne!(events[2].subject, events[3].subject);
    assert!(
        events
            .iter()
            .all(|event| event.client_ip.as_deref() == Some("127.0.0.1"))
    );
    // Hashes and ids are random, so they may contain anything by chance.
    for event in &events {
        let text = format!("{:?} {:?} {:?}", event.actor, event.subject, event.detail);
        for secret in ["@", "lovelace", PASSWORD, &secrets[0], &secrets[1]] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
    assert_eq!(verify(&app, None).await.unwrap().seq, 17);
}

/// L1: a reused refresh token and the operator's commands are events, too.
#[tokio::test]
async fn token_reuse_and_operator_commands_are_audited() {
    let app = TestApp::with(&[("REFRESH_ROTATION", "on")]).await;
    let first = app.logged_in_user("ada@example.com").await.refresh;
    app.post("/auth/refresh/", json!({"refresh": first})).await;
    app.advance_clock(TimeDelta::minutes(1));
    app.post("/auth/refresh/", json!({"refresh": first})).await;
    app.register("eve@example.com").await;
    for command in ["activate", "deactivate", "deactivate"] {
        app.run(&["users", command, "eve@example.com"], 0).await;
    }

    let events = events(&app).await;
    let logged: Vec<_> = events
        .iter()
        .skip(2)
        .map(|event| {
            (
                event.event.as_str(),
                event.actor.as_str(),
                event.user_id,
                event.detail.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        logged,
        [
            ("authn_token_reuse", "anonymous", Some(1), None),
            ("user_created", "user 2", Some(2), None),
            ("authz_admin", "operator", Some(2), Some("activated")),
            ("authz_admin", "operator", Some(2), Some("deactivated")),
        ]
    );
    assert_eq!(verify(&app, None).await.unwrap().seq, 6);
}

/// L1: requests at the same time neither lose an event nor break the chain.
#[tokio::test]
async fn concurrent_events_form_one_chain() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;

    let logins = (0..40).map(|number| {
        let password = if number % 2 == 0 {
            PASSWORD
        } else {
            "a wrong password"
        };
        app.try_login("ada@example.com", password)
    });
    let responses = join_all(logins).await;

    assert!(
        responses
            .iter()
            .all(|response| response.status == 200 || response.status == 401)
    );
    let events = events(&app).await;
    assert_eq!(events.len(), 42);
    assert_eq!(verify(&app, None).await.unwrap().seq, 42);
}

/// L1: the database itself refuses to change or delete events.
#[tokio::test]
async fn audit_events_refuse_update_and_delete() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;

    let statement_for_all = if app.database.url().starts_with("postgres") {
        "TRUNCATE audit_events"
    } else {
        "REPLACE INTO audit_events SELECT * FROM audit_events WHERE seq = 1"
    };
    for statement in [
        "UPDATE audit_events SET outcome = 'success' WHERE seq = 1",
        "DELETE FROM audit_events WHERE seq = 1",
        "DELETE FROM audit_events",
        statement_for_all,
    ] {
        let error = execute(&app, statement).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{statement}: {error}");
    }
    assert_eq!(verify(&app, None).await.unwrap().seq, 2);
}

/// Changes to the tables of five events, and the error that a verification reports. `;` separates the statements.
const TAMPERING: [(&str, &str); 16] = [
    (
        "UPDATE audit_events SET outcome = 'failure' WHERE seq = 3",
        "Altered(3)",
    ),
    (
        "UPDATE audit_events SET changes = 'a: b' WHERE seq = 3",
        "Altered(3)",
    ),
    (
        "UPDATE audit_events SET user_id = 9 WHERE seq = 3",
        "Altered(3)",
    ),
    (
        "UPDATE audit_events SET client_ip = '192.0.2.1' WHERE seq = 3",
        "Altered(3)",
    ),
    (
        "UPDATE audit_events SET at = '2020-01-01 00:00:00+00:00' WHERE seq = 3",
        "Altered(3)",
    ),
    (
        "UPDATE audit_events SET actor = request_id, request_id = actor WHERE seq = 3",
        "Altered(3)",
    ),
    (
        "UPDATE audit_events SET hash = (SELECT hash FROM audit_events WHERE seq = 2) WHERE seq = 3",
        "Altered(3)",
    ),
    ("DELETE FROM audit_events WHERE seq = 3", "Missing(3)"),
    // Swaps two events.
    (
        "UPDATE audit_events SET seq = 99 WHERE seq = 3; UPDATE audit_events SET seq = 3 WHERE seq = 4; \
         UPDATE audit_events SET seq = 4 WHERE seq = 99",
        "Altered(3)",
    ),
    // Cuts off the end, without and with the head.
    ("DELETE FROM audit_events WHERE seq = 5", "Missing(5)"),
    (
        "DELETE FROM audit_events WHERE seq > 3; \
         UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit_events WHERE seq = 3)",
        "Head",
    ),
    ("UPDATE audit_head SET hash = seal", "Head"),
    // Empties the log, with the head of a new log, with an old head, and without the head.
    (
        "DELETE FROM audit_events; UPDATE audit_head SET seq = 0, hash = '', seal = ''",
        "Head",
    ),
    (
        "DELETE FROM audit_events; UPDATE audit_head SET seq = 0",
        "Head",
    ),
    ("DELETE FROM audit_events", "Missing(1)"),
    (
        "INSERT INTO audit_events (seq, at, event, outcome, actor, user_id, session_id, subject, client_ip, request_id, \
         detail, hash, changes) SELECT 6, at, event, outcome, actor, user_id, session_id, subject, client_ip, \
         request_id, detail, hash, changes FROM audit_events WHERE seq = 5",
        "Added(6)",
    ),
];

/// L1: a verification finds each change that an intruder with full access to the database makes.
#[tokio::test]
async fn audit_tampering_is_found_and_located() {
    for (statements, expected) in TAMPERING {
        let app = TestApp::new().await;
        app.logged_in_user("ada@example.com").await;
        app.register("eve@example.com").await;
        app.try_login("ada@example.com", "a wrong password").await;
        app.login("ada@example.com", PASSWORD).await;
        assert_eq!(verify(&app, None).await.unwrap().seq, 5);
        drop_triggers(&app).await;

        for statement in statements.split("; ") {
            execute(&app, statement).await.unwrap();
        }

        let error = verify(&app, None).await.unwrap_err();
        assert_eq!(format!("{error:?}"), expected, "{statements}");
    }
}

/// L1: altered, added and moved details are found while they exist. Erased details leave the chain valid.
#[tokio::test]
async fn audit_details_tampering_is_found_erasure_is_valid() {
    for (statement, expected) in [
        ("DELETE FROM audit_details", None),
        (
            "UPDATE audit_details SET content = '{}' WHERE seq = 3",
            Some(3),
        ),
        (
            "DELETE FROM audit_details WHERE seq = 2; UPDATE audit_details SET seq = 2 WHERE seq = 3",
            Some(2),
        ),
        (
            "INSERT INTO audit_details (seq, content) VALUES (9, '{}')",
            Some(9),
        ),
    ] {
        let app = TestApp::new().await;
        app.logged_in_user("ada@example.com").await;
        app.try_login("ada@example.com", "a wrong password").await;
        assert_eq!(verify(&app, None).await.unwrap().seq, 3);

        execute(&app, statement).await.unwrap();

        match (verify(&app, None).await, expected) {
            (Ok(head), None) => assert_eq!(head.seq, 3),
            (Err(ChainError::DetailsAltered(seq)), Some(expected)) => assert_eq!(seq, expected),
            (result, _) => panic!("{statement}: {result:?}"),
        }
    }
}

/// L1: the API logs an error about an emptied or cut log and keeps serving. Each later verification finds the place.
#[tokio::test]
async fn events_after_truncation_do_not_repair_chain() {
    for (tampering, first_missing) in [
        (
            [
                "DELETE FROM audit_events",
                "UPDATE audit_head SET seq = 0, hash = '', seal = ''",
            ],
            1,
        ),
        (
            [
                "DELETE FROM audit_events WHERE seq > 1",
                "UPDATE audit_head SET seq = 1, hash = (SELECT hash FROM audit_events WHERE seq = 1)",
            ],
            2,
        ),
    ] {
        let app = TestApp::new().await;
        app.logged_in_user("ada@example.com").await;
        drop_triggers(&app).await;
        for statement in tampering {
            execute(&app, statement).await.unwrap();
        }
        // Neither `migrate` nor `serve` seals a log that had events.
        app.run(&["migrate"], 0).await;
        let mut server = app.process(&["serve"]);
        server.wait_for_line("The audit log is not intact").await;
        assert!(matches!(verify(&app, None).await, Err(ChainError::Head)));

        app.login("ada@example.com", PASSWORD).await;
        app.login("ada@example.com", PASSWORD).await;

        let error = verify(&app, None).await.unwrap_err();
        assert!(
            matches!(error, ChainError::HeadTampered(seq) if seq == first_missing),
            "{error:?}"
        );
    }
}

/// L1: an older head that an intruder restores has a valid seal. A running API and `audit verify --expected-head` find it,
/// as they know a later head.
#[tokio::test]
async fn restored_older_head_is_found_by_head_watcher() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let mut watcher = HeadWatcher::new(audit_key(&app));
    watcher.check(&app.database.db).await.unwrap();
    execute(
        &app,
        "CREATE TABLE kept AS SELECT seq, hash, seal FROM audit_head",
    )
    .await
    .unwrap();
    app.try_login("ada@example.com", "a wrong password").await;
    let mut server = app.process(&["serve"]);
    let line = server.wait_for_line("Audit chain head").await;
    let head = line.rsplit("audit.head=").next().unwrap().trim();
    let later = watcher.check(&app.database.db).await.unwrap();
    assert_eq!(later.to_string(), head);

    drop_triggers(&app).await;
    for statement in [
        "DELETE FROM audit_events WHERE seq > 2",
        "DELETE FROM audit_details WHERE seq > 2",
        "UPDATE audit_head SET seq = kept.seq, hash = kept.hash, seal = kept.seal FROM kept",
    ] {
        execute(&app, statement).await.unwrap();
    }

    assert!(
        verify(&app, None).await.is_ok(),
        "the tables alone are valid"
    );
    let error = verify(&app, Some(&later)).await.unwrap_err();
    assert!(matches!(error, ChainError::Missing(3)), "{error:?}");
    let error = watcher.check(&app.database.db).await.unwrap_err();
    assert!(matches!(error, ChainError::Missing(3)), "{error:?}");
    // New events make the chain as long as before, but with another head.
    app.try_login("ada@example.com", "a wrong password").await;
    assert!(
        verify(&app, None).await.is_ok(),
        "the tables alone are valid"
    );
    let error = watcher.check(&app.database.db).await.unwrap_err();
    assert!(matches!(error, ChainError::UnexpectedHead(3)), "{error:?}");
    let output = app
        .run(&["audit", "verify", "--expected-head", head], 1)
        .await;
    assert!(
        output.contains("event 3 is not the one of the expected head"),
        "{output}"
    );
    server.terminate().await;
    server.wait_for_line("The audit log is not intact").await;
}

/// A new audit log is valid before its first event.
#[tokio::test]
async fn migrate_seals_the_empty_log() {
    let app = TestApp::new().await;
    execute(&app, "UPDATE audit_head SET seal = ''")
        .await
        .unwrap();
    assert!(matches!(verify(&app, None).await, Err(ChainError::Head)));
    app.run(&["migrate"], 0).await;
    assert_eq!(verify(&app, None).await.unwrap().seq, 0);
}

/// L1: an operator who stores a chain head elsewhere detects a database restored to an earlier state.
#[tokio::test]
async fn verification_with_expected_head_finds_restored_backup() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let earlier = verify(&app, None).await.unwrap();
    app.login("ada@example.com", PASSWORD).await;
    let later = verify(&app, None).await.unwrap();

    assert!(verify(&app, Some(&earlier)).await.is_ok());
    assert!(verify(&app, Some(&later)).await.is_ok());
    let other = Head {
        seq: 3,
        hash: later.hash.replace(['0', '1', '2', '3'], "f"),
    };
    let error = verify(&app, Some(&other)).await.unwrap_err();
    assert!(matches!(error, ChainError::UnexpectedHead(3)), "{error:?}");
    let further = Head { seq: 9, ..later };
    let error = verify(&app, Some(&further)).await.unwrap_err();
    assert!(matches!(error, ChainError::Missing(4)), "{error:?}");
}

/// L1: operators verify and list the log on the command line.
#[tokio::test]
async fn audit_commands_verify_and_list_events() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", "a wrong password").await;

    let output = app.run(&["audit", "verify"], 0).await;
    assert!(output.contains("3 event(s)"), "{output}");
    let head = output
        .lines()
        .find_map(|line| line.strip_prefix("Chain head: "));
    let with_head = ["audit", "verify", "--expected-head", head.unwrap()];
    app.run(&with_head, 0).await;

    let list = "audit list --user ada@example.com --since 1h --json";
    let list: Vec<_> = list.split(' ').collect();
    let output = app.run(&list, 0).await;
    let kinds: Vec<_> = output
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].clone())
        .collect();
    assert_eq!(
        kinds,
        ["authn_login_fail", "authn_login_success", "user_created"]
    );
    let failed_logins = ["audit", "list", "--event", "authn_login_fail"];
    let output = app.run(&failed_logins, 0).await;
    assert!(
        output.lines().count() == 1 && output.contains("wrong_password"),
        "{output}"
    );

    drop_triggers(&app).await;
    execute(&app, "DELETE FROM audit_events WHERE seq = 2")
        .await
        .unwrap();
    let output = app.run(&["audit", "verify"], 1).await;
    assert!(output.contains("event 2 is missing"), "{output}");
}

/// L1: account owners see the last events of their own account.
#[tokio::test]
async fn activity_shows_only_own_events() {
    let app = TestApp::new().await;
    app.post("/api/register/", registration("eve@example.com"))
        .await;
    app.try_login("eve@example.com", "a wrong password").await;
    app.register("ada@example.com").await;
    app.activate("ada@example.com").await;
    let login = app
        .request(Method::POST, "/api/login/")
        .header("user-agent", "okhttp/4.12.0")
        .json(&json!({"email": "ada@example.com", "password": PASSWORD}));
    let access = app.send(login).await.text("/token/access");
    app.try_login("ada@example.com", "a wrong password").await;

    let response = app
        .send(
            app.request(Method::GET, "/auth/activity/")
                .bearer_auth(&access),
        )
        .await;

    assert_eq!(response.status, 200);
    let events = response.body.as_array().unwrap();
    let kinds: Vec<_> = events
        .iter()
        .map(|it| (it["event"].as_str().unwrap(), it["own"].as_bool().unwrap()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("authn_login_fail", false),
            ("authn_login_success", true),
            ("user_created", true)
        ]
    );
    assert_eq!(events[0]["outcome"], "failure");
    assert_eq!(events[0]["client_ip"], "127.0.0.1");
    assert!(events[1]["session"].is_string());
    assert_eq!(events[1]["device_name"], "okhttp (Android app)");
    assert_eq!(events[0]["device_name"], Value::Null);
    let without = app.send(app.request(Method::GET, "/auth/activity/")).await;
    without.assert_problem(401, "not-authenticated");
}

/// L1: a flood of refused requests writes one event a minute for each client and limit.
#[tokio::test]
async fn repeated_refusals_are_one_event_a_minute() {
    let app = TestApp::with(&[("LIMIT_LOGIN_IP", "1/60")]).await;
    for _ in 0..20 {
        app.try_login("unknown@example.com", "a wrong password")
            .await;
        app.post("/auth/refresh/", json!({"refresh": "nonsense"}))
            .await;
        let form = json!({"token": "nonsense", "new_password": "a good new password"});
        app.post("/auth/reset_password/", form).await;
    }

    let events = events(&app).await;
    let kinds: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
}

/// L1: the event of an exceeded limit identifies the email under attack by its fingerprint.
#[tokio::test]
async fn exceeded_limit_is_audited_with_attacked_email() {
    let app = TestApp::with_lockout_after(1).await;
    app.logged_in_user("ada@example.com").await;
    for _ in 0..2 {
        app.try_login("ada@example.com", "a wrong password").await;
    }
    let events = audit::list(&app.database.db, audit::Filter::default(), 2).await;
    let events = events.unwrap();
    assert_eq!(events[0].event, "excess_rate_limit_exceeded");
    assert!(events[0].subject.is_some());
    assert_eq!(events[0].subject, events[1].subject);
}

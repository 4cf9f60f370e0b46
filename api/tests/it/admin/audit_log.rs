//! The audit log (L1): what is noted, that it shows what was changed afterwards, and who may read of it.

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::models::audit::{self, ChainError, Head, HeadWatcher, Model};
use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::support::test_app::{PASSWORD, TestApp, registration, wrong_code};

/// What somebody does to the log, and whether that is what is found.
type Tampering<'a> = (&'a [&'a str], &'a dyn Fn(&ChainError) -> bool);

/// Everything that was noted, the oldest first.
pub(crate) async fn events(app: &TestApp) -> Vec<Model> {
    let all = audit::list(&app.database.db, audit::Filter::default(), 10_000).await;
    let mut all = all.unwrap();
    all.reverse();
    all
}

async fn verify(app: &TestApp, noted: Option<&Head>) -> Result<Head, ChainError> {
    let key: latchkey_shared::crypto::secret_key::SecretKey =
        app.variables["SECRET_KEY"].parse().unwrap();
    audit::verify(&app.database.db, &key.audit_key(), noted).await
}

pub(crate) async fn execute(app: &TestApp, statement: &str) -> Result<(), sea_orm::DbErr> {
    app.database.db.execute_unprepared(statement).await?;
    Ok(())
}

/// What an intruder in the database would do first.
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

#[tokio::test]
async fn each_way_in_and_each_failure_is_noted_with_who_whence_and_which_request() {
    let app = TestApp::with(&[("LIMIT_LOGIN_IP", "7/60")]).await;
    let me = app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", "a wrong password").await;
    let unknown = app
        .try_login("nobody@example.com", "a wrong password")
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
        // The session has ended, so this opens nothing; it is noted once.
        app.post("/auth/refresh/", json!({"refresh": me.refresh}))
            .await;
    }
    for _ in 0..4 {
        app.try_login("lovelace@example.com", "a wrong password")
            .await;
    }

    let events = events(&app).await;
    let told: Vec<_> = events
        .iter()
        .map(|it| (it.event.as_str(), it.outcome.as_str(), it.actor.as_str()))
        .collect();
    assert_eq!(
        told,
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
    let of_ada = events.iter().filter(|it| it.user_id == Some(1)).count();
    assert_eq!(of_ada, 14);
    assert_eq!(
        events[3].request_id,
        unknown.headers["x-request-id"].to_str().unwrap()
    );
    assert!(events[3].user_id.is_none() && events[3].subject.is_some());
    assert_ne!(events[2].subject, events[3].subject);
    assert!(
        events
            .iter()
            .all(|it| it.client_ip.as_deref() == Some("127.0.0.1"))
    );
    // Hashes and ids are left out, as they may look like anything.
    for event in &events {
        let text = format!("{:?} {:?} {:?}", event.actor, event.subject, event.detail);
        for secret in ["@", "lovelace", PASSWORD, &token, &new.access] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
    assert_eq!(verify(&app, None).await.unwrap().seq, 17);
}

#[tokio::test]
async fn a_replay_and_what_administrators_do_are_noted_too() {
    let app = TestApp::with(&[("REFRESH_ROTATION", "on")]).await;
    let first = app.logged_in_user("ada@example.com").await.refresh;
    app.post("/auth/refresh/", json!({"refresh": first})).await;
    app.advance_clock(TimeDelta::minutes(1));
    app.post("/auth/refresh/", json!({"refresh": first})).await;
    app.register("eve@example.com").await;
    for command in ["activate", "deactivate", "deactivate"] {
        let (code, output) = app
            .process(&["users", command, "eve@example.com"])
            .output()
            .await;
        assert_eq!(code, Some(0), "{output}");
    }

    let events = events(&app).await;
    let told: Vec<_> = events
        .iter()
        .skip(2)
        .map(|it| {
            (
                it.event.as_str(),
                it.actor.as_str(),
                it.user_id,
                it.detail.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("authn_token_reuse", "anonymous", Some(1), None),
            ("user_created", "user 2", Some(2), None),
            ("authz_admin", "operator", Some(2), Some("activated")),
            ("authz_admin", "operator", Some(2), Some("deactivated")),
        ]
    );
    assert_eq!(verify(&app, None).await.unwrap().seq, 6);
}

#[tokio::test]
async fn events_written_at_the_same_time_make_one_chain() {
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
    let answers = join_all(logins).await;

    assert!(
        answers
            .iter()
            .all(|it| it.status == 200 || it.status == 401)
    );
    let events = events(&app).await;
    assert_eq!(events.len(), 42);
    assert_eq!(verify(&app, None).await.unwrap().seq, 42);
}

#[tokio::test]
async fn the_log_takes_no_change() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;

    let at_a_stroke = if app.database.url().starts_with("postgres") {
        "TRUNCATE audit_events"
    } else {
        "REPLACE INTO audit_events SELECT * FROM audit_events WHERE seq = 1"
    };
    for statement in [
        "UPDATE audit_events SET outcome = 'success' WHERE seq = 1",
        "DELETE FROM audit_events WHERE seq = 1",
        "DELETE FROM audit_events",
        at_a_stroke,
    ] {
        let error = execute(&app, statement).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{statement}: {error}");
    }
    assert_eq!(verify(&app, None).await.unwrap().seq, 2);
}

/// Each on a chain of its own, with the triggers gone, as an intruder would have it.
#[tokio::test]
async fn whatever_is_changed_afterwards_is_found_and_named() {
    let altered = |broken: &ChainError| matches!(broken, ChainError::Altered(3));
    let missing = |broken: &ChainError| matches!(broken, ChainError::Missing(3));
    let head = |broken: &ChainError| matches!(broken, ChainError::Head);
    let added = |broken: &ChainError| matches!(broken, ChainError::Added(_));
    let cut = "DELETE FROM audit_events WHERE seq > 3";
    let emptied = "DELETE FROM audit_events";
    let tampered: [Tampering; 16] = [
        (
            &["UPDATE audit_events SET outcome = 'failure' WHERE seq = 3"],
            &altered,
        ),
        (
            &["UPDATE audit_events SET changes = 'a: b' WHERE seq = 3"],
            &altered,
        ),
        (
            &["UPDATE audit_events SET user_id = 9 WHERE seq = 3"],
            &altered,
        ),
        (
            &["UPDATE audit_events SET client_ip = NULL WHERE seq = 3"],
            &altered,
        ),
        (
            &["UPDATE audit_events SET at = '2020-01-01 00:00:00+00:00' WHERE seq = 3"],
            &altered,
        ),
        (
            &["UPDATE audit_events SET actor = request_id, request_id = actor WHERE seq = 3"],
            &altered,
        ),
        (
            &[
                "UPDATE audit_events SET hash = (SELECT hash FROM audit_events WHERE seq = 2) WHERE seq = 3",
            ],
            &altered,
        ),
        (&["DELETE FROM audit_events WHERE seq = 3"], &missing),
        // Moved: the third and the fourth change places.
        (
            &[
                "UPDATE audit_events SET seq = 99 WHERE seq = 3",
                "UPDATE audit_events SET seq = 3 WHERE seq = 4",
                "UPDATE audit_events SET seq = 4 WHERE seq = 99",
            ],
            &altered,
        ),
        // The end cut off, without the head and with it.
        (&["DELETE FROM audit_events WHERE seq = 5"], &|broken| {
            matches!(broken, ChainError::Missing(5))
        }),
        (
            &[
                cut,
                "UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit_events WHERE seq = 3)",
            ],
            &head,
        ),
        (&["UPDATE audit_head SET hash = seal"], &head),
        // Emptied, as if nothing had ever happened; and as if the last event had been the first.
        (
            &[
                emptied,
                "UPDATE audit_head SET seq = 0, hash = '', seal = ''",
            ],
            &head,
        ),
        (&[emptied, "UPDATE audit_head SET seq = 0"], &head),
        (&[emptied], &|broken| {
            matches!(broken, ChainError::Missing(1))
        }),
        (
            &[
                "INSERT INTO audit_events (seq, at, event, outcome, actor, user_id, session_id, subject, client_ip, request_id, \
               detail, hash, changes) SELECT 6, at, event, outcome, actor, user_id, session_id, subject, client_ip, \
               request_id, detail, hash, changes FROM audit_events WHERE seq = 5",
            ],
            &added,
        ),
    ];
    for (statements, expected) in tampered {
        let app = TestApp::new().await;
        app.logged_in_user("ada@example.com").await;
        app.register("eve@example.com").await;
        app.try_login("ada@example.com", "a wrong password").await;
        app.login("ada@example.com", PASSWORD).await;
        assert_eq!(verify(&app, None).await.unwrap().seq, 5);
        drop_triggers(&app).await;

        for statement in statements {
            execute(&app, statement).await.unwrap();
        }

        let broken = verify(&app, None).await.unwrap_err();
        assert!(expected(&broken), "{statements:?}: {broken:?}");
    }
}

/// What comes after does not heal it: an API that serves a log which was emptied, or cut, says so and goes on, and the
/// place is found ever after.
#[tokio::test]
async fn what_is_appended_to_a_log_that_was_emptied_or_cut_heals_nothing() {
    for (tampering, torn) in [
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
        let mut app = TestApp::new().await;
        app.logged_in_user("ada@example.com").await;
        drop_triggers(&app).await;
        for statement in tampering {
            execute(&app, statement).await.unwrap();
        }
        // A start, and another migration, seal nothing of a service that is in use.
        let (code, output) = app.process(&["migrate"]).output().await;
        assert_eq!(code, Some(0), "{output}");
        app.variables
            .insert("BIND".to_owned(), "127.0.0.1:0".to_owned());
        let mut serving = app.process(&["serve"]);
        serving.wait_for_line("The audit log is not intact").await;
        assert!(matches!(verify(&app, None).await, Err(ChainError::Head)));

        app.login("ada@example.com", PASSWORD).await;
        app.login("ada@example.com", PASSWORD).await;

        let broken = verify(&app, None).await.unwrap_err();
        assert!(
            matches!(broken, ChainError::HeadTampered(seq) if seq == torn),
            "{broken:?}"
        );
    }
}

/// Its seal is that of its time, so these two tables look whole: what was noted elsewhere shows it, and so does every
/// program that has seen the log go further.
#[tokio::test]
async fn an_earlier_head_that_was_put_back_with_its_seal_is_found_by_who_saw_a_later_one() {
    let mut app = TestApp::new().await;
    app.variables
        .insert("BIND".to_owned(), "127.0.0.1:0".to_owned());
    app.logged_in_user("ada@example.com").await;
    let key: latchkey_shared::crypto::secret_key::SecretKey =
        app.variables["SECRET_KEY"].parse().unwrap();
    let mut watch = HeadWatcher::new(key.audit_key());
    watch.check(&app.database.db).await.unwrap();
    execute(
        &app,
        "CREATE TABLE kept AS SELECT seq, hash, seal FROM audit_head",
    )
    .await
    .unwrap();
    app.try_login("ada@example.com", "a wrong password").await;
    let mut serving = app.process(&["serve"]);
    let line = serving.wait_for_line("Audit chain head").await;
    let noted = line.rsplit("audit.head=").next().unwrap().trim();
    let later = watch.check(&app.database.db).await.unwrap();
    assert_eq!(later.to_string(), noted);

    drop_triggers(&app).await;
    for statement in [
        "DELETE FROM audit_events WHERE seq > 2",
        "UPDATE audit_head SET seq = kept.seq, hash = kept.hash, seal = kept.seal FROM kept",
    ] {
        execute(&app, statement).await.unwrap();
    }

    assert!(verify(&app, None).await.is_ok(), "the limit");
    let broken = verify(&app, Some(&later)).await.unwrap_err();
    assert!(matches!(broken, ChainError::Missing(3)), "{broken:?}");
    let broken = watch.check(&app.database.db).await.unwrap_err();
    assert!(matches!(broken, ChainError::Missing(3)), "{broken:?}");
    // Grown again past where it was, it is still another one.
    app.try_login("ada@example.com", "a wrong password").await;
    assert!(verify(&app, None).await.is_ok(), "the limit");
    let broken = watch.check(&app.database.db).await.unwrap_err();
    assert!(
        matches!(broken, ChainError::UnexpectedHead(3)),
        "{broken:?}"
    );
    let (code, output) = app
        .process(&["audit", "verify", "--expected-head", noted])
        .output()
        .await;
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.contains("event 3 is not the one of the expected head"),
        "{output}"
    );
    serving.terminate().await;
    serving.wait_for_line("The audit log is not intact").await;
}

/// A new audit log is valid before its first event.
#[tokio::test]
async fn migrate_seals_the_empty_log() {
    let app = TestApp::new().await;
    execute(&app, "UPDATE audit_head SET seal = ''")
        .await
        .unwrap();
    assert!(matches!(verify(&app, None).await, Err(ChainError::Head)));
    let (code, output) = app.process(&["migrate"]).output().await;
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(verify(&app, None).await.unwrap().seq, 0);
}

/// A whole database that was put back to an earlier state looks whole, unless its head was noted elsewhere.
#[tokio::test]
async fn a_head_that_was_noted_shows_a_database_that_was_put_back() {
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
    let broken = verify(&app, Some(&other)).await.unwrap_err();
    assert!(
        matches!(broken, ChainError::UnexpectedHead(3)),
        "{broken:?}"
    );
    let further = Head { seq: 9, ..later };
    let broken = verify(&app, Some(&further)).await.unwrap_err();
    assert!(matches!(broken, ChainError::Missing(4)), "{broken:?}");
}

#[tokio::test]
async fn the_commands_verify_and_list() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", "a wrong password").await;

    let (code, output) = app.process(&["audit", "verify"]).output().await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("3 event(s)"), "{output}");
    let head = output
        .lines()
        .find_map(|line| line.strip_prefix("Chain head: "));
    let noted = ["audit", "verify", "--expected-head", head.unwrap()];
    assert_eq!(app.process(&noted).output().await.0, Some(0));

    let list = [
        "audit",
        "list",
        "--user",
        "ada@example.com",
        "--since",
        "1h",
        "--json",
    ];
    let (code, output) = app.process(&list).output().await;
    assert_eq!(code, Some(0), "{output}");
    let kinds: Vec<_> = output
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].clone())
        .collect();
    assert_eq!(
        kinds,
        ["authn_login_fail", "authn_login_success", "user_created"]
    );
    let failed = ["audit", "list", "--event", "authn_login_fail"];
    let (_, output) = app.process(&failed).output().await;
    assert!(
        output.lines().count() == 1 && output.contains("wrong address"),
        "{output}"
    );

    drop_triggers(&app).await;
    execute(&app, "DELETE FROM audit_events WHERE seq = 2")
        .await
        .unwrap();
    let (code, output) = app.process(&["audit", "verify"]).output().await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("event 2 is missing"), "{output}");
}

#[tokio::test]
async fn the_owner_sees_the_own_last_events_and_nobody_elses() {
    let app = TestApp::new().await;
    app.post("/api/register/", registration("eve@example.com"))
        .await;
    app.try_login("eve@example.com", "a wrong password").await;
    let me = app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", "a wrong password").await;

    let answer = app
        .send(
            app.request(Method::GET, "/auth/activity/")
                .bearer_auth(&me.access),
        )
        .await;

    assert_eq!(answer.status, 200);
    let told: Vec<_> = answer.body.as_array().unwrap().iter().collect();
    let kinds: Vec<_> = told
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
    assert_eq!(told[0]["outcome"], "failure");
    assert_eq!(told[0]["client_ip"], "127.0.0.1");
    assert!(told[1]["session"].is_string());
    let without = app.send(app.request(Method::GET, "/auth/activity/")).await;
    without.assert_problem(401, "not-authenticated");
}

/// A flood of refusals is one event a minute for each client and limit.
#[tokio::test]
async fn a_flood_does_not_fill_the_log() {
    let app = TestApp::with(&[("LIMIT_LOGIN_IP", "1/60")]).await;
    for _ in 0..20 {
        app.try_login("nobody@example.com", "a wrong password")
            .await;
        app.post("/auth/refresh/", json!({"refresh": "nonsense"}))
            .await;
        let form = json!({"token": "nonsense", "new_password": "a good new password"});
        app.post("/auth/reset_password/", form).await;
    }

    let events = events(&app).await;
    let kinds: Vec<_> = events.iter().map(|it| it.event.as_str()).collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
}

/// L1: of a limit that was exceeded the log says at whose address, so that a target is known.
#[tokio::test]
async fn a_limit_that_was_exceeded_is_noted_with_the_address_that_it_was_about() {
    let app = TestApp::with(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "1"),
        ("LIMIT_LOGIN_FAILURES", "100"),
    ])
    .await;
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

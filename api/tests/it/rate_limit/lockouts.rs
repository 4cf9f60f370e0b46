//! Lockouts of accounts and mailboxes after wrong passwords and codes (T3).

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_testing::wait_until;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::{
    rate_limit::{
        WRONG, active_limits, change_password, login_from, retry_after, start, unlock_first,
    },
    support::test_app::{PASSWORD, TestApp, wrong_code},
};

/// A second valid password.
const NEW: &str = "another quiet morning";

/// Starts an application with lockouts after `free` failed attempts and a final one after `max`.
async fn start_with_lockouts(free: &str, max: &str) -> TestApp {
    start(&[
        ("LIMIT_LOGIN_FREE_FAILURES", free),
        ("LIMIT_LOGIN_FAILURES", max),
    ])
    .await
}

async fn fail_login(app: &TestApp, email: &str) {
    let answer = app.try_login(email, WRONG).await;
    answer.assert_problem(401, "invalid-credentials");
}

/// Resets the password of `ada@example.com` by a mailed code.
async fn reset_password(app: &TestApp, new: &str) {
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    assert_eq!(app.reset_password(&token, new).await.status, 200);
}

/// Returns the key of the counter whose name contains this, and its seconds to live (-1 for no end).
async fn counter(app: &TestApp, name: &str) -> (String, i64) {
    let keys = app.redis.keys().await;
    let part = format!(":limit:{name}:");
    let key = keys.into_iter().find(|key| key.contains(&part)).unwrap();
    let ttl = redis::cmd("TTL")
        .arg(&key)
        .query_async(&mut app.redis.connection())
        .await
        .unwrap();
    (key, ttl)
}

/// T1, T3: a distributed attack on one account gets five guesses. Its owner stays logged in, and can log in again after a reset.
#[tokio::test]
async fn distributed_guesses_lock_account_but_not_owner() {
    let app = start_with_lockouts("5", "100").await;
    let owner = app.logged_in_user("ada@example.com").await;

    let client_ips: Vec<_> = (0..1_000)
        .map(|number| format!("10.{}.{}.1", number / 250, number % 250))
        .collect();
    let guesses = client_ips
        .iter()
        .map(|client_ip| login_from(&app, client_ip, "ADA@example.com", WRONG));
    let answers = join_all(guesses).await;

    for (status, expected) in [(401, 5), (429, 995)] {
        let count = answers.iter().filter(|answer| answer.status == status);
        assert_eq!(count.count(), expected, "{status}");
    }
    assert_eq!(app.get_user(&owner.access).await.status, 200);
    let refresh = json!({"refresh": owner.refresh});
    let refreshed = app.post("/auth/refresh/", refresh).await;
    assert_eq!(refreshed.status, 200);
    reset_password(&app, NEW).await;
    app.login("ada@example.com", NEW).await;
}

/// T3: lockouts double with each failed attempt and apply to the right password too. A login resets them.
#[tokio::test]
async fn lockout_doubles_with_failures_until_login_succeeds() {
    let app = start_with_lockouts("5", "100").await;
    app.logged_in_user("ada@example.com").await;

    for seconds in [0, 0, 0, 0, 0, 1, 2, 4, 8, 16] {
        if seconds > 0 {
            let answer = app.try_login("ada@example.com", PASSWORD).await;
            assert_eq!(retry_after(&answer), seconds);
            app.advance_clock(TimeDelta::seconds(seconds));
        }
        fail_login(&app, "ada@example.com").await;
    }
    app.advance_clock(TimeDelta::seconds(32));
    app.login("ada@example.com", PASSWORD).await;
    for _ in 0..5 {
        fail_login(&app, "ada@example.com").await;
    }
}

/// T3: after the last failed attempt, only a password reset unlocks the account.
#[tokio::test]
async fn final_lockout_ends_only_by_password_reset() {
    let app = start_with_lockouts("5", "8").await;
    app.logged_in_user("ada@example.com").await;
    for _ in 0..8 {
        fail_login(&app, "ada@example.com").await;
        app.advance_clock(TimeDelta::minutes(15));
    }

    // The clock of the test does not advance that of Redis, so the test checks that the key has no end.
    assert_eq!(counter(&app, "failed:email").await.1, -1);
    app.advance_clock(TimeDelta::days(30));
    let answer = app.try_login("ada@example.com", PASSWORD).await;
    answer.assert_problem(429, "too-many-requests");

    reset_password(&app, NEW).await;
    app.login("ada@example.com", NEW).await;
}

/// T1, N1: lockouts do not tell whether an account exists.
#[tokio::test]
async fn unknown_email_is_locked_out_like_known_one() {
    let app = start_with_lockouts("2", "100").await;
    app.logged_in_user("known@example.com").await;
    let mut answers = Vec::new();
    for email in ["known@example.com", "unknown@example.com"] {
        for _ in 0..2 {
            fail_login(&app, email).await;
        }
        let mut answer = app.try_login(email, WRONG).await;
        answer.assert_problem(429, "too-many-requests");
        answer.body["instance"] = Value::Null;
        answers.push((answer.body, answer.headers["retry-after"].clone()));
    }
    assert_eq!(answers[0], answers[1]);
}

/// T3: failed attempts before the first lockout are remembered for a month, so that an attacker has few guesses a month and not
/// a day.
#[tokio::test]
async fn free_failures_are_remembered_for_a_month() {
    let app = start(&[("LIMIT_LOGIN_FREE_FAILURES", "5")]).await;
    app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", WRONG).await;
    let (_, ttl) = counter(&app, "failed:email").await;
    assert!(ttl > 29 * 86_400, "{ttl}");
}

/// T3: a login that fails because of the service is no failed attempt.
#[tokio::test]
async fn login_failed_by_service_is_not_counted() {
    let app = start_with_lockouts("3", "100").await;
    app.logged_in_user("ada@example.com").await;
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        app.database.db.execute_unprepared(&sql).await.unwrap();
    };
    // One more failed attempt would lock the account out, so each of the following requests locks and unlocks it.
    for _ in 0..2 {
        app.try_login("ada@example.com", WRONG).await;
    }
    rename("users", "gone").await;
    for _ in 0..5 {
        let answer = app.try_login("ada@example.com", PASSWORD).await;
        answer.assert_problem(503, "unavailable");
        // The refund comes after the answer.
        wait_until(async || failed_attempts(&app).await == (Some(2), None)).await;
    }
    rename("gone", "users").await;
    app.login("ada@example.com", PASSWORD).await;
}

/// Returns the failed attempts of the only account that has any, and the end of its lockout.
async fn failed_attempts(app: &TestApp) -> (Option<u32>, Option<u64>) {
    let (key, _) = counter(app, "failed_attempts").await;
    redis::cmd("HMGET")
        .arg(key)
        .arg(&["failed_attempts", "until"])
        .query_async(&mut app.redis.connection())
        .await
        .unwrap()
}

/// T3: a stolen session has no more guesses than a stranger, and failed logins do not keep an owner from changing the password.
#[tokio::test]
async fn password_change_failures_have_their_own_lockout() {
    let app = start_with_lockouts("3", "5").await;
    let tokens = app.logged_in_user("ada@example.com").await;
    for _ in 0..3 {
        app.try_login("ada@example.com", WRONG).await;
    }
    retry_after(&app.try_login("ada@example.com", PASSWORD).await);
    let answer = change_password(&app, &tokens.access, PASSWORD, NEW).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let access = answer.text("/access");

    for seconds in [0, 0, 0, 1, 2] {
        app.advance_clock(TimeDelta::seconds(seconds));
        let answer = change_password(&app, &access, WRONG, "yet another morning").await;
        answer.assert_problem(400, "wrong-password");
    }
    app.advance_clock(TimeDelta::minutes(4));
    retry_after(&change_password(&app, &access, NEW, "yet another morning").await);
    reset_password(&app, "one more evening").await;
    let access = app
        .login("ada@example.com", "one more evening")
        .await
        .access;
    let answer = change_password(&app, &access, "one more evening", "yet another morning").await;
    assert_eq!(answer.status, 200);
}

/// Requests a reset, whether or not the mailbox has an account. Returns the token.
async fn request_token(app: &TestApp, email: &str) -> String {
    let answer = app
        .post("/auth/email_request/", json!({"email": email}))
        .await;
    answer.text("/token")
}

/// T3, O3: the daily number of wrong codes for a mailbox does not grow with the number of resets, whether or not it has an
/// account.
#[tokio::test]
async fn wrong_codes_are_counted_across_resets() {
    let app = start(&[("LIMIT_OTP_EMAIL", "7/86400")]).await;
    app.logged_in_user("ada@example.com").await;
    for email in ["ada@example.com", "unknown@example.com"] {
        let first = request_token(&app, email).await;
        // A code after the fifth attempt is not checked, so it costs no attempt of the mailbox.
        for _ in 0..8 {
            let answer = app.check_otp(&first, "000000").await;
            answer.assert_problem(400, "invalid-otp");
        }
        let second = request_token(&app, email).await;
        for _ in 0..2 {
            let answer = app.check_otp(&second, "000000").await;
            answer.assert_problem(400, "invalid-otp");
        }
        let answer = app.check_otp(&second, "000000").await;
        assert_eq!(retry_after(&answer), 86_400, "{email}");
    }

    let (token, code) = app.request_reset("ada@example.com").await;
    retry_after(&app.check_otp(&token, &code).await);
    app.advance_clock(TimeDelta::days(1));
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
}

/// T3: a password reset clears the wrong codes of a mailbox, and staff can unlock it. A right code costs no attempt.
#[tokio::test]
async fn wrong_codes_are_cleared_by_reset_or_staff() {
    let app = start(&[("LIMIT_OTP_EMAIL", "3/86400")]).await;
    app.logged_in_user("ada@example.com").await;
    app.create_superuser("root@example.com").await;
    let root = app.login("root@example.com", PASSWORD).await;
    for new in [NEW, "and one more evening"] {
        let (token, code) = app.request_reset("ada@example.com").await;
        for _ in 0..2 {
            app.check_otp(&token, &wrong_code(&code)).await;
        }
        assert_eq!(app.check_otp(&token, &code).await.status, 200);
        assert_eq!(app.reset_password(&token, new).await.status, 200);
    }

    let (token, code) = app.request_reset("ada@example.com").await;
    for _ in 0..4 {
        app.check_otp(&token, &wrong_code(&code)).await;
    }
    retry_after(&app.check_otp(&token, &code).await);
    let limits = active_limits(&app, &root.access).await;
    assert_eq!(limits.text("/limits/0/what"), "otp");
    let id = app.user("ada@example.com").await.id;
    assert_eq!(limits.body["limits"][0]["user"], id, "{limits:?}");
    unlock_first(&app, &root.access, &limits).await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
}

/// O3: a client that sends the right code twice at the same time loses no attempt of its mailbox.
#[tokio::test]
async fn late_right_code_costs_no_attempt() {
    let app = start(&[
        ("LIMIT_OTP_EMAIL", "20/86400"),
        ("LIMIT_OTP_EMAIL_IP", "10/86400"),
    ])
    .await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    accept_after_count(&app).await;

    let late = app.check_otp(&token, &code).await;

    late.assert_problem(400, "invalid-otp");
    // The refund comes after the answer.
    wait_until(async || {
        let keys = app.redis.keys().await;
        !keys.iter().any(|key| key.contains(":limit:otp:email:"))
    })
    .await;
}

/// Makes another request accept the code after the next attempt was counted and before it is compared.
async fn accept_after_count(app: &TestApp) {
    let name = "accept_after_count";
    let triggers = if app.database.is_postgres() {
        vec![
            format!(
                "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS \
                 $$BEGIN NEW.checked_at := NEW.created_at; RETURN NEW; END$$"
            ),
            format!(
                "CREATE TRIGGER {name} BEFORE UPDATE OF tries ON password_resets \
                 FOR EACH ROW EXECUTE FUNCTION {name}()"
            ),
        ]
    } else {
        vec![format!(
            "CREATE TRIGGER {name} AFTER UPDATE OF tries ON password_resets BEGIN \
             UPDATE password_resets SET checked_at = created_at WHERE id = NEW.id; END"
        )]
    };
    for trigger in triggers {
        let db = &app.database.db;
        db.execute_unprepared(&trigger).await.unwrap();
    }
    let keys = app.redis.keys().await;
    let code = keys.iter().find(|key| key.contains(":code:")).unwrap();
    let () = redis::cmd("DEL")
        .arg(code)
        .query_async(&mut app.redis.connection())
        .await
        .unwrap();
}

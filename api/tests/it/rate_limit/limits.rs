//! How often somebody may try (T1 to T5), and who counts as who.

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::support::dashboard::Dashboard;
use crate::support::test_app::{
    ApiResponse, PASSWORD, TestApp, registration, wait_until, wrong_code,
};

const WRONG: &str = "a wrong password";

/// A app in which one limit is as it comes, and every client may say where it is from.
async fn start(limits: &[(&str, &str)]) -> TestApp {
    let proxy = [("TRUSTED_PROXIES", "127.0.0.0/8")];
    TestApp::with(&[&proxy, limits].concat()).await
}

/// A login that comes, as the proxy says, from somewhere.
async fn login_from(app: &TestApp, client_ip: &str, email: &str, password: &str) -> ApiResponse {
    let body = json!({"email": email, "password": password});
    app.send(
        app.request(Method::POST, "/api/login/")
            .header("x-forwarded-for", client_ip)
            .json(&body),
    )
    .await
}

fn retry_after(answer: &ApiResponse) -> i64 {
    answer.assert_problem(429, "too-many-requests");
    assert_eq!(answer.headers["ratelimit-remaining"], "0");
    assert_eq!(
        answer.headers["ratelimit-reset"],
        answer.headers["retry-after"]
    );
    assert!(answer.headers.contains_key("ratelimit-limit"));
    let seconds = answer.headers["retry-after"].to_str().unwrap();
    let detail = answer.text("/detail");
    assert!(
        detail.ends_with(&format!(" in {seconds} seconds.")),
        "{detail}"
    );
    seconds.parse().unwrap()
}

/// T1, T2
#[tokio::test]
async fn parallel_logins_of_one_ip_are_limited() {
    let app = start(&[("LIMIT_LOGIN_IP", "60/60")]).await;

    let guesses = (0..1_000)
        .map(|number| format!("user{number}@example.com"))
        .collect::<Vec<_>>();
    let answers = join_all(
        guesses
            .iter()
            .map(|email| login_from(&app, "192.0.2.1", email, WRONG)),
    )
    .await;

    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    assert_eq!(looked_at, 60);
    let refused = answers.iter().find(|answer| answer.status != 401).unwrap();
    assert!((1..=60).contains(&retry_after(refused)));
    assert_eq!(
        login_from(&app, "192.0.2.2", "a@example.com", WRONG)
            .await
            .status,
        401,
        "another client_ip is held, too"
    );
    app.advance_clock(TimeDelta::seconds(60));
    assert_eq!(
        login_from(&app, "192.0.2.1", "a@example.com", WRONG)
            .await
            .status,
        401
    );
}

/// T1, T3: and a thousand that come from everywhere at one account; its owner goes on, and gets back in by mail.
#[tokio::test]
async fn distributed_guesses_lock_account_but_not_owner() {
    let app = start(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "5"),
        ("LIMIT_LOGIN_FAILURES", "100"),
    ])
    .await;
    let owner = app.logged_in_user("ada@example.com").await;

    let client_ips: Vec<_> = (0..1_000)
        .map(|number| format!("10.{}.{}.1", number / 250, number % 250))
        .collect();
    let answers = join_all(
        client_ips
            .iter()
            .map(|client_ip| login_from(&app, client_ip, "ADA@example.com", WRONG)),
    )
    .await;

    assert_eq!(
        answers.iter().filter(|answer| answer.status == 401).count(),
        5
    );
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 429).count(),
        995
    );
    assert_eq!(app.get_user(&owner.access).await.status, 200);
    assert_eq!(
        app.post("/auth/refresh/", json!({"refresh": owner.refresh}))
            .await
            .status,
        200
    );
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    assert_eq!(
        app.reset_password(&token, "another quiet morning")
            .await
            .status,
        200
    );
    app.login("ada@example.com", "another quiet morning").await;
}

/// T3: the waits double, and the right password ends them.
#[tokio::test]
async fn lockout_doubles_with_failures_until_login_succeeds() {
    let app = start(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "5"),
        ("LIMIT_LOGIN_FAILURES", "100"),
    ])
    .await;
    app.logged_in_user("ada@example.com").await;

    for wait in [0, 0, 0, 0, 0, 1, 2, 4, 8, 16] {
        if wait > 0 {
            let answer = app.try_login("ada@example.com", PASSWORD).await;
            assert_eq!(
                retry_after(&answer),
                wait,
                "also the right password has to wait"
            );
            app.advance_clock(TimeDelta::seconds(wait));
        }
        app.try_login("ada@example.com", WRONG)
            .await
            .assert_problem(401, "invalid-credentials");
    }
    app.advance_clock(TimeDelta::seconds(32));
    app.login("ada@example.com", PASSWORD).await;
    for _ in 0..5 {
        app.try_login("ada@example.com", WRONG)
            .await
            .assert_problem(401, "invalid-credentials");
    }
}

/// T3: in the end only a reset by mail opens the account to passwords again.
#[tokio::test]
async fn final_lockout_ends_only_by_password_reset() {
    let app = start(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "5"),
        ("LIMIT_LOGIN_FAILURES", "8"),
    ])
    .await;
    app.logged_in_user("ada@example.com").await;
    for _ in 0..8 {
        app.try_login("ada@example.com", WRONG)
            .await
            .assert_problem(401, "invalid-credentials");
        app.advance_clock(TimeDelta::minutes(15));
    }

    // Redis' own clock does not move with the test's: that the lock stays shows in that it has no end.
    let mut redis = app.redis.connection();
    let failed_attempts = app
        .redis
        .keys()
        .await
        .into_iter()
        .find(|key| key.contains(":limit:failed:email:"))
        .unwrap();
    let ends: i64 = redis::cmd("TTL")
        .arg(failed_attempts)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(ends, -1);
    app.advance_clock(TimeDelta::days(30));
    app.try_login("ada@example.com", PASSWORD)
        .await
        .assert_problem(429, "too-many-requests");

    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    assert_eq!(
        app.reset_password(&token, "another quiet morning")
            .await
            .status,
        200
    );
    app.login("ada@example.com", "another quiet morning").await;
}

/// T1, N1: whether or not an account exists, it is counted the same.
#[tokio::test]
async fn unknown_email_is_locked_out_like_known_one() {
    let app = start(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "2"),
        ("LIMIT_LOGIN_FAILURES", "100"),
    ])
    .await;
    app.logged_in_user("known@example.com").await;
    let mut answers = Vec::new();
    for email in ["known@example.com", "unknown@example.com"] {
        for _ in 0..2 {
            app.try_login(email, WRONG)
                .await
                .assert_problem(401, "invalid-credentials");
        }
        let mut answer = app.try_login(email, WRONG).await;
        answer.assert_problem(429, "too-many-requests");
        answer.body["instance"] = Value::Null;
        answers.push((answer.body, answer.headers["retry-after"].clone()));
    }
    assert_eq!(answers[0], answers[1]);
}

/// T5, N1: requests for a code are answered alike however many there are, and the mailbox gets three codes an hour.
#[tokio::test]
async fn reset_requests_answer_alike_within_mail_budget() {
    let app = start(&[
        ("LIMIT_MAIL_CAUSE", "3/3600"),
        ("LIMIT_MAIL_COOLDOWN", "1/60"),
    ])
    .await;
    app.logged_in_user("known@example.com").await;
    app.deliver_all().await;
    let before = app.sink.mails().len();
    for _ in 0..10 {
        let mut shapes = Vec::new();
        for email in ["known@example.com", "unknown@example.com"] {
            let body = json!({"email": email});
            let answer = app.post("/auth/email_request/", body).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            let headers: Vec<_> = answer.headers.keys().cloned().collect();
            let token = answer.text("/token").len();
            shapes.push((headers, token, answer.text("/message")));
        }
        assert_eq!(shapes[0], shapes[1]);
        app.deliver_all().await;
        app.advance_clock(TimeDelta::seconds(60));
    }
    app.deliver_all().await;
    assert_eq!(app.sink.mails().len() - before, 3);

    app.advance_clock(TimeDelta::minutes(50));
    let (token, code) = app.request_reset("known@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
}

/// T1
#[tokio::test]
async fn each_operation_has_its_own_limit() {
    let app = start(&[
        ("LIMIT_REGISTER_IP", "2/3600"),
        ("LIMIT_OTP_IP", "2/60"),
        ("LIMIT_RESET_IP", "2/3600"),
        ("LIMIT_PASSWORD_CHANGE", "2/3600"),
    ])
    .await;
    let tokens = app.logged_in_user("ada@example.com").await;
    app.register("b@example.com").await;
    app.post("/api/register/", registration("c@example.com"))
        .await
        .assert_problem(429, "too-many-requests");

    for _ in 0..2 {
        app.check_otp("x", "123456")
            .await
            .assert_problem(400, "invalid-otp");
    }
    app.check_otp("x", "123456")
        .await
        .assert_problem(429, "too-many-requests");

    for number in 0..2 {
        let body = json!({"email": format!("x{number}@example.com")});
        assert_eq!(app.post("/auth/email_request/", body).await.status, 201);
    }
    app.post("/auth/email_request/", json!({"email": "y@example.com"}))
        .await
        .assert_problem(429, "too-many-requests");

    let change = json!({"password": WRONG, "new_password": "another quiet morning"});
    let request = || {
        app.request(Method::POST, "/auth/change_password/")
            .bearer_auth(&tokens.access)
            .json(&change)
    };
    for _ in 0..2 {
        app.send(request())
            .await
            .assert_problem(400, "wrong-password");
    }
    app.send(request())
        .await
        .assert_problem(429, "too-many-requests");
    assert_eq!(
        app.get_user(&tokens.access).await.status,
        200,
        "a 429 ended the session"
    );
}

/// T4: what a client says of itself counts for nothing.
#[tokio::test]
async fn untrusted_forwarding_headers_are_ignored() {
    let app = TestApp::with(&[("LIMIT_LOGIN_IP", "3/60")]).await;
    for number in 0..3 {
        assert_eq!(
            login_from(&app, &format!("192.0.2.{number}"), "a@example.com", WRONG)
                .await
                .status,
            401
        );
    }
    login_from(&app, "192.0.2.9", "a@example.com", WRONG)
        .await
        .assert_problem(429, "too-many-requests");
}

/// T4: behind trusted proxies the client is the first stranger from the right, and IPv6 counts by its /64.
#[tokio::test]
async fn client_ip_is_last_untrusted_proxy_hop() {
    let app = TestApp::with(&[
        ("LIMIT_LOGIN_IP", "1/60"),
        ("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8"),
    ])
    .await;
    let from = |name: &'static str, value: &'static str| {
        let body = json!({"email": "a@example.com", "password": WRONG});
        app.send(
            app.request(Method::POST, "/api/login/")
                .header(name, value)
                .json(&body),
        )
    };
    assert_eq!(
        from("x-forwarded-for", "198.51.100.7, 192.0.2.1, 10.0.0.5")
            .await
            .status,
        401
    );
    for (name, same) in [
        ("x-forwarded-for", "203.0.113.9, 192.0.2.1"),
        ("x-forwarded-for", "192.0.2.1:4711"),
        (
            "forwarded",
            "for=203.0.113.9, for=192.0.2.1;proto=https, for=10.0.0.5",
        ),
    ] {
        from(name, same)
            .await
            .assert_problem(429, "too-many-requests");
    }
    assert_eq!(
        from("forwarded", "for=\"[2001:db8:1:2::1]:4711\"")
            .await
            .status,
        401
    );
    from("x-forwarded-for", "2001:db8:1:2:ffff::9")
        .await
        .assert_problem(429, "too-many-requests");
    assert_eq!(from("x-forwarded-for", "2001:db8:1:3::1").await.status, 401);
}

/// Posts from a client IP; returns the status.
async fn post_from(app: &TestApp, client_ip: &str, path: &str, body: Value) -> u16 {
    let request = app.request(Method::POST, path);
    let request = request.header("x-forwarded-for", client_ip).json(&body);
    app.send(request).await.status.as_u16()
}

/// T4, C2: all networks of a /48 together have ten times what one has, of every limit by client IP.
#[tokio::test]
async fn ipv6_site_has_ten_times_network_limit() {
    let app = start(&[
        ("LIMIT_LOGIN_IP", "1/60"),
        ("LIMIT_REGISTER_IP", "1/3600"),
        ("LIMIT_RESET_IP", "1/3600"),
        ("LIMIT_OTP_IP", "1/60"),
        ("LIMIT_RESET_PASSWORD_IP", "1/60"),
    ])
    .await;
    let client_ip = |site: u8, network: u8| format!("2001:db8:{site:x}:{network:x}::1");
    for (path, body, let_through) in [
        (
            "/api/login/",
            json!({"email": "a@example.com", "password": WRONG}),
            401,
        ),
        ("/api/register/", registration("taken@example.com"), 409),
        (
            "/auth/email_request/",
            json!({"email": "a@example.com"}),
            201,
        ),
        (
            "/auth/check_otp/",
            json!({"token": "x", "otp": "123456"}),
            400,
        ),
        (
            "/auth/reset_password/",
            json!({"token": "x", "new_password": PASSWORD}),
            400,
        ),
    ] {
        if path == "/api/register/" {
            assert_eq!(post_from(&app, "192.0.2.1", path, body.clone()).await, 201);
        }
        for network in 0..10 {
            let status = post_from(&app, &client_ip(1, network), path, body.clone()).await;
            assert_eq!(status, let_through, "{path}, network {network}");
        }
        let refused = post_from(&app, &client_ip(1, 10), path, body.clone()).await;
        assert_eq!(refused, 429, "{path}");
        let other = post_from(&app, &client_ip(2, 0), path, body.clone()).await;
        assert_eq!(other, let_through, "{path}");
    }
}

/// T4: staff see a /48 that is rate limited, and unlock it.
#[tokio::test]
async fn ipv6_site_rate_limited_is_listed_and_unlocked() {
    let app = start(&[("LIMIT_RESET_IP", "1/3600")]).await;
    app.create_superuser("root@example.com").await;
    let root = app.login("root@example.com", PASSWORD).await;
    let ask = async |network: u8| {
        let client_ip = format!("2001:db8:1:{network:x}::1");
        let body = json!({"email": "a@example.com"});
        post_from(&app, &client_ip, "/auth/email_request/", body).await
    };
    for network in 0..10 {
        assert_eq!(ask(network).await, 201);
    }
    assert_eq!(ask(10).await, 429);

    let held = app.request(Method::GET, "/api/admin/limits/");
    let held = app.send(held.bearer_auth(&root.access)).await;
    assert_eq!(held.text("/limits/0/whom"), "2001:db8:1::/48");
    let release = app
        .request(Method::POST, "/api/admin/limits/release/")
        .bearer_auth(&root.access)
        .json(&json!({"name": held.text("/limits/0/name")}));
    assert_eq!(app.send(release).await.status, 204);
    assert_eq!(ask(10).await, 201);
}

/// T1: what counts lies in Redis and names nobody.
#[tokio::test]
async fn redis_counters_contain_no_email() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", WRONG).await;
    let dump = app.redis.dump().await;
    assert!(dump.contains(":limit:failed_attempts:email:"), "{dump}");
    assert!(!dump.contains("ada@example.com"), "{dump}");
}

/// T4: a client behind a proxy that appends to one header says what it likes in the other, and is the proxy for it.
#[tokio::test]
async fn conflicting_forwarding_headers_use_the_proxy_ip() {
    let app = TestApp::with(&[("LIMIT_LOGIN_IP", "1/60"), ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let mut looked_at = 0;
    for number in 0..5 {
        let body = json!({"email": "a@example.com", "password": WRONG});
        let request = app
            .request(Method::POST, "/api/login/")
            .header("x-forwarded-for", "192.0.2.1")
            .header("forwarded", format!("for=203.0.113.{number}"));
        let answer = app.send(request.json(&body)).await;
        looked_at += u32::from(answer.status == 401);
    }
    assert_eq!(looked_at, 1);
}

/// A token for a mailbox, whether or not it has an account.
async fn asked(app: &TestApp, email: &str) -> String {
    let body = json!({"email": email});
    let answer = app.post("/auth/email_request/", body).await;
    answer.text("/token")
}

/// T3, O3: several resets of one mailbox are no more guesses than one day allows, whether or not it has an account.
#[tokio::test]
async fn wrong_codes_are_counted_across_resets() {
    let app = start(&[("LIMIT_OTP_EMAIL", "7/86400")]).await;
    app.logged_in_user("ada@example.com").await;
    for email in ["ada@example.com", "nobody@example.com"] {
        let first = asked(&app, email).await;
        // What is tried after the fifth try is no guess, and takes none from the mailbox.
        for _ in 0..8 {
            let answer = app.check_otp(&first, "000000").await;
            answer.assert_problem(400, "invalid-otp");
        }
        let second = asked(&app, email).await;
        for _ in 0..2 {
            let answer = app.check_otp(&second, "000000").await;
            answer.assert_problem(400, "invalid-otp");
        }
        assert_eq!(
            retry_after(&app.check_otp(&second, "000000").await),
            86_400,
            "{email}"
        );
    }

    let (token, code) = app.request_reset("ada@example.com").await;
    retry_after(&app.check_otp(&token, &code).await);
    app.advance_clock(TimeDelta::days(1));
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
}

/// T3: the right code is no wrong one, a reset forgives those, and staff can.
#[tokio::test]
async fn wrong_codes_are_cleared_by_reset_or_staff() {
    let app = start(&[("LIMIT_OTP_EMAIL", "3/86400")]).await;
    app.logged_in_user("ada@example.com").await;
    app.create_superuser("root@example.com").await;
    let root = app.login("root@example.com", PASSWORD).await;
    for new in ["another quiet morning", "and one more evening"] {
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
    let held = app.request(Method::GET, "/api/admin/limits/");
    let held = app.send(held.bearer_auth(&root.access)).await;
    assert_eq!(held.text("/limits/0/what"), "otp");
    let id = app.user("ada@example.com").await.id;
    assert_eq!(held.body["limits"][0]["user"], id, "{held:?}");
    let release = app
        .request(Method::POST, "/api/admin/limits/release/")
        .bearer_auth(&root.access)
        .json(&json!({"name": held.text("/limits/0/name")}));
    assert_eq!(app.send(release).await.status, 204);
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
}

/// O3: of right codes that are sent at once, as by an impatient client, those that come after the accepted one take no attempt
/// of the mailbox.
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

/// Has the next code counted and then find that another request gave the right one and ended it.
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

/// T3: what the service could not look at was no guess.
#[tokio::test]
async fn login_failed_by_service_is_not_counted() {
    let app = start(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "3"),
        ("LIMIT_LOGIN_FAILURES", "100"),
    ])
    .await;
    app.logged_in_user("ada@example.com").await;
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        app.database.db.execute_unprepared(&sql).await.unwrap();
    };
    // The last free one before, so that each of the failures causes a wait and takes it back.
    for _ in 0..2 {
        app.try_login("ada@example.com", WRONG).await;
    }
    rename("users", "gone").await;
    for _ in 0..5 {
        let answer = app.try_login("ada@example.com", PASSWORD).await;
        answer.assert_problem(500, "internal");
        // It is taken back after the answer.
        wait_until(async || failed_attempts(&app).await == (Some(2), None)).await;
    }
    rename("gone", "users").await;
    app.login("ada@example.com", PASSWORD).await;
}

/// The failed attempts of the one account that has any, and until when it waits.
async fn failed_attempts(app: &TestApp) -> (Option<u32>, Option<u64>) {
    let key = failed_attempts_key(app, "failed_attempts").await;
    redis::cmd("HMGET")
        .arg(key)
        .arg(&["failed_attempts", "until"])
        .query_async(&mut app.redis.connection())
        .await
        .unwrap()
}

async fn failed_attempts_key(app: &TestApp, what: &str) -> String {
    let keys = app.redis.keys().await;
    let part = format!(":limit:{what}:");
    keys.into_iter().find(|key| key.contains(&part)).unwrap()
}

/// T3: whoever guesses no more than what is free has so many guesses in a month, not in a day.
#[tokio::test]
async fn free_failures_are_remembered_for_a_month() {
    let app = start(&[("LIMIT_LOGIN_FREE_FAILURES", "5")]).await;
    app.logged_in_user("ada@example.com").await;
    app.try_login("ada@example.com", WRONG).await;
    let ends: i64 = redis::cmd("TTL")
        .arg(failed_attempts_key(&app, "failed:email").await)
        .query_async(&mut app.redis.connection())
        .await
        .unwrap();
    assert!(ends > 29 * 86_400, "{ends}");
}

/// T3: a stolen session guesses the password no better than a stranger does, and no stranger keeps an owner from changing it.
#[tokio::test]
async fn password_change_failures_have_their_own_lockout() {
    let app = start(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "3"),
        ("LIMIT_LOGIN_FAILURES", "5"),
    ])
    .await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let change = async |access: &str, password: &str, new: &str| {
        let body = json!({"password": password, "new_password": new});
        let request = app.request(Method::POST, "/auth/change_password/");
        let request = request.bearer_auth(access);
        app.send(request.json(&body)).await
    };
    for _ in 0..3 {
        app.try_login("ada@example.com", WRONG).await;
    }
    retry_after(&app.try_login("ada@example.com", PASSWORD).await);
    let answer = change(&tokens.access, PASSWORD, "another quiet morning").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let access = answer.text("/access");

    for wait in [0, 0, 0, 1, 2] {
        app.advance_clock(TimeDelta::seconds(wait));
        let answer = change(&access, WRONG, "yet another morning").await;
        answer.assert_problem(400, "wrong-password");
    }
    app.advance_clock(TimeDelta::minutes(4));
    retry_after(&change(&access, "another quiet morning", "yet another morning").await);
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    assert_eq!(
        app.reset_password(&token, "one more evening").await.status,
        200
    );
    let tokens = app.login("ada@example.com", "one more evening").await;
    let body = json!({"password": "one more evening", "new_password": "yet another morning"});
    let request = app.request(Method::POST, "/auth/change_password/");
    let request = request.bearer_auth(&tokens.access).json(&body);
    assert_eq!(app.send(request).await.status, 200);
}

/// T1: asking by changes of the own address who else has an account is limited; all else of the profile goes on.
#[tokio::test]
async fn email_changes_are_rate_limited() {
    let app = start(&[("LIMIT_EMAIL_CHANGE", "2/3600")]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    app.register("taken@example.com").await;
    let change = |email: &'static str| app.patch_user(&tokens.access, json!({"email": email}));
    for _ in 0..2 {
        change("taken@example.com")
            .await
            .assert_problem(409, "email-taken");
    }
    assert_eq!(retry_after(&change("free@example.com").await), 3600);
    assert_eq!(change("ADA@example.com").await.status, 200);
    let name = json!({"username": "Countess"});
    assert_eq!(app.patch_user(&tokens.access, name).await.status, 200);
}

/// A body that no call accepts.
const MALFORMED: &str = "{";

async fn malformed(app: &TestApp, method: Method, path: &str, body: String) -> ApiResponse {
    let request = app
        .request(method, path)
        .header("content-type", "application/json");
    app.send(request.body(body)).await
}

/// C1: limits by client IP are asked before anything is parsed.
#[tokio::test]
async fn client_ip_rate_limited_body_is_not_parsed() {
    for (setting, path) in [
        ("LIMIT_REGISTER_IP", "/api/register/"),
        ("LIMIT_LOGIN_IP", "/api/login/"),
        ("LIMIT_RESET_IP", "/auth/email_request/"),
        ("LIMIT_OTP_IP", "/auth/check_otp/"),
        ("LIMIT_RESET_PASSWORD_IP", "/auth/reset_password/"),
    ] {
        let app = start(&[(setting, "1/3600")]).await;
        let form = json!({
            "email": "ada@example.com", "username": "Ada", "password": PASSWORD,
            "token": "nonsense", "otp": "123456", "new_password": PASSWORD,
        });
        app.post(path, form).await;

        let answer = malformed(&app, Method::POST, path, MALFORMED.to_owned()).await;

        assert_eq!(answer.status, 429, "{path}: {answer:?}");
        retry_after(&answer);
    }
}

/// C1: so are limits by account, for large bodies those of pictures.
#[tokio::test]
async fn account_rate_limited_body_is_not_parsed() {
    let app = start(&[
        ("LIMIT_PASSWORD_CHANGE", "1/3600"),
        ("LIMIT_PICTURE_ACCOUNT", "1/3600"),
    ])
    .await;
    app.create_superuser("root@example.com").await;
    let access = app.login("root@example.com", PASSWORD).await.access;
    let id = app.user("root@example.com").await.id;
    let picture = crate::accounts::pictures::data_url(&crate::accounts::pictures::png(4, 4));
    let answer = app.patch_user(&access, json!({"image": picture})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let wrong = json!({"password": WRONG, "new_password": "another quiet morning"});
    let send = |method: Method, path: &str, body: String| {
        let request = app.request(method, path).bearer_auth(&access);
        app.send(
            request
                .header("content-type", "application/json")
                .body(body),
        )
    };
    let path = "/auth/change_password/";
    let answer = send(Method::POST, path, wrong.to_string()).await;
    assert_eq!(answer.status, 400, "{answer:?}");

    let large = format!("{MALFORMED}{}", " ".repeat(100_000));
    for (method, path, body) in [
        (Method::POST, path.to_owned(), MALFORMED),
        (Method::PATCH, "/api/user/".to_owned(), &large),
        (Method::PATCH, format!("/api/admin/users/{id}/"), &large),
    ] {
        let answer = send(method, &path, body.to_owned()).await;
        assert_eq!(answer.status, 429, "{path}: {answer:?}");
        retry_after(&answer);
    }
    let dashboard = Dashboard::signed_in(&app, "root@example.com").await;
    let path = format!("/admin/users/{id}/");
    let page = dashboard.post(&path, &[("junk", &large)]).await;
    assert_eq!(page.status, 429, "{page:?}");
    // A small body need not have a picture.
    let answer = send(Method::PATCH, "/api/user/", MALFORMED.to_owned()).await;
    answer.assert_problem(400, "malformed-body");
}

//! Password reset: `POST /auth/email_request/`, `/auth/check_otp/` and `/auth/reset_password/`.

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::models::{mail, password_reset as resets};
use reqwest::Method;
use sea_orm::EntityTrait as _;
use serde_json::json;

use crate::support::test_app::{PASSWORD, TestApp, assert_same_problems, code_in, wrong_code};

const NEW: &str = "another quiet morning";

/// M3: the owner can tell two codes apart by device, and a stranger's own text appears in no mail.
#[tokio::test]
async fn code_mail_names_known_device_only() {
    let app = TestApp::new().await;
    app.register("ada@example.com").await;
    let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
    for (user_agent, device) in [
        (chrome, "UTC using Chrome (Windows)."),
        ("evil.example/1.0", "UTC."),
    ] {
        let request = app.request(Method::POST, "/auth/email_request/");
        let request = request.header("User-Agent", user_agent);
        let answer = app
            .send(request.json(&json!({"email": "ada@example.com"})))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");

        let mails = app.mails_to("ada@example.com").await;
        let text = &mails.last().unwrap().text;
        assert!(text.contains(device), "{text}");
        assert!(!text.contains("evil"), "{text}");
    }
}

/// N1: The response, its headers and the stored row do not reveal whether the email has an account.
#[tokio::test]
async fn reset_request_response_is_same_for_every_email() {
    let app = TestApp::new().await;
    app.register("pending@example.com").await;
    app.logged_in_user("known@example.com").await;
    app.logged_in_user("deactivated@example.com").await;
    app.deactivate("deactivated@example.com").await;
    app.deliver_all().await;
    let before = app.sink.mails().len();

    let mut shapes = Vec::new();
    let emails = [
        "known@example.com",
        "unknown@example.com",
        "pending@example.com",
        "deactivated@example.com",
    ];
    for email in emails {
        let answer = app
            .post("/auth/email_request/", json!({"email": email}))
            .await;
        assert_eq!(answer.keys(), ["token", "message"]);
        assert_eq!(
            answer.text("/message"),
            "Password reset link sent to email."
        );
        let headers: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        shapes.push((
            answer.status.as_u16(),
            answer.text("/token").len(),
            headers,
            answer.headers["content-length"].clone(),
        ));
    }
    assert!(
        shapes.windows(2).all(|pair| pair[0] == pair[1]),
        "{shapes:?}"
    );
    let rows = resets::Entity::find().all(&app.database.db).await.unwrap();
    assert!(
        rows.iter().all(|row| row.user_id.is_none()),
        "the request looked the email up"
    );

    app.deliver_all().await;
    let mut recipients: Vec<_> = app
        .sink
        .mails()
        .split_off(before)
        .into_iter()
        .flat_map(|mail| mail.to)
        .collect();
    recipients.sort();
    assert_eq!(recipients, ["known@example.com", "pending@example.com"]);
}

/// Users get a reset code when they type their email in another case.
#[tokio::test]
async fn reset_request_ignores_case_of_email() {
    let app = TestApp::new().await;
    app.logged_in_user("Ada@Example.com").await;

    let (token, code) = app.request_reset("ada@example.COM").await;

    assert_eq!(
        app.check_otp(&token, &code).await.body,
        json!({"message": "OTP is valid."})
    );
}

/// Clients can send the code with blanks around it, or as a JSON number, which the original rejected.
#[tokio::test]
async fn reset_code_accepts_blanks_and_json_number() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;

    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(
        app.check_otp(&token, &format!(" {code} ")).await.status,
        200
    );

    // JSON has no number with a leading zero.
    let (token, code) = app
        .request_reset_with("ada@example.com", |code| !code.starts_with('0'))
        .await;
    let number: u32 = code.parse().unwrap();
    let answer = app
        .post("/auth/check_otp/", json!({"token": token, "otp": number}))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// O2: Wrong, expired, used and unknown codes get the same response, except for the request id.
#[tokio::test]
async fn rejected_reset_codes_get_the_same_response() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (used, used_code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&used, &used_code).await.status, 200);
    let (expired, expired_code) = app.request_reset("ada@example.com").await;
    app.advance_clock(TimeDelta::minutes(6));
    let (token, code) = app.request_reset("ada@example.com").await;
    let unknown = app.request_reset_token("unknown@example.com").await;

    let mut answers = Vec::new();
    for (token, otp) in [
        (token.as_str(), wrong_code(&code)),
        (&token, "12345".to_owned()),
        (&token, "abcdef".to_owned()),
        (&token, "１２３４５６".to_owned()),
        (&used, used_code),
        (&expired, expired_code),
        (&unknown, code.clone()),
        ("no-such-token", code.clone()),
        (&"t".repeat(2_000), code),
    ] {
        let answer = app.check_otp(token, &otp).await;
        answer.assert_problem(400, "invalid-otp");
        answers.push(answer);
    }
    assert_same_problems(answers);
}

/// O1: A reset code is valid for five minutes after its mail is sent.
#[tokio::test]
async fn reset_code_expires_5_minutes_after_sending() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let token = app.request_reset_token("ada@example.com").await;
    app.advance_clock(TimeDelta::minutes(4));
    let code = code_in(app.mails_to("ada@example.com").await.last().unwrap());

    app.advance_clock(TimeDelta::seconds(299));
    assert_eq!(
        app.check_otp(&token, &code).await.status,
        200,
        "8 min 59 s after the request, 4 min 59 s after the mail"
    );

    let (token, code) = app.request_reset("ada@example.com").await;
    app.advance_clock(TimeDelta::seconds(300));
    app.check_otp(&token, &code)
        .await
        .assert_problem(400, "invalid-otp");
}

/// O1: A reset code expires ten minutes after its request at the latest.
#[tokio::test]
async fn late_reset_code_expires_with_its_request() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let token = app.request_reset_token("ada@example.com").await;
    app.advance_clock(TimeDelta::minutes(9));
    let code = code_in(app.mails_to("ada@example.com").await.last().unwrap());

    app.advance_clock(TimeDelta::seconds(60));
    app.check_otp(&token, &code)
        .await
        .assert_problem(400, "invalid-otp");
}

/// O2: A reset code is valid only with the token of its own request.
#[tokio::test]
async fn reset_code_of_another_request_is_rejected() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (first, first_code) = app.request_reset("ada@example.com").await;
    let (second, second_code) = app
        .request_reset_with("ada@example.com", |code| code != first_code)
        .await;
    assert_ne!(first, second);

    app.check_otp(&first, &second_code)
        .await
        .assert_problem(400, "invalid-otp");
    app.check_otp(&second, &first_code)
        .await
        .assert_problem(400, "invalid-otp");
    assert_eq!(app.check_otp(&first, &first_code).await.status, 200);
    assert_eq!(app.check_otp(&second, &second_code).await.status, 200);
}

/// O2: A reset code can be used once, even when 20 clients send it concurrently.
#[tokio::test]
async fn reset_code_is_accepted_once() {
    let app = TestApp::with(&[("OTP_TRIES", "10")]).await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;

    let answers = join_all((0..20).map(|_| app.check_otp(&token, &code))).await;

    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count(),
        1,
        "{answers:?}"
    );
    app.check_otp(&token, &code)
        .await
        .assert_problem(400, "invalid-otp");
}

/// O3: Five wrong attempts void a reset code.
#[tokio::test]
async fn reset_code_after_five_wrong_attempts_is_rejected() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;

    for _ in 0..5 {
        app.check_otp(&token, &wrong_code(&code))
            .await
            .assert_problem(400, "invalid-otp");
    }
    app.check_otp(&token, &code)
        .await
        .assert_problem(400, "invalid-otp");

    let (token, code) = app.request_reset("ada@example.com").await;
    for _ in 0..4 {
        app.check_otp(&token, &wrong_code(&code))
            .await
            .assert_problem(400, "invalid-otp");
    }
    assert_eq!(
        app.check_otp(&token, &code).await.status,
        200,
        "the fifth attempt is accepted"
    );
}

/// O3: Parallel guesses cannot exceed the limit of attempts, because the count is atomic.
#[tokio::test]
async fn parallel_reset_guesses_consume_exactly_five_attempts() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    let wrong = wrong_code(&code);

    for _ in 0..10 {
        let answers = join_all((0..100).map(|_| app.check_otp(&token, &wrong))).await;
        assert!(
            answers.iter().all(|answer| answer.status == 400),
            "{answers:?}"
        );
    }

    let rows = resets::Entity::find().all(&app.database.db).await.unwrap();
    assert_eq!(rows[0].tries, 5);
    app.check_otp(&token, &code)
        .await
        .assert_problem(400, "invalid-otp");
}

/// O5: A client cannot set a password before it has entered the code.
#[tokio::test]
async fn reset_without_checked_code_is_rejected() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;

    app.reset_password(&token, NEW)
        .await
        .assert_problem(400, "invalid-reset-token");
    app.check_otp(&token, &wrong_code(&code))
        .await
        .assert_problem(400, "invalid-otp");
    app.reset_password(&token, NEW)
        .await
        .assert_problem(400, "invalid-reset-token");
    app.reset_password("no-such-token", NEW)
        .await
        .assert_problem(400, "invalid-reset-token");
    app.login("ada@example.com", PASSWORD).await;
}

/// O5: A reset token can be used once, even when 20 clients send it concurrently.
#[tokio::test]
async fn reset_token_is_accepted_once() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);

    let answers = join_all((0..20).map(|_| app.reset_password(&token, NEW))).await;

    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count(),
        1,
        "{answers:?}"
    );
    app.reset_password(&token, "yet another morning")
        .await
        .assert_problem(400, "invalid-reset-token");
    app.check_otp(&token, &code)
        .await
        .assert_problem(400, "invalid-otp");
    app.login("ada@example.com", NEW).await;
}

/// O5: A reset expires ten minutes after its request, even with a checked code.
#[tokio::test]
async fn checked_reset_expires_10_minutes_after_request() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let token = app.request_checked_reset("ada@example.com").await;

    app.advance_clock(TimeDelta::minutes(10));

    app.reset_password(&token, NEW)
        .await
        .assert_problem(400, "invalid-reset-token");
}

/// P6: A reset ends every session and every other reset, and mails the owner. The original kept sessions alive (S8).
#[tokio::test]
async fn reset_ends_sessions_and_other_resets_mails_owner() {
    let app = TestApp::new().await;
    let here = app.logged_in_user("ada@example.com").await;
    let there = app.login("ada@example.com", PASSWORD).await;
    let other = app.request_checked_reset("ada@example.com").await;
    app.complete_reset("ada@example.com", NEW).await;

    for tokens in [here, there] {
        app.assert_revoked(&tokens).await;
    }
    app.reset_password(&other, "yet another morning")
        .await
        .assert_problem(400, "invalid-reset-token");
    let last = app.mails_to("ada@example.com").await.pop().unwrap();
    assert!(
        last.subject.to_lowercase().contains("password"),
        "{}",
        last.subject
    );
    app.login("ada@example.com", NEW).await;
}

/// A user who chooses a weak password is recipients the reason and can try again.
#[tokio::test]
async fn reset_weak_password_is_rejected_and_token_kept() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let token = app.request_checked_reset("ada@example.com").await;

    for (password, reason) in [
        ("short", "too_short"),
        ("password1", "too_common"),
        ("ada@example.com", "too_similar"),
    ] {
        let answer = app.reset_password(&token, password).await;
        answer.assert_invalid_field("new_password", reason);
    }
    assert_eq!(app.reset_password(&token, NEW).await.status, 200);
}

/// A reader of the old mailbox cannot reset the password after the email has changed.
#[tokio::test]
async fn reset_token_is_rejected_after_email_change() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("old@example.com").await;
    let token = app.request_checked_reset("old@example.com").await;

    assert_eq!(
        app.patch_user(&tokens.access, json!({"email": "new@example.com"}))
            .await
            .status,
        200
    );

    app.reset_password(&token, NEW)
        .await
        .assert_problem(400, "invalid-reset-token");
}

/// A reset that began before the deactivation of the account is void.
#[tokio::test]
async fn reset_token_is_rejected_after_deactivation() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let token = app.request_checked_reset("ada@example.com").await;

    app.deactivate("ada@example.com").await;

    app.reset_password(&token, NEW)
        .await
        .assert_problem(400, "invalid-reset-token");
}

/// T3: The owner of an account pending approval can reset the password, but approval stays with staff.
#[tokio::test]
async fn reset_does_not_activate_account_pending_approval() {
    let app = TestApp::new().await;
    app.register("new@example.com").await;
    app.complete_reset("new@example.com", NEW).await;

    app.try_login("new@example.com", NEW)
        .await
        .assert_problem(403, "not-activated");
}

/// Clients can send each step of a reset as a form or as multipart.
#[tokio::test]
async fn reset_steps_accept_forms_and_multipart() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let form = app
        .request(Method::POST, "/auth/email_request")
        .form(&[("email", "ada@example.com")]);
    let token = app.send(form).await.text("/token");
    let code = code_in(app.mails_to("ada@example.com").await.last().unwrap());

    let parts = reqwest::multipart::Form::new()
        .text("token", token.clone())
        .text("otp", code);
    let checked = app
        .send(
            app.request(Method::POST, "/auth/check_otp")
                .multipart(parts),
        )
        .await;
    assert_eq!(checked.status, 200, "{checked:?}");
    let form = app
        .request(Method::POST, "/auth/reset_password")
        .form(&[("token", token.as_str()), ("new_password", NEW)]);
    assert_eq!(app.send(form).await.status, 200);
}

/// Concurrent reset requests get tokens of their own. In the original, requests of one second shared one (S7).
#[tokio::test]
async fn concurrent_reset_requests_get_different_tokens() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;

    let body = json!({"email": "ada@example.com"});
    let answers = join_all((0..2).map(|_| app.post("/auth/email_request/", body.clone()))).await;

    assert_ne!(answers[0].text("/token"), answers[1].text("/token"));
}

/// Users can request a reset while the queue is unavailable: the mail stays in the outbox.
#[tokio::test]
async fn reset_mail_stays_in_outbox_without_queue() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.deliver_all().await;
    // Keys of another type make every push of the queue fail.
    let mut redis = app.redis.connection();
    for part in ["data", "active", "scheduled"] {
        let key = format!("{}:mails:{part}", app.redis.namespace());
        let _: () = redis::cmd("DEL")
            .arg(&key)
            .query_async(&mut redis)
            .await
            .unwrap();
        let _: () = redis::cmd("SET")
            .arg(&key)
            .arg("broken")
            .query_async(&mut redis)
            .await
            .unwrap();
    }

    let answer = app
        .post("/auth/email_request/", json!({"email": "ada@example.com"}))
        .await;

    assert_eq!(answer.status, 201);
    let queued = mail::list(&app.database.db, Some(mail::MailState::Queued), 10)
        .await
        .unwrap();
    assert_eq!(queued.len(), 1);
    assert_eq!(
        queued[0].request_id,
        answer.headers["x-request-id"].to_str().unwrap()
    );
}

/// N1: Wrong codes after the expiry count alike for emails with and without an account.
#[tokio::test]
async fn wrong_codes_after_expiry_count_for_every_email() {
    let app = TestApp::with(&[("LIMIT_OTP_EMAIL", "3/86400")]).await;
    app.logged_in_user("known@example.com").await;
    let mut statuses = Vec::new();
    for email in ["known@example.com", "unknown@example.com"] {
        let asked = app.post("/auth/email_request/", json!({"email": email}));
        let token = asked.await.text("/token");
        app.deliver_all().await;
        app.advance_clock(TimeDelta::minutes(6));
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(app.check_otp(&token, "000000").await.status.as_u16());
        }
        statuses.push(answers);
    }
    assert_eq!(statuses, [[400, 400, 400, 429], [400, 400, 400, 429]]);
}

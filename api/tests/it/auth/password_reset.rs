//! The three steps of a forgotten password.

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::models::{mail, password_reset as resets};
use reqwest::Method;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};

use crate::support::test_app::{PASSWORD, TestApp, code_in, wrong_code};

const NEW: &str = "another quiet morning";

/// N1: the answer tells nothing of the address, and neither do the headers or the rows that it leaves.
#[tokio::test]
async fn every_address_gets_the_same_answer_and_only_an_open_account_gets_a_mail() {
    let app = TestApp::new().await;
    app.register("waiting@example.com").await;
    app.logged_in_user("known@example.com").await;
    app.logged_in_user("shut@example.com").await;
    app.deactivate("shut@example.com").await;
    app.deliver_all().await;
    let before = app.sink.mails().len();

    let mut shapes = Vec::new();
    let addresses = [
        "known@example.com",
        "unknown@example.com",
        "waiting@example.com",
        "shut@example.com",
    ];
    for email in addresses {
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
        "somebody looked the address up during the request"
    );

    app.deliver_all().await;
    let mut told: Vec<_> = app
        .sink
        .mails()
        .split_off(before)
        .into_iter()
        .flat_map(|mail| mail.to)
        .collect();
    told.sort();
    assert_eq!(told, ["known@example.com", "waiting@example.com"]);
}

#[tokio::test]
async fn the_code_comes_by_mail_whatever_the_case_of_the_address() {
    let app = TestApp::new().await;
    app.logged_in_user("Ada@Example.com").await;

    let (token, code) = app.request_reset("ada@example.COM").await;

    assert_eq!(
        app.check_otp(&token, &code).await.body,
        json!({"message": "OTP is valid."})
    );
}

/// A code counts as text, with blanks around it, and as a number, which the original refused.
#[tokio::test]
async fn a_code_may_be_typed_with_blanks_or_sent_as_a_number() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;

    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(
        app.check_otp(&token, &format!(" {code} ")).await.status,
        200
    );

    let (token, code) = loop {
        let (token, code) = app.request_reset("ada@example.com").await;
        // JSON knows no number with a leading nought.
        if !code.starts_with('0') {
            break (token, code);
        }
    };
    let number: u32 = code.parse().unwrap();
    let answer = app
        .post("/auth/check_otp/", json!({"token": token, "otp": number}))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// O2: wrong, expired, used up and unknown are one answer, byte for byte but for the request's id.
#[tokio::test]
async fn every_reason_against_a_code_is_one_answer() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (used, used_code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&used, &used_code).await.status, 200);
    let (expired, expired_code) = app.request_reset("ada@example.com").await;
    app.advance_clock(TimeDelta::minutes(6));
    let (token, code) = app.request_reset("ada@example.com").await;
    let unheard = app
        .post(
            "/auth/email_request/",
            json!({"email": "nobody@example.com"}),
        )
        .await
        .text("/token");

    let mut bodies = Vec::new();
    for (token, otp) in [
        (token.as_str(), wrong_code(&code)),
        (&token, "12345".to_owned()),
        (&token, "abcdef".to_owned()),
        (&token, "１２３４５６".to_owned()),
        (&used, used_code),
        (&expired, expired_code),
        (&unheard, code.clone()),
        ("no-such-token", code.clone()),
        (&"t".repeat(2_000), code),
    ] {
        let mut answer = app.check_otp(token, &otp).await;
        answer.assert_problem(400, "invalid-otp");
        answer.body["instance"] = Value::Null;
        bodies.push(answer.body);
    }
    assert!(
        bodies.windows(2).all(|pair| pair[0] == pair[1]),
        "{bodies:?}"
    );
}

/// O1: five minutes from the moment it was sent.
#[tokio::test]
async fn a_code_counts_five_minutes_from_its_sending() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let token = app
        .post("/auth/email_request/", json!({"email": "ada@example.com"}))
        .await
        .text("/token");
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

/// O1: and never past the ten minutes of its request.
#[tokio::test]
async fn a_code_that_was_sent_late_ends_with_its_request() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let token = app
        .post("/auth/email_request/", json!({"email": "ada@example.com"}))
        .await
        .text("/token");
    app.advance_clock(TimeDelta::minutes(9));
    let code = code_in(app.mails_to("ada@example.com").await.last().unwrap());

    app.advance_clock(TimeDelta::seconds(60));
    app.check_otp(&token, &code)
        .await
        .assert_problem(400, "invalid-otp");
}

/// O2
#[tokio::test]
async fn a_code_of_one_request_opens_no_other() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (first, first_code) = app.request_reset("ada@example.com").await;
    let (second, second_code) = loop {
        let (token, code) = app.request_reset("ada@example.com").await;
        if code != first_code {
            break (token, code);
        }
    };
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

/// O2: single use, also when the right code comes twenty times at once.
#[tokio::test]
async fn a_code_is_accepted_once() {
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

/// O3
#[tokio::test]
async fn after_five_wrong_tries_the_right_code_is_refused_too() {
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
        "the fifth try counts"
    );
}

/// O3: the count is atomic.
#[tokio::test]
async fn a_thousand_parallel_guesses_take_exactly_five_tries() {
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

/// O5: a step can't be skipped.
#[tokio::test]
async fn without_the_check_there_is_no_reset() {
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

/// O5: nor repeated, also when twenty try at once.
#[tokio::test]
async fn a_reset_token_dies_with_the_reset() {
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

/// O5: it ends after ten minutes, whatever was checked.
#[tokio::test]
async fn a_checked_reset_ends_ten_minutes_after_its_request() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);

    app.advance_clock(TimeDelta::minutes(10));

    app.reset_password(&token, NEW)
        .await
        .assert_problem(400, "invalid-reset-token");
}

/// P6: every session ends, every other open reset too, and the owner is told. S8 of the original kept them alive.
#[tokio::test]
async fn a_reset_ends_every_session_and_every_other_reset_and_mails_the_owner() {
    let app = TestApp::new().await;
    let here = app.logged_in_user("ada@example.com").await;
    let there = app.login("ada@example.com", PASSWORD).await;
    let (other, other_code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&other, &other_code).await.status, 200);
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);

    assert_eq!(app.reset_password(&token, NEW).await.status, 200);

    for tokens in [here, there] {
        app.get_user(&tokens.access)
            .await
            .assert_problem(401, "not-authenticated");
        app.post("/auth/refresh/", json!({"refresh": tokens.refresh}))
            .await
            .assert_problem(401, "invalid-refresh-token");
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

#[tokio::test]
async fn a_weak_new_password_is_refused_and_the_token_lives_on() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);

    for (password, reason) in [
        ("short", "too_short"),
        ("password1", "too_common"),
        ("ada@example.com", "too_similar"),
    ] {
        let answer = app.reset_password(&token, password).await;
        answer.assert_problem(400, "invalid-input");
        assert_eq!(
            answer.invalid_fields(),
            [("new_password".to_owned(), reason.to_owned())]
        );
    }
    assert_eq!(app.reset_password(&token, NEW).await.status, 200);
}

/// Whoever reads an old mailbox gets into no account that has moved on.
#[tokio::test]
async fn a_reset_dies_when_the_address_changes() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("old@example.com").await;
    let (token, code) = app.request_reset("old@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);

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

#[tokio::test]
async fn an_account_that_was_shut_meanwhile_is_not_reset() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);

    app.deactivate("ada@example.com").await;

    app.reset_password(&token, NEW)
        .await
        .assert_problem(400, "invalid-reset-token");
}

/// T3, so far: an account that waits for activation can be recovered, and still waits afterwards.
#[tokio::test]
async fn a_reset_activates_nobody() {
    let app = TestApp::new().await;
    app.register("new@example.com").await;
    let (token, code) = app.request_reset("new@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    assert_eq!(app.reset_password(&token, NEW).await.status, 200);

    app.try_login("new@example.com", NEW)
        .await
        .assert_problem(403, "not-activated");
}

#[tokio::test]
async fn all_three_steps_take_forms_and_multipart() {
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

/// S7 of the original: two requests in one second shared a token.
#[tokio::test]
async fn two_requests_at_once_are_two_requests() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;

    let body = json!({"email": "ada@example.com"});
    let answers = join_all((0..2).map(|_| app.post("/auth/email_request/", body.clone()))).await;

    assert_ne!(answers[0].text("/token"), answers[1].text("/token"));
}

/// The request is noted, and its mail waits, also while the queue is gone.
#[tokio::test]
async fn with_the_queue_gone_the_mail_still_waits_in_the_outbox() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.deliver_all().await;
    // What the queue would push into is of another type, so that every push fails.
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
    let waiting = mail::list(&app.database.db, Some(mail::MailState::Queued), 10)
        .await
        .unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        waiting[0].request_id,
        answer.headers["x-request-id"].to_str().unwrap()
    );
}

/// N1: nor does a code that has run out count otherwise than one that was never sent.
#[tokio::test]
async fn wrong_codes_after_the_code_has_run_out_count_for_every_address() {
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

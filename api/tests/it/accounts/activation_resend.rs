//! `POST /auth/activate/resend/`: another activation code, for the token of a registration.

use chrono::TimeDelta;
use latchkey_shared::models::user;
use sea_orm::EntityTrait as _;
use serde_json::json;

use crate::support::test_app::{ApiResponse, PASSWORD, TestApp, code_in, registration};

const EMAIL: &str = "ada@example.com";
const STRANGERS: &str = "a stranger's own words";

async fn start(more: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[&[("ACTIVATION", "email")], more].concat()).await
}

async fn activate(app: &TestApp, token: &str, otp: &str) -> ApiResponse {
    app.post("/auth/activate/", json!({"token": token, "otp": otp}))
        .await
}

async fn try_resend(app: &TestApp, token: &str) -> ApiResponse {
    app.post("/auth/activate/resend/", json!({"token": token}))
        .await
}

/// Requests another code and returns its token.
async fn resend(app: &TestApp, token: &str) -> String {
    let answer = try_resend(app, token).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.keys(), ["activation_token", "message"]);
    answer.text("/activation_token")
}

/// Returns the codes that the mailbox has received, oldest first.
async fn codes(app: &TestApp) -> Vec<String> {
    let mails = app.mails_to(EMAIL).await;
    let with_code = mails
        .iter()
        .filter(|mail| mail.text.contains("to activate"));
    with_code.map(code_in).collect()
}

/// Another code activates the account with its own token. The previous code no longer works.
#[tokio::test]
async fn resent_code_replaces_the_previous_one() {
    let app = start(&[]).await;
    let first = app.register(EMAIL).await.text("/activation_token");
    let old = codes(&app).await.remove(0);

    let second = resend(&app, &first).await;

    let new = codes(&app).await.remove(1);
    assert_ne!(first, second);
    for (token, code) in [(&first, &old), (&first, &new)] {
        let answer = activate(&app, token, code).await;
        answer.assert_problem(400, "invalid-otp");
    }
    assert_eq!(activate(&app, &second, &new).await.status, 200);
    app.login(EMAIL, PASSWORD).await;
}

/// A client that has lost an answer repeats its request with the token that it has.
#[tokio::test]
async fn resend_is_repeated_with_the_same_token() {
    let app = start(&[]).await;
    let first = app.register(EMAIL).await.text("/activation_token");
    resend(&app, &first).await;
    // Before any mail is delivered: the first two requests have different ends.
    let token = resend(&app, &first).await;

    let codes = codes(&app).await;

    assert_eq!(codes.len(), 2, "the code of the first request is not sent");
    let statuses = [&codes[0], &codes[1]].map(|code| activate(&app, &token, code));
    let [other, own] = statuses;
    other.await.assert_problem(400, "invalid-otp");
    assert_eq!(own.await.status, 200);
}

/// A client that has lost an answer does not lose its code: a request ends the code of its own token only. The account is
/// activated once.
#[tokio::test]
async fn resend_with_older_token_leaves_newer_code_valid() {
    let app = start(&[]).await;
    let first = app.register(EMAIL).await.text("/activation_token");
    let second = resend(&app, &first).await;
    let code_of_second = codes(&app).await.pop().unwrap();
    app.advance_clock(TimeDelta::seconds(61));
    let third = resend(&app, &first).await;
    let code_of_third = codes(&app).await.pop().unwrap();

    let activated = activate(&app, &second, &code_of_second).await;

    assert_eq!(activated.status, 200, "{activated:?}");
    let again = activate(&app, &third, &code_of_third).await;
    again.assert_problem(400, "invalid-otp");
}

/// The token of a registration requests codes until `PENDING_ACCOUNT_DAYS` after it.
#[tokio::test]
async fn activation_token_requests_codes_for_pending_account_days() {
    let app = start(&[("PENDING_ACCOUNT_DAYS", "7")]).await;
    let token = app.register(EMAIL).await.text("/activation_token");

    app.advance_clock(TimeDelta::days(6));
    app.run_housekeeping().await;
    let other = resend(&app, &token).await;
    app.advance_clock(TimeDelta::days(2));
    app.run_housekeeping().await;

    let answer = try_resend(&app, &token).await;
    answer.assert_problem(400, "invalid-reset-token");
    let last = resend(&app, &other).await;
    let code = codes(&app).await.pop().unwrap();
    assert_eq!(activate(&app, &last, &code).await.status, 200);
}

/// N1: the answer does not show whether the account is activated, deactivated or has another email. Only an account that is pending
/// verification gets a code.
#[tokio::test]
async fn resend_answer_is_same_for_every_account() {
    let app = start(&[("REGISTRATION_PRIVACY", "on")]).await;
    let token = app.register(EMAIL).await.text("/activation_token");
    let refused = app.register(EMAIL).await.text("/activation_token");
    let sent = codes(&app).await;
    assert_eq!(sent.len(), 1);
    let pending = try_resend(&app, &token).await;
    assert_eq!(codes(&app).await.len(), 2);
    let of_refused = try_resend(&app, &refused).await;
    app.activate(EMAIL).await;
    let activated = try_resend(&app, &token).await;
    app.deactivate(EMAIL).await;
    let deactivated = try_resend(&app, &token).await;

    for answer in [&of_refused, &activated, &deactivated] {
        assert_eq!(answer.status, 201);
        assert_eq!(answer.body["message"], pending.body["message"]);
        let length = |answer: &ApiResponse| answer.text("/activation_token").len();
        assert_eq!(length(answer), length(&pending));
    }
    assert_eq!(codes(&app).await.len(), 2);
}

/// O2: the owner of a mailbox cannot activate the account, and with it the password, of a stranger who registered with the email first.
#[tokio::test]
async fn resend_for_taken_email_never_activates_strangers_password() {
    let app = start(&[("REGISTRATION_PRIVACY", "on")]).await;
    let mut form = registration(EMAIL);
    form["password"] = json!(STRANGERS);
    assert_eq!(app.post("/api/register/", form).await.status, 201);
    let owners = app.register(EMAIL).await.text("/activation_token");

    let again = resend(&app, &owners).await;

    let codes = codes(&app).await;
    assert_eq!(codes.len(), 1, "the stranger's registration sent it");
    for token in [&owners, &again] {
        let answer = activate(&app, token, &codes[0]).await;
        answer.assert_problem(400, "invalid-otp");
    }
    assert!(!app.user(EMAIL).await.is_activated);
}

/// O2: the token of a deleted account requests no code for a later account with its email.
#[tokio::test]
async fn resend_after_deletion_is_refused() {
    let app = start(&[]).await;
    let token = app.register(EMAIL).await.text("/activation_token");
    let other = resend(&app, &token).await;
    user::Entity::delete_by_id(app.user(EMAIL).await.id)
        .exec(&app.database.db)
        .await
        .unwrap();
    app.register(EMAIL).await;

    for token in [&token, &other] {
        let answer = try_resend(&app, token).await;
        answer.assert_problem(400, "invalid-reset-token");
    }
    assert_eq!(codes(&app).await.len(), 1);
}

/// Only tokens of registrations request activation codes.
#[tokio::test]
async fn resend_with_unknown_token_returns_400() {
    let app = start(&[]).await;
    app.register(EMAIL).await;
    let reset = app.request_reset_token(EMAIL).await;
    for token in ["an unknown token", &reset] {
        let answer = try_resend(&app, token).await;
        answer.assert_problem(400, "invalid-reset-token");
    }
    let missing = app.post("/auth/activate/resend/", json!({"email": EMAIL}));
    missing.await.assert_invalid_field("token", "required");
}

/// With other values of `ACTIVATION`, the call does not exist.
#[tokio::test]
async fn resend_in_other_modes_returns_404() {
    for mode in ["admin", "none"] {
        let app = TestApp::with(&[("ACTIVATION", mode)]).await;
        let answer = try_resend(&app, "a token").await;
        answer.assert_problem(404, "not-found");
    }
}

/// T1: resends share the limit of code requests.
#[tokio::test]
async fn resends_share_limit_of_code_requests() {
    let app = start(&[("LIMIT_RESET_IP", "3/3600")]).await;
    let token = app.register(EMAIL).await.text("/activation_token");
    for _ in 0..2 {
        resend(&app, &token).await;
    }
    try_resend(&app, "an unknown token")
        .await
        .assert_problem(400, "invalid-reset-token");
    let limited = try_resend(&app, &token).await;
    limited.assert_problem(429, "too-many-requests");
    let reset = app.post("/auth/email_request/", json!({"email": EMAIL}));
    reset.await.assert_problem(429, "too-many-requests");
}

/// T5: resent codes count in the budget of the mailbox.
#[tokio::test]
async fn resent_codes_stay_within_mail_budget() {
    let app = start(&[("LIMIT_MAIL_CAUSE", "3/3600")]).await;
    let mut token = app.register(EMAIL).await.text("/activation_token");
    for _ in 0..5 {
        app.deliver_all().await;
        token = resend(&app, &token).await;
    }
    assert_eq!(codes(&app).await.len(), 3);
}

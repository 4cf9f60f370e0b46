//! Logins with a second factor, and the calls that ask for it (F1 to F6).

use chrono::TimeDelta;
use futures_util::future::join_all;
use latchkey_shared::models::{session, totp_secret, user};
use reqwest::Method;
use sea_orm::EntityTrait as _;
use serde_json::json;

use crate::{
    admin::audit_log::events,
    support::{
        authenticator::Authenticator,
        test_app::{ApiResponse, PASSWORD, TestApp, Tokens},
    },
};

const EMAIL: &str = "ada@example.com";
const NEW_PASSWORD: &str = "another quiet morning";

async fn refresh(app: &TestApp, tokens: &Tokens) -> ApiResponse {
    let body = json!({"refresh": tokens.refresh});
    app.post("/auth/refresh/", body).await
}

/// Sets [`NEW_PASSWORD`] by a mailed code.
async fn reset_password(app: &TestApp) {
    let (token, code) = app.request_reset(EMAIL).await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    assert_eq!(app.reset_password(&token, NEW_PASSWORD).await.status, 200);
}

async fn with_recovery_code(app: &TestApp, challenge: &str, code: &str) -> ApiResponse {
    let body = json!({"challenge": challenge, "recovery_code": code});
    app.post("/auth/second_factor/", body).await
}

/// F1: an account without a factor logs in as before.
#[tokio::test]
async fn login_without_factor_needs_password_only() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user(EMAIL).await;

    let answer = app.try_login(EMAIL, PASSWORD).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body.get("challenge"), None);

    let request = app.request(Method::GET, "/auth/second_factor/");
    let state = app.send(request.bearer_auth(&tokens.access)).await;
    let none = json!({"enabled": false, "totp": false, "recovery_codes_left": 0});
    assert_eq!(state.body, none);
    for (path, body) in [
        ("/auth/second_factor/verify/", json!({"code": "123456"})),
        ("/auth/totp/disable/", json!({"password": PASSWORD})),
        ("/auth/recovery_codes/", json!({"password": PASSWORD})),
    ] {
        let answer = app.post_as(&tokens.access, path, body).await;
        answer.assert_problem(409, "no-second-factor");
    }
}

/// F1: with a factor, the right password alone starts no session; the wrong one is answered as before.
#[tokio::test]
async fn login_with_totp_needs_password_and_code() {
    let app = TestApp::new().await;
    let (_, phone) = app.enrolled_user(EMAIL).await;
    let sessions = || async {
        session::Entity::find()
            .all(&app.database.db)
            .await
            .unwrap()
            .len()
    };
    let before = sessions().await;

    let wrong = app.try_login(EMAIL, "a wrong password").await;
    wrong.assert_problem(401, "invalid-credentials");
    assert_eq!(wrong.body.get("challenge"), None);

    let first = app.try_login(EMAIL, PASSWORD).await;
    first.assert_problem(401, "second-factor-required");
    assert_eq!(first.body["factors"], json!(["totp", "recovery_code"]));
    assert_eq!(first.body.get("token"), None);
    let challenge = first.text("/challenge");
    assert_eq!(sessions().await, before);

    let code = phone.next_code(&app);
    for wrong in ["000000", "12345", "abcdef"] {
        let answer = app.second_step(&challenge, wrong).await;
        answer.assert_problem(400, "invalid-second-factor");
    }
    let answer = app.second_step("unknown", &code).await;
    answer.assert_problem(401, "invalid-challenge");
    assert_eq!(sessions().await, before);

    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let answer = app.second_step(&challenge, &spaced).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.text("/detail"), "Logged in Successfully");
    assert_eq!(answer.text("/data/email"), EMAIL);
    assert_eq!(
        app.get_user(&answer.text("/token/access")).await.status,
        200
    );
    let events = events(&app).await;
    assert!(
        events
            .iter()
            .any(|event| event.detail.as_deref() == Some("totp"))
    );
}

/// F2: a code, a challenge and a recovery code are good for one login, however many requests race.
#[tokio::test]
async fn concurrent_logins_with_one_code_start_one_session() {
    let app = TestApp::new().await;
    let (_, phone) = app.enrolled_user(EMAIL).await;
    let code = phone.next_code(&app);
    let mut challenges = Vec::new();
    for _ in 0..8 {
        challenges.push(app.challenge(EMAIL).await);
    }
    let succeeded =
        |answers: Vec<ApiResponse>| answers.iter().filter(|it| it.status == 200).count();

    let same_code = challenges.iter().map(|it| app.second_step(it, &code));
    assert_eq!(succeeded(join_all(same_code).await), 1);
    app.second_step(&app.challenge(EMAIL).await, &code)
        .await
        .assert_problem(400, "invalid-second-factor");

    let challenge = app.challenge(EMAIL).await;
    let codes = &phone.recovery_codes[..8];
    let same_challenge = codes
        .iter()
        .map(|it| with_recovery_code(&app, &challenge, it));
    assert_eq!(succeeded(join_all(same_challenge).await), 1);

    let mut challenges = Vec::new();
    for _ in 0..8 {
        challenges.push(app.challenge(EMAIL).await);
    }
    let last = &phone.recovery_codes[9];
    let same_code = challenges
        .iter()
        .map(|it| with_recovery_code(&app, it, last));
    assert_eq!(succeeded(join_all(same_code).await), 1);
}

/// F2: a challenge ends with the password that it proves, and with the account's access.
#[tokio::test]
async fn challenge_ends_with_password_and_access() {
    let app = TestApp::new().await;
    let (tokens, phone) = app.enrolled_user(EMAIL).await;

    let challenge = app.challenge(EMAIL).await;
    let change = json!({"password": PASSWORD, "new_password": NEW_PASSWORD});
    let changed = app
        .post_as(&tokens.access, "/auth/change_password/", change)
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let answer = app.second_step(&challenge, &phone.next_code(&app)).await;
    answer.assert_problem(401, "invalid-challenge");

    let first = app.try_login(EMAIL, NEW_PASSWORD).await;
    app.deactivate(EMAIL).await;
    let answer = app
        .second_step(&first.text("/challenge"), &phone.next_code(&app))
        .await;
    answer.assert_problem(401, "invalid-challenge");
}

/// F2: a login that verified the password before the factor was added does not complete.
#[tokio::test]
async fn login_during_enrolment_is_refused() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user(EMAIL).await;
    let before = app.user(EMAIL).await;
    app.enrol(&tokens.access).await;
    let recorded = user::record_login(&app.database.db, &before, app.clock.now()).await;
    assert_eq!(recorded.unwrap(), user::RecordedLogin::Refused);
}

/// F3: a recovery code replaces the app once, in any spelling, and its use causes a mail.
#[tokio::test]
async fn recovery_code_works_once_and_is_mailed() {
    let app = TestApp::new().await;
    let (_, phone) = app.enrolled_user(EMAIL).await;
    assert_eq!(phone.recovery_codes.len(), 10);
    let typed = phone.recovery_codes[3].to_uppercase().replace('-', " ");

    let answer = with_recovery_code(&app, &app.challenge(EMAIL).await, &typed).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let again = with_recovery_code(&app, &app.challenge(EMAIL).await, &typed).await;
    again.assert_problem(400, "invalid-second-factor");

    let request = app.request(Method::GET, "/auth/second_factor/");
    let state = app
        .send(request.bearer_auth(answer.text("/token/access")))
        .await;
    let left = json!({"enabled": true, "totp": true, "recovery_codes_left": 9});
    assert_eq!(state.body, left);
    let subjects: Vec<_> = app
        .mails_to(EMAIL)
        .await
        .into_iter()
        .map(|mail| mail.subject)
        .collect();
    assert!(subjects.contains(&"Second factor added to your Latchkey account".to_owned()));
    assert!(subjects.contains(&"A recovery code of your Latchkey account was used".to_owned()));
}

/// F3: the database holds neither the secret nor the recovery codes, and no response repeats them.
#[tokio::test]
async fn secrets_of_factors_are_stored_sealed_and_hashed() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user(EMAIL).await;
    let body = json!({"password": PASSWORD});
    let created = app.post_as(&tokens.access, "/auth/totp/", body).await;
    assert!(
        created
            .text("/uri")
            .starts_with("otpauth://totp/Latchkey:ada%40example.com?secret=")
    );
    assert!(created.text("/qr_svg").contains("<svg"));
    let secret = data_encoding::BASE32_NOPAD
        .decode(created.text("/secret").as_bytes())
        .unwrap();
    let stored = totp_secret::Entity::find()
        .one(&app.database.db)
        .await
        .unwrap()
        .unwrap();
    assert!(
        !stored
            .sealed_secret
            .windows(8)
            .any(|part| secret.windows(8).any(|it| it == part))
    );
}

/// F4: neither a password reset nor a password change replaces the factor.
#[tokio::test]
async fn password_reset_does_not_skip_factor() {
    let app = TestApp::new().await;
    let (_, phone) = app.enrolled_user(EMAIL).await;
    reset_password(&app).await;
    let answer = app.try_login(EMAIL, NEW_PASSWORD).await;
    answer.assert_problem(401, "second-factor-required");
    let code = phone.next_code(&app);
    let answer = app.second_step(&answer.text("/challenge"), &code).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// F5: calls that change access ask for a factor again if the session has not proved one in the last five minutes.
#[tokio::test]
async fn changes_of_access_need_recent_factor() {
    let app = TestApp::with(&[("EMAIL_CHANGE", "immediate")]).await;
    let (tokens, phone) = app.enrolled_user(EMAIL).await;
    app.advance_clock(TimeDelta::minutes(5));
    let fresh = refresh(&app, &tokens).await;
    let access = fresh.text("/access");

    let password = || json!({"password": PASSWORD});
    for (path, body) in [
        ("/auth/delete_account/", password()),
        ("/auth/totp/disable/", password()),
        ("/auth/totp/", password()),
        ("/auth/recovery_codes/", password()),
    ] {
        let answer = app.post_as(&access, path, body).await;
        answer.assert_problem(403, "recent-second-factor-required");
    }
    let export = || {
        app.request(Method::GET, "/auth/export/")
            .bearer_auth(&access)
    };
    app.send(export())
        .await
        .assert_problem(403, "recent-second-factor-required");
    let new = json!({"email": "ada.new@example.com"});
    let answer = app.patch_user(&access, new.clone()).await;
    answer.assert_problem(403, "recent-second-factor-required");
    assert_eq!(
        app.patch_user(&access, json!({"username": "Ada"}))
            .await
            .status,
        200
    );

    let wrong = app
        .post_as(
            &access,
            "/auth/second_factor/verify/",
            json!({"code": "000000"}),
        )
        .await;
    wrong.assert_problem(400, "invalid-second-factor");
    let code = json!({"code": phone.next_code(&app)});
    let verified = app
        .post_as(&access, "/auth/second_factor/verify/", code)
        .await;
    assert_eq!(verified.status, 200, "{verified:?}");
    assert_eq!(app.send(export()).await.status, 200);
    assert_eq!(app.patch_user(&access, new).await.status, 200);
    let answer = app
        .post_as(&access, "/auth/delete_account/", password())
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// F5: a factor that is added while a request is under way is asked for, too.
#[tokio::test]
async fn session_from_before_enrolment_needs_factor_for_changes() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user(EMAIL).await;
    let other = app.login(EMAIL, PASSWORD).await;
    app.enrol(&tokens.access).await;
    let body = json!({"password": PASSWORD});
    let answer = app
        .post_as(&other.access, "/auth/delete_account/", body)
        .await;
    answer.assert_problem(403, "recent-second-factor-required");
    assert_eq!(app.get_user(&other.access).await.status, 200);
}

/// F4: the owner decides whether the enrolment ends the other sessions.
#[tokio::test]
async fn enrolment_ends_other_sessions_on_request() {
    for (value, alive) in [(json!(false), true), (json!(true), false)] {
        let app = TestApp::new().await;
        let tokens = app.logged_in_user(EMAIL).await;
        let other = app.login(EMAIL, PASSWORD).await;
        let body = json!({"password": PASSWORD});
        let created = app.post_as(&tokens.access, "/auth/totp/", body).await;
        let phone = Authenticator::new(&created.text("/secret"));
        let body = json!({"code": phone.code(&app), "end_other_sessions": value});
        let answer = app
            .post_as(&tokens.access, "/auth/totp/confirm/", body)
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let refreshed = refresh(&app, &other).await;
        assert_eq!(refreshed.status == 200, alive, "{value}");
        assert_eq!(app.get_user(&tokens.access).await.status, 200);
    }
}

/// F6: an unconfirmed secret has no effect, is replaced by the next one, and ends after an hour.
#[tokio::test]
async fn secret_needs_confirmation_within_an_hour() {
    let app = TestApp::new().await;
    let access = app.logged_in_user(EMAIL).await.access;
    let create = || app.post_as(&access, "/auth/totp/", json!({"password": PASSWORD}));
    let confirm = |code: String| app.post_as(&access, "/auth/totp/confirm/", json!({"code": code}));
    confirm("123456".to_owned())
        .await
        .assert_problem(409, "no-pending-totp");
    let wrong = json!({"password": "a wrong password"});
    app.post_as(&access, "/auth/totp/", wrong)
        .await
        .assert_problem(400, "wrong-password");

    let first = Authenticator::new(&create().await.text("/secret"));
    let second = Authenticator::new(&create().await.text("/secret"));
    confirm(first.code(&app))
        .await
        .assert_problem(400, "invalid-second-factor");
    assert_eq!(app.try_login(EMAIL, PASSWORD).await.status, 200);
    app.advance_clock(TimeDelta::hours(1));
    let access = app.login(EMAIL, PASSWORD).await.access;
    let code = json!({"code": second.code(&app)});
    let late = app.post_as(&access, "/auth/totp/confirm/", code).await;
    late.assert_problem(409, "no-pending-totp");

    app.enrol(&access).await;
    let again = app
        .post_as(&access, "/auth/totp/", json!({"password": PASSWORD}))
        .await;
    again.assert_problem(409, "totp-exists");
}

/// F6: an error says when the clock of the device is wrong, and its code is not accepted later.
#[tokio::test]
async fn wrong_clock_is_named_and_its_code_refused() {
    let app = TestApp::new().await;
    let (_, phone) = app.enrolled_user(EMAIL).await;
    app.advance_clock(TimeDelta::minutes(10));
    for (error, words) in [(-5, "about 5 minutes slow"), (3, "about 3 minutes fast")] {
        let challenge = app.challenge(EMAIL).await;
        let code = phone.code_after(&app, TimeDelta::minutes(error));
        let answer = app.second_step(&challenge, &code).await;
        answer.assert_problem(400, "invalid-second-factor");
        assert!(answer.text("/detail").contains(words), "{answer:?}");
        app.advance_clock(TimeDelta::minutes(error.max(0)));
        let answer = app.second_step(&challenge, &code).await;
        answer.assert_problem(400, "invalid-second-factor");
    }
    let code = phone.next_code(&app);
    let answer = app.second_step(&app.challenge(EMAIL).await, &code).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// F2: failed factors delay further ones, apart from logins, and a password reset does not allow more of them.
#[tokio::test]
async fn wrong_factors_are_limited() {
    let app = TestApp::with_lockout_after(3).await;
    let (_, phone) = app.enrolled_user(EMAIL).await;
    let challenge = app.challenge(EMAIL).await;
    let guesses = (0..20).map(|_| app.second_step(&challenge, "000000"));
    let answers = join_all(guesses).await;
    let tried = answers.iter().filter(|answer| answer.status == 400).count();
    assert_eq!(tried, 3, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|it| it.status == 400 || it.status == 429)
    );

    reset_password(&app).await;
    let first = app.try_login(EMAIL, NEW_PASSWORD).await;
    first.assert_problem(401, "second-factor-required");
    let refused = app
        .second_step(&first.text("/challenge"), &phone.code(&app))
        .await;
    assert_eq!(refused.status, 429, "{refused:?}");
    app.advance_clock(TimeDelta::minutes(15));
    let answer = app
        .second_step(&first.text("/challenge"), &phone.code(&app))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// F6: without its factor, an account logs in with the password only; its recovery codes are gone.
#[tokio::test]
async fn removed_factor_leaves_password_only() {
    let app = TestApp::new().await;
    let (tokens, phone) = app.enrolled_user(EMAIL).await;
    let challenge = app.challenge(EMAIL).await;
    let body = json!({"password": PASSWORD});
    let answer = app
        .post_as(&tokens.access, "/auth/totp/disable/", body)
        .await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(app.try_login(EMAIL, PASSWORD).await.status, 200);
    let answer = with_recovery_code(&app, &challenge, &phone.recovery_codes[0]).await;
    answer.assert_problem(401, "invalid-challenge");
    let subjects: Vec<_> = app
        .mails_to(EMAIL)
        .await
        .into_iter()
        .map(|mail| mail.subject)
        .collect();
    assert!(subjects.contains(&"Second factor removed from your Latchkey account".to_owned()));
}

/// F3: new recovery codes replace the earlier ones.
#[tokio::test]
async fn new_recovery_codes_replace_earlier_ones() {
    let app = TestApp::new().await;
    let (tokens, phone) = app.enrolled_user(EMAIL).await;
    let body = json!({"password": PASSWORD});
    let answer = app
        .post_as(&tokens.access, "/auth/recovery_codes/", body)
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let old = with_recovery_code(&app, &app.challenge(EMAIL).await, &phone.recovery_codes[0]).await;
    old.assert_problem(400, "invalid-second-factor");
    let new = answer.text("/recovery_codes/0");
    let new = with_recovery_code(&app, &app.challenge(EMAIL).await, &new).await;
    assert_eq!(new.status, 200, "{new:?}");
}

/// Exactly one of the fields is required.
#[tokio::test]
async fn both_or_no_factor_is_invalid_input() {
    let app = TestApp::new().await;
    let (_, phone) = app.enrolled_user(EMAIL).await;
    let challenge = app.challenge(EMAIL).await;
    for body in [
        json!({"challenge": challenge}),
        json!({"challenge": challenge, "code": "123456", "recovery_code": phone.recovery_codes[0]}),
    ] {
        let answer = app.post("/auth/second_factor/", body).await;
        answer.assert_problem(400, "invalid-input");
        assert_eq!(answer.text("/errors/0/field"), "code");
    }
    let answer = app
        .post("/auth/second_factor/", json!({"code": "123456"}))
        .await;
    assert_eq!(answer.text("/errors/0/field"), "challenge");
}

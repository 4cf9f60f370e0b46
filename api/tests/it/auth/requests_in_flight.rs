//! Requests that lose their authorization in flight: each test withholds the last byte until the session has ended.

use std::time::Duration;

use chrono::TimeDelta;
use latchkey_shared::{
    database,
    models::{
        session,
        user::{self, RecordedLogin},
    },
};
use latchkey_testing::WAIT_TIMEOUT;
use reqwest::Method;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    accounts::email_change::{confirm, token_of},
    auth::login::claims,
    support::test_app::{ApiResponse, PASSWORD, TestApp, Tokens, code_in},
};

const NEW: &str = "another quiet morning";
const THIEF: &str = "a thief's own password";

/// An authenticated request that lacks its last byte.
pub(crate) struct PartialRequest {
    stream: TcpStream,
    last: u8,
}

impl PartialRequest {
    /// Sends a request except for its last byte. The server asks for the body after it has verified the token.
    pub(crate) async fn start(
        app: &TestApp,
        method: &str,
        path: &str,
        access: &str,
        body: &Value,
    ) -> Self {
        let body = body.to_string();
        let (last, rest) = body.as_bytes().split_last().unwrap();
        let address = app.base.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: latchkey\r\nAuthorization: Bearer {access}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut asked = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        timeout(WAIT_TIMEOUT, stream.read_exact(&mut asked))
            .await
            .expect("the server asks for the body")
            .unwrap();
        assert!(asked.starts_with(b"HTTP/1.1 100"));
        stream.write_all(rest).await.unwrap();
        Self {
            stream,
            last: *last,
        }
    }

    /// Sends the last byte and returns the response.
    pub(crate) async fn finish(mut self) -> String {
        self.stream.write_all(&[self.last]).await.unwrap();
        let mut answer = Vec::new();
        timeout(WAIT_TIMEOUT, self.stream.read_to_end(&mut answer))
            .await
            .expect("an answer")
            .unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Events that end a session.
#[derive(Clone, Copy, Debug)]
enum SessionEnd {
    Reset,
    LogoutAll,
    Deactivation,
}

const ENDS: [SessionEnd; 3] = [
    SessionEnd::Reset,
    SessionEnd::LogoutAll,
    SessionEnd::Deactivation,
];

impl SessionEnd {
    async fn apply(self, app: &TestApp, email: &str, owner: &Tokens) {
        match self {
            Self::Reset => {
                app.complete_reset(email, NEW).await;
            }
            Self::LogoutAll => {
                let request = app.request(Method::POST, "/auth/logout_all/");
                let request = request.bearer_auth(&owner.access);
                assert_eq!(app.send(request).await.status, 204);
            }
            Self::Deactivation => app.deactivate(email).await,
        }
    }
}

#[track_caller]
fn assert_not_authenticated(answer: &str, end: SessionEnd) {
    assert!(answer.starts_with("HTTP/1.1 401"), "{end:?}: {answer}");
    assert!(
        answer.contains("/problems/not-authenticated"),
        "{end:?}: {answer}"
    );
}

/// S2: A session that ends during a request changes no profile.
#[tokio::test]
async fn profile_change_by_ended_session_is_rejected() {
    let app = TestApp::new().await;
    for end in ENDS {
        let email = format!("{end:?}@example.com").to_lowercase();
        let owner = app.logged_in_user(&email).await;
        let thief = app.login(&email, PASSWORD).await;
        let change = |body: Value| {
            let (app, access) = (&app, thief.access.as_str());
            async move { PartialRequest::start(app, "PATCH", "/api/user/", access, &body).await }
        };
        let body = json!({"email": "thief@example.com", "username": "Thief"});
        // A change without an email is written by another statement.
        let pending = [
            change(body).await,
            change(json!({"username": "Thief"})).await,
        ];

        end.apply(&app, &email, &owner).await;
        let before = app.user(&email).await;

        for pending in pending {
            assert_not_authenticated(&pending.finish().await, end);
        }
        assert_eq!(app.user(&email).await, before, "{end:?}");
    }
}

/// S2: An account that loses its activation during a request changes no profile.
#[tokio::test]
async fn profile_change_by_unactivated_account_is_rejected() {
    let app = TestApp::new().await;
    let owner = app.logged_in_user("ada@example.com").await;
    let body = json!({"username": "Thief"});
    let pending = PartialRequest::start(&app, "PATCH", "/api/user/", &owner.access, &body).await;
    let unactivated = user::ActiveModel {
        id: Set(app.user("ada@example.com").await.id),
        is_activated: Set(false),
        ..Default::default()
    };
    let before = unactivated.update(&app.database.db).await.unwrap();

    let answer = pending.finish().await;

    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert_eq!(app.user("ada@example.com").await, before);
}

/// S2: A profile change waits for a transaction that ends its session, and is then rejected.
#[tokio::test]
async fn profile_change_during_session_end_is_rejected() {
    for all in [true, false] {
        assert_change_waits_for_session_end(all).await;
    }
}

async fn assert_change_waits_for_session_end(all: bool) {
    let app = TestApp::new().await;
    let owner = app.logged_in_user("ada@example.com").await;
    let (db, now) = (&app.database.db, app.clock.now());
    let before = app.user("ada@example.com").await;
    let sid = claims(&owner.access)["sid"].as_str().unwrap().parse();
    let ending = database::begin(db).await.unwrap();
    if all {
        user::lock(&ending, before.id).await.unwrap();
    } else {
        assert!(session::revoke(&ending, sid.unwrap(), now).await.unwrap());
    }
    let body = json!({"username": "Thief"});
    let pending = PartialRequest::start(&app, "PATCH", "/api/user/", &owner.access, &body).await;
    let mut changing = tokio::spawn(pending.finish());
    let early = timeout(Duration::from_millis(300), &mut changing).await;
    assert!(early.is_err(), "the change did not wait: {early:?}");

    if all {
        session::revoke_all(&ending, before.id, now).await.unwrap();
    }
    ending.commit().await.unwrap();

    assert_not_authenticated(&changing.await.unwrap(), SessionEnd::LogoutAll);
    assert_eq!(app.user("ada@example.com").await, before);
}

/// S2, P6: A session that ends during a request changes no password, even with the former password.
#[tokio::test]
async fn password_change_by_ended_session_is_rejected() {
    let app = TestApp::new().await;
    for end in ENDS {
        let email = format!("{end:?}@example.com").to_lowercase();
        let owner = app.logged_in_user(&email).await;
        let thief = app.login(&email, PASSWORD).await;
        let path = "/auth/change_password/";
        let body = json!({"password": PASSWORD, "new_password": THIEF});
        let pending = PartialRequest::start(&app, "POST", path, &thief.access, &body).await;

        end.apply(&app, &email, &owner).await;
        let before = app.user(&email).await;

        assert_not_authenticated(&pending.finish().await, end);
        assert_eq!(app.user(&email).await, before, "{end:?}");
    }
}

/// P6: A password change that was verified before another one is rejected.
#[tokio::test]
async fn password_change_verified_before_another_is_rejected() {
    let app = TestApp::new().await;
    let here = app.logged_in_user("ada@example.com").await;
    let path = "/auth/change_password/";
    let body = json!({"password": PASSWORD, "new_password": THIEF});
    let pending = PartialRequest::start(&app, "POST", path, &here.access, &body).await;

    let body = json!({"password": PASSWORD, "new_password": NEW});
    let request = app.request(Method::POST, path);
    let first: ApiResponse = app
        .send(request.bearer_auth(&here.access).json(&body))
        .await;
    assert_eq!(first.status, 200, "{first:?}");

    let answer = pending.finish().await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    app.login("ada@example.com", NEW).await;
}

/// S2: A login that was verified before a reset or a deactivation creates no session after it.
#[tokio::test]
async fn login_verified_before_reset_or_deactivation_is_rejected() {
    let app = TestApp::new().await;
    let owner = app.logged_in_user("ada@example.com").await;
    for end in [SessionEnd::Reset, SessionEnd::Deactivation] {
        let verified = app.user("ada@example.com").await;
        end.apply(&app, "ada@example.com", &owner).await;

        let (db, now) = (&app.database.db, app.clock.now());
        let recorded = user::record_login(db, &verified, now).await;

        assert_eq!(recorded.unwrap(), RecordedLogin::Refused, "{end:?}");
        let alive = session::list_alive(db, verified.id, now + TimeDelta::seconds(1)).await;
        assert!(alive.unwrap().is_empty(), "{end:?}");
    }
}

/// M4: An email that was the account's own when the request began is a new one, if the owner has changed it in between: it needs the
/// password and a code.
#[tokio::test]
async fn email_that_changes_during_request_is_not_taken_back() {
    let app = TestApp::with(&[("EMAIL_CHANGE", "confirm")]).await;
    let owner = app.logged_in_user("ada@example.com").await;
    let body = json!({"email": "ADA@example.com"});
    let pending = PartialRequest::start(&app, "PATCH", "/api/user/", &owner.access, &body).await;
    let change = json!({"email": "countess@example.com", "password": PASSWORD});
    let token = token_of(&app.patch_user(&owner.access, change).await);
    let code = code_in(app.mails_to("countess@example.com").await.last().unwrap());
    assert_eq!(confirm(&app, &token, &code).await.status, 200);

    let answer = pending.finish().await;

    assert!(answer.contains("/problems/edit-conflict"), "{answer}");
    app.login("countess@example.com", PASSWORD).await;
}

/// M4: A user who becomes staff during a request changes the email by the password and a code only.
#[tokio::test]
async fn email_change_by_new_staff_needs_confirmation() {
    let app = TestApp::new().await;
    let owner = app.logged_in_user("ada@example.com").await;
    let body = json!({"email": "thief@example.com"});
    let pending = PartialRequest::start(&app, "PATCH", "/api/user/", &owner.access, &body).await;
    let staff = user::ActiveModel {
        id: Set(app.user("ada@example.com").await.id),
        is_staff: Set(true),
        ..Default::default()
    };
    let before = staff.update(&app.database.db).await.unwrap();

    let answer = pending.finish().await;

    assert!(answer.contains("/problems/edit-conflict"), "{answer}");
    assert_eq!(app.user("ada@example.com").await, before);
}

/// P6, M4: The notice of a password change goes to the email that the account has then, and the new token states whether it is confirmed.
#[tokio::test]
async fn password_change_uses_email_of_its_transaction() {
    let app = TestApp::new().await;
    let owner = app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    assert_eq!(app.reset_password(&token, PASSWORD).await.status, 200);
    drop(owner);
    let owner = app.login("ada@example.com", PASSWORD).await;
    assert_eq!(claims(&owner.access)["email_verified"], true);
    let body = json!({"password": PASSWORD, "new_password": NEW});
    let path = "/auth/change_password/";
    let pending = PartialRequest::start(&app, "POST", path, &owner.access, &body).await;
    let change = json!({"email": "countess@example.com"});
    assert_eq!(app.patch_user(&owner.access, change).await.status, 200);

    let answer = pending.finish().await;

    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let tokens: Value = serde_json::from_str(body).unwrap();
    let access = tokens["access"].as_str().unwrap();
    assert_eq!(claims(access)["email_verified"], false, "{answer}");
    let mails = app.mails_to("countess@example.com").await;
    let is_notice = |mail: &latchkey_testing::Mail| mail.subject.contains("password was changed");
    assert!(mails.iter().any(is_notice), "{mails:?}");
}

/// F5: A factor that the account gets during a request is asked for.
#[tokio::test]
async fn factor_added_during_request_is_required() {
    let app = TestApp::new().await;
    let owner = app.logged_in_user("ada@example.com").await;
    let thief = app.login("ada@example.com", PASSWORD).await;
    let body = json!({"password": PASSWORD});
    let path = "/auth/delete_account/";
    let pending = PartialRequest::start(&app, "POST", path, &thief.access, &body).await;
    app.enrol(&owner.access).await;

    let answer = pending.finish().await;

    assert!(
        answer.contains("/problems/recent-second-factor-required"),
        "{answer}"
    );
    assert_eq!(app.user("ada@example.com").await.deletion_at, None);
}

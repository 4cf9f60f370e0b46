//! An authenticator app.

use chrono::TimeDelta;
use data_encoding::BASE32_NOPAD;
use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};

use crate::support::test_app::{ApiResponse, PASSWORD, TestApp, Tokens};

/// An authenticator app with the secret of an account, and the account's recovery codes.
pub(crate) struct Authenticator {
    key: hmac::Key,
    pub(crate) recovery_codes: Vec<String>,
}

impl Authenticator {
    /// Takes a secret in base32.
    pub(crate) fn new(secret: &str) -> Self {
        let secret = BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret),
            recovery_codes: Vec::new(),
        }
    }

    /// Returns the code that the app shows now.
    pub(crate) fn code(&self, app: &TestApp) -> String {
        self.code_after(app, TimeDelta::zero())
    }

    /// Returns the code that an app shows whose clock is ahead by `error`.
    pub(crate) fn code_after(&self, app: &TestApp, error: TimeDelta) -> String {
        let step = (app.clock.now() + error).timestamp() / 30;
        let mac = hmac::sign(&self.key, &step.to_be_bytes());
        let mac = mac.as_ref();
        let offset = usize::from(mac[19] & 0xf);
        let word: [u8; 4] = mac[offset..offset + 4].try_into().unwrap();
        format!(
            "{:06}",
            (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000
        )
    }

    /// Waits for the next code.
    pub(crate) fn next_code(&self, app: &TestApp) -> String {
        app.advance_clock(TimeDelta::seconds(30));
        self.code(app)
    }
}

impl TestApp {
    /// Sends a request with a JSON body by a logged-in user.
    pub(crate) async fn post_as(&self, access: &str, path: &str, body: Value) -> ApiResponse {
        let request = self.request(Method::POST, path).bearer_auth(access);
        self.send(request.json(&body)).await
    }

    /// Sets up an authenticator app for a logged-in user.
    pub(crate) async fn enrol(&self, access: &str) -> Authenticator {
        let body = json!({"password": PASSWORD});
        let created = self.post_as(access, "/auth/totp/", body).await;
        assert_eq!(created.status, 201, "{created:?}");
        let mut authenticator = Authenticator::new(&created.text("/secret"));
        let code = json!({"code": authenticator.code(self)});
        let confirmed = self.post_as(access, "/auth/totp/confirm/", code).await;
        assert_eq!(confirmed.status, 200, "{confirmed:?}");
        let codes = confirmed.body["recovery_codes"].as_array().unwrap();
        authenticator.recovery_codes = codes
            .iter()
            .map(|code| code.as_str().unwrap().to_owned())
            .collect();
        authenticator
    }

    /// Creates an activated account with an authenticator app. Returns the tokens of the session that set it up.
    pub(crate) async fn enrolled_user(&self, email: &str) -> (Tokens, Authenticator) {
        let tokens = self.logged_in_user(email).await;
        let authenticator = self.enrol(&tokens.access).await;
        (tokens, authenticator)
    }

    /// Sends the right password, and returns the challenge of the second step.
    pub(crate) async fn challenge(&self, email: &str) -> String {
        let answer = self.try_login(email, PASSWORD).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(answer.text("/type"), "/problems/second-factor-required");
        answer.text("/challenge")
    }

    /// Completes a login with a code of the app.
    pub(crate) async fn second_step(&self, challenge: &str, code: &str) -> ApiResponse {
        let body = json!({"challenge": challenge, "code": code});
        self.post("/auth/second_factor/", body).await
    }
}

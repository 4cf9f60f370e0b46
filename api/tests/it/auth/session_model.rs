//! Compares sessions and their tokens with a simple model of them over random histories of requests.

use chrono::TimeDelta;
use proptest::{collection::vec, prelude::*, sample::Index};
use reqwest::Method;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};
use serde_json::json;

use crate::{
    support::random::check_property,
    support::test_app::{ApiResponse, PASSWORD, TestApp},
};

/// Number of histories, and the maximum number of steps of each.
const CASES: u32 = 24;
const STEPS: usize = 30;

const EMAIL: &str = "ada@example.com";

/// Lifetimes in seconds, and the window in which a replaced refresh token returns the current one.
const ACCESS_LIFETIME: i64 = 300;
const ABSOLUTE_LIFETIME: i64 = 7200;
const IDLE_TIMEOUT: i64 = 3600;
const REUSE_WINDOW: i64 = 10;

/// The maximum number of replaced refresh tokens that are accepted in this window.
const MAX_REPLACED: usize = 16;

#[derive(Clone, Debug)]
enum Step {
    Login,
    /// A refresh with a token of a session.
    Refresh(Index, TokenAge),
    Logout(Index, TokenAge),
    /// A request for the profile with an access token of a session.
    ReadProfile(Index, Index),
    LogoutAll(Index, Index),
    ChangePassword(Index, Index),
    AdvanceClock(i64),
    Deactivate,
    Reactivate,
    /// Staff activates the account, or takes the activation back.
    SetActivated(bool),
}

#[derive(Clone, Debug)]
enum TokenAge {
    Newest,
    /// Replaced this many times.
    Replaced(usize),
    Any(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let age = || {
        prop_oneof![
            4 => Just(TokenAge::Newest),
            3 => (1..4_usize).prop_map(TokenAge::Replaced),
            1 => any::<Index>().prop_map(TokenAge::Any),
        ]
    };
    let time = prop_oneof![
        Just(1),
        Just(REUSE_WINDOW - 1),
        Just(REUSE_WINDOW),
        Just(ACCESS_LIFETIME - 1),
        Just(ACCESS_LIFETIME),
        Just(IDLE_TIMEOUT - 1),
        Just(IDLE_TIMEOUT),
        1..IDLE_TIMEOUT,
    ];
    let token = (any::<Index>(), any::<Index>());
    prop_oneof![
        1 => Just(Step::Login),
        12 => (any::<Index>(), age()).prop_map(|(session, age)| Step::Refresh(session, age)),
        3 => (any::<Index>(), age()).prop_map(|(session, age)| Step::Logout(session, age)),
        5 => token.clone().prop_map(|(session, token)| Step::ReadProfile(session, token)),
        1 => token.clone().prop_map(|(session, token)| Step::LogoutAll(session, token)),
        1 => token.prop_map(|(session, token)| Step::ChangePassword(session, token)),
        4 => time.prop_map(Step::AdvanceClock),
        1 => Just(Step::Deactivate),
        2 => Just(Step::Reactivate),
        1 => any::<bool>().prop_map(Step::SetActivated),
    ]
}

/// Expected state of one session.
struct Session {
    started: i64,
    used: i64,
    ended: bool,
    /// Refresh tokens, the newest last.
    refresh: Vec<String>,
    /// The second in which each of them was issued.
    issued: Vec<i64>,
    /// Access tokens, each with the second of its issue.
    access: Vec<(String, i64)>,
}

impl Session {
    fn is_alive(&self, now: i64) -> bool {
        !self.ended && now < self.started + ABSOLUTE_LIFETIME && now < self.used + IDLE_TIMEOUT
    }

    /// Returns whether a refresh token is the newest, or was replaced within the window by the next one.
    fn accepts(&self, position: usize, now: i64) -> bool {
        let newest = self.refresh.len() - 1;
        let replaced = self.issued.get(position + 1);
        position + MAX_REPLACED >= newest && replaced.is_none_or(|at| now < at + REUSE_WINDOW)
    }

    fn position(&self, age: &TokenAge) -> usize {
        match age {
            TokenAge::Newest => self.refresh.len() - 1,
            TokenAge::Replaced(times) => self.refresh.len().saturating_sub(*times + 1),
            TokenAge::Any(index) => index.index(self.refresh.len()),
        }
    }
}

/// The application and its expected state, by the documentation.
struct Simulation {
    app: TestApp,
    rotating: bool,
    now: i64,
    deactivated: bool,
    activated: bool,
    password: String,
    sessions: Vec<Session>,
}

impl Simulation {
    async fn start(rotating: bool) -> Self {
        let app = TestApp::with(&[
            ("REFRESH_ROTATION", if rotating { "on" } else { "off" }),
            ("REFRESH_TOKEN_SECONDS", &ABSOLUTE_LIFETIME.to_string()),
            ("SESSION_IDLE_SECONDS", &IDLE_TIMEOUT.to_string()),
        ])
        .await;
        app.register(EMAIL).await;
        app.activate(EMAIL).await;
        let mut simulation = Self {
            app,
            rotating,
            now: 0,
            deactivated: false,
            activated: true,
            password: PASSWORD.to_owned(),
            sessions: Vec::new(),
        };
        simulation.login().await;
        simulation
    }

    async fn apply(&mut self, step: &Step, number: usize) {
        let count = self.sessions.len();
        match step {
            Step::Login => self.login().await,
            Step::Refresh(session, age) => {
                let session = session.index(count);
                let position = self.sessions[session].position(age);
                self.refresh(session, position).await;
            }
            Step::Logout(session, age) => self.logout(session.index(count), age).await,
            Step::ReadProfile(session, token) => {
                let session = session.index(count);
                let token = token.index(self.sessions[session].access.len());
                self.read_profile(session, token).await;
            }
            Step::LogoutAll(session, token) => {
                if self
                    .post_with_token(session, token, "/auth/logout_all/", json!({}), 204)
                    .await
                    .is_some()
                {
                    self.end_all();
                }
            }
            Step::ChangePassword(session, token) => {
                let new = format!("another evening {number} of snow");
                let body = json!({"password": self.password, "new_password": new});
                let path = "/auth/change_password/";
                let changed = self.post_with_token(session, token, path, body, 200).await;
                if let Some((replaced, answer)) = changed {
                    self.password = new;
                    self.end_all();
                    self.sessions.push(Session {
                        started: self.sessions[replaced].started,
                        used: self.now,
                        ended: false,
                        refresh: vec![answer.text("/refresh")],
                        issued: vec![self.now],
                        access: vec![(answer.text("/access"), self.now)],
                    });
                }
            }
            Step::AdvanceClock(seconds) => {
                self.app.advance_clock(TimeDelta::seconds(*seconds));
                self.now += seconds;
            }
            Step::Deactivate if !self.deactivated => {
                self.app.deactivate(EMAIL).await;
                self.deactivated = true;
                self.end_all();
            }
            Step::Reactivate if self.deactivated => {
                self.app.activate(EMAIL).await;
                (self.deactivated, self.activated) = (false, true);
            }
            Step::Deactivate | Step::Reactivate => {}
            Step::SetActivated(value) => {
                let mut row = self.app.user(EMAIL).await.into_active_model();
                row.is_activated = Set(*value);
                row.update(&self.app.database.db).await.unwrap();
                self.activated = *value;
            }
        }
    }

    async fn login(&mut self) {
        let answer = self.app.try_login(EMAIL, &self.password).await;
        if self.deactivated {
            answer.assert_problem(401, "invalid-credentials");
        } else if !self.activated {
            answer.assert_problem(403, "not-activated");
        } else {
            assert_eq!(answer.status, 200, "{answer:?}");
            self.sessions.push(Session {
                started: self.now,
                used: self.now,
                ended: false,
                refresh: vec![answer.text("/token/refresh")],
                issued: vec![self.now],
                access: vec![(answer.text("/token/access"), self.now)],
            });
        }
    }

    async fn refresh(&mut self, index: usize, position: usize) {
        let (now, session) = (self.now, &mut self.sessions[index]);
        let (newest, body) = (
            session.refresh.len() - 1,
            json!({"refresh": session.refresh[position]}),
        );
        let answer = self.app.post("/auth/refresh/", body).await;
        let alive = session.is_alive(now);
        if !alive || !session.accepts(position, now) {
            answer.assert_problem(401, "invalid-refresh-token");
            // The reuse of an old token ends the session.
            session.ended |= alive;
            return;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        session.access.push((answer.text("/access"), now));
        if !self.rotating {
            assert_eq!(answer.keys(), ["access"]);
            session.used = now;
        } else if position == newest {
            let next = answer.text("/refresh");
            assert!(!session.refresh.contains(&next));
            session.refresh.push(next);
            session.issued.push(now);
            session.used = now;
        } else {
            assert_eq!(answer.text("/refresh"), session.refresh[newest]);
        }
    }

    async fn logout(&mut self, index: usize, age: &TokenAge) {
        let (now, session) = (self.now, &mut self.sessions[index]);
        let position = session.position(age);
        let body = json!({"refresh": session.refresh[position]});
        let answer = self.app.post("/auth/logout/", body).await;
        let alive = session.is_alive(now);
        if alive && session.accepts(position, now) {
            assert_eq!(answer.status, 204, "{answer:?}");
        } else {
            answer.assert_problem(401, "invalid-refresh-token");
        }
        // The reuse of an old token ends the session, too.
        session.ended |= alive;
    }

    async fn read_profile(&self, index: usize, token: usize) {
        let answer = self
            .app
            .get_user(&self.sessions[index].access[token].0)
            .await;
        self.expect(index, token, &answer, 200);
    }

    /// Sends a request with an access token. Returns the session and the response if the token was accepted.
    async fn post_with_token(
        &self,
        session: &Index,
        token: &Index,
        path: &str,
        body: serde_json::Value,
        success: u16,
    ) -> Option<(usize, ApiResponse)> {
        let index = session.index(self.sessions.len());
        let access = &self.sessions[index].access;
        let token = token.index(access.len());
        let request = self.app.request(Method::POST, path);
        let answer = self
            .app
            .send(request.bearer_auth(&access[token].0).json(&body))
            .await;
        self.expect(index, token, &answer, success)
            .then_some((index, answer))
    }

    /// Asserts the response to an access token. Returns whether the token was accepted.
    fn expect(&self, index: usize, token: usize, answer: &ApiResponse, success: u16) -> bool {
        let session = &self.sessions[index];
        if !session.is_alive(self.now) || self.now >= session.access[token].1 + ACCESS_LIFETIME {
            answer.assert_problem(401, "not-authenticated");
        } else if !self.activated {
            answer.assert_problem(403, "not-activated");
        } else {
            assert_eq!(answer.status, success, "{answer:?}");
            return true;
        }
        false
    }

    fn end_all(&mut self) {
        for session in &mut self.sessions {
            session.ended = true;
        }
    }

    /// Asserts that exactly the expected tokens are valid.
    async fn check_final_state(&mut self) {
        for index in 0..self.sessions.len() {
            for token in 0..self.sessions[index].access.len() {
                self.read_profile(index, token).await;
            }
            self.refresh(index, self.sessions[index].refresh.len() - 1)
                .await;
        }
    }
}

fn simulate(rotating: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    check_property(CASES, &vec(step(), 1..STEPS), |steps| {
        runtime.block_on(async {
            let mut simulation = Simulation::start(rotating).await;
            for (number, step) in steps.iter().enumerate() {
                simulation.apply(step, number).await;
            }
            simulation.check_final_state().await;
        });
    });
}

/// S2, S4: Sessions behave as documented in any order of steps.
#[test]
fn random_session_histories_match_the_model() {
    simulate(false);
}

/// S2, S3, S4: Sessions with refresh token rotation behave as documented in any order of steps.
#[test]
fn random_rotating_session_histories_match_the_model() {
    simulate(true);
}

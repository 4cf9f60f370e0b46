//! Sessions and their tokens against a simple model of them: histories that nobody thought of, through the front door.

use chrono::TimeDelta;
use proptest::{collection::vec, prelude::*, sample::Index};
use reqwest::Method;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};
use serde_json::json;

use crate::{
    support::random::check_property,
    support::test_app::{ApiResponse, PASSWORD, TestApp},
};

/// So many histories, of so many steps at most.
const CASES: u32 = 24;
const STEPS: usize = 30;

const EMAIL: &str = "ada@example.com";

/// Life times in seconds, and the time in which a replaced token still gives its successor.
const ACCESS: i64 = 300;
const ABSOLUTE: i64 = 7200;
const IDLE: i64 = 3600;
const WINDOW: i64 = 10;

#[derive(Clone, Debug)]
enum Step {
    Login,
    /// With a token of a session: its newest, the one before, or any of them.
    Refresh(Index, Age),
    Logout(Index, Age),
    /// With an access token of a session.
    Look(Index, Index),
    LogoutAll(Index, Index),
    Change(Index, Index),
    Pass(i64),
    Shut,
    Open,
    /// The activation is taken back, or given.
    Activate(bool),
}

#[derive(Clone, Debug)]
enum Age {
    Newest,
    Previous,
    Any(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let age = || {
        prop_oneof![
            4 => Just(Age::Newest),
            2 => Just(Age::Previous),
            1 => any::<Index>().prop_map(Age::Any),
        ]
    };
    let time = prop_oneof![
        Just(1),
        Just(WINDOW - 1),
        Just(WINDOW),
        Just(ACCESS - 1),
        Just(ACCESS),
        Just(IDLE - 1),
        Just(IDLE),
        1..IDLE,
    ];
    let token = (any::<Index>(), any::<Index>());
    prop_oneof![
        3 => Just(Step::Login),
        9 => (any::<Index>(), age()).prop_map(|(session, age)| Step::Refresh(session, age)),
        3 => (any::<Index>(), age()).prop_map(|(session, age)| Step::Logout(session, age)),
        5 => token.clone().prop_map(|(session, token)| Step::Look(session, token)),
        1 => token.clone().prop_map(|(session, token)| Step::LogoutAll(session, token)),
        1 => token.prop_map(|(session, token)| Step::Change(session, token)),
        4 => time.prop_map(Step::Pass),
        1 => Just(Step::Shut),
        2 => Just(Step::Open),
        1 => any::<bool>().prop_map(Step::Activate),
    ]
}

/// One login.
struct Session {
    started: i64,
    used: i64,
    ended: bool,
    /// Refresh tokens, the newest last.
    refresh: Vec<String>,
    rotated: i64,
    /// Access tokens, each with its second.
    access: Vec<(String, i64)>,
}

impl Session {
    fn is_alive(&self, now: i64) -> bool {
        !self.ended && now < self.started + ABSOLUTE && now < self.used + IDLE
    }

    fn place(&self, age: &Age) -> usize {
        match age {
            Age::Newest => self.refresh.len() - 1,
            Age::Previous => self.refresh.len().saturating_sub(2),
            Age::Any(index) => index.index(self.refresh.len()),
        }
    }
}

/// The app, and what the documentation says of it.
struct Play {
    app: TestApp,
    rotating: bool,
    now: i64,
    shut: bool,
    activated: bool,
    password: String,
    sessions: Vec<Session>,
}

impl Play {
    async fn start(rotating: bool) -> Self {
        let app = TestApp::with(&[
            ("REFRESH_ROTATION", if rotating { "on" } else { "off" }),
            ("REFRESH_TOKEN_SECONDS", &ABSOLUTE.to_string()),
            ("SESSION_IDLE_SECONDS", &IDLE.to_string()),
        ])
        .await;
        app.register(EMAIL).await;
        app.activate(EMAIL).await;
        let mut play = Self {
            app,
            rotating,
            now: 0,
            shut: false,
            activated: true,
            password: PASSWORD.to_owned(),
            sessions: Vec::new(),
        };
        play.login().await;
        play
    }

    async fn take(&mut self, step: &Step, number: usize) {
        let count = self.sessions.len();
        match step {
            Step::Login => self.login().await,
            Step::Refresh(session, age) => {
                let session = session.index(count);
                let place = self.sessions[session].place(age);
                self.refresh(session, place).await;
            }
            Step::Logout(session, age) => self.logout(session.index(count), age).await,
            Step::Look(session, token) => {
                let session = session.index(count);
                let token = token.index(self.sessions[session].access.len());
                self.look(session, token).await;
            }
            Step::LogoutAll(session, token) => {
                if self
                    .signed_in(session, token, "/auth/logout_all/", json!({}), 204)
                    .await
                    .is_some()
                {
                    self.end_all();
                }
            }
            Step::Change(session, token) => {
                let new = format!("another evening {number} of snow");
                let body = json!({"password": self.password, "new_password": new});
                let path = "/auth/change_password/";
                let changed = self.signed_in(session, token, path, body, 200).await;
                if let Some((replaced, answer)) = changed {
                    self.password = new;
                    self.end_all();
                    self.sessions.push(Session {
                        started: self.sessions[replaced].started,
                        used: self.now,
                        ended: false,
                        refresh: vec![answer.text("/refresh")],
                        rotated: 0,
                        access: vec![(answer.text("/access"), self.now)],
                    });
                }
            }
            Step::Pass(seconds) => {
                self.app.advance_clock(TimeDelta::seconds(*seconds));
                self.now += seconds;
            }
            Step::Shut if !self.shut => {
                self.app.deactivate(EMAIL).await;
                self.shut = true;
                self.end_all();
            }
            Step::Open if self.shut => {
                self.app.activate(EMAIL).await;
                (self.shut, self.activated) = (false, true);
            }
            Step::Shut | Step::Open => {}
            Step::Activate(value) => {
                let mut row = self.app.user(EMAIL).await.into_active_model();
                row.is_activated = Set(*value);
                row.update(&self.app.database.db).await.unwrap();
                self.activated = *value;
            }
        }
    }

    async fn login(&mut self) {
        let answer = self.app.try_login(EMAIL, &self.password).await;
        if self.shut {
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
                rotated: 0,
                access: vec![(answer.text("/token/access"), self.now)],
            });
        }
    }

    async fn refresh(&mut self, index: usize, place: usize) {
        let (now, session) = (self.now, &mut self.sessions[index]);
        let (newest, body) = (
            session.refresh.len() - 1,
            json!({"refresh": session.refresh[place]}),
        );
        let answer = self.app.post("/auth/refresh/", body).await;
        let alive = session.is_alive(now);
        let in_window = place + 1 == newest && now < session.rotated + WINDOW;
        if !alive || (place != newest && !in_window) {
            answer.assert_problem(401, "invalid-refresh-token");
            // An old token in use means that two have it.
            session.ended |= alive;
            return;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        session.access.push((answer.text("/access"), now));
        if !self.rotating {
            assert_eq!(answer.keys(), ["access"]);
            session.used = now;
        } else if place == newest {
            let next = answer.text("/refresh");
            assert!(!session.refresh.contains(&next));
            session.refresh.push(next);
            (session.used, session.rotated) = (now, now);
        } else {
            assert_eq!(answer.text("/refresh"), session.refresh[newest]);
        }
    }

    async fn logout(&mut self, index: usize, age: &Age) {
        let (now, session) = (self.now, &mut self.sessions[index]);
        let place = session.place(age);
        let body = json!({"refresh": session.refresh[place]});
        let answer = self.app.post("/auth/logout/", body).await;
        let alive = session.is_alive(now);
        let newest = session.refresh.len() - 1;
        let in_window = place + 1 == newest && now < session.rotated + WINDOW;
        if alive && (place == newest || in_window) {
            assert_eq!(answer.status, 204, "{answer:?}");
        } else {
            answer.assert_problem(401, "invalid-refresh-token");
        }
        // With an old token it ends, too: two have it.
        session.ended |= alive;
    }

    async fn look(&self, index: usize, token: usize) {
        let answer = self
            .app
            .get_user(&self.sessions[index].access[token].0)
            .await;
        self.expect(index, token, &answer, 200);
    }

    /// A call with an access token; the session and the answer, if the token was good for it.
    async fn signed_in(
        &self,
        session: &Index,
        token: &Index,
        path: &str,
        body: serde_json::Value,
        good: u16,
    ) -> Option<(usize, ApiResponse)> {
        let index = session.index(self.sessions.len());
        let access = &self.sessions[index].access;
        let token = token.index(access.len());
        let request = self.app.request(Method::POST, path);
        let answer = self
            .app
            .send(request.bearer_auth(&access[token].0).json(&body))
            .await;
        self.expect(index, token, &answer, good)
            .then_some((index, answer))
    }

    /// Compares an answer to an access token; true when it was let in.
    fn expect(&self, index: usize, token: usize, answer: &ApiResponse, good: u16) -> bool {
        let session = &self.sessions[index];
        if !session.is_alive(self.now) || self.now >= session.access[token].1 + ACCESS {
            answer.assert_problem(401, "not-authenticated");
        } else if !self.activated {
            answer.assert_problem(403, "not-activated");
        } else {
            assert_eq!(answer.status, good, "{answer:?}");
            return true;
        }
        false
    }

    fn end_all(&mut self) {
        for session in &mut self.sessions {
            session.ended = true;
        }
    }

    /// What lives at the end is what the model says.
    async fn end(&mut self) {
        for index in 0..self.sessions.len() {
            for token in 0..self.sessions[index].access.len() {
                self.look(index, token).await;
            }
            self.refresh(index, self.sessions[index].refresh.len() - 1)
                .await;
        }
    }
}

fn play(rotating: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    check_property(CASES, &vec(step(), 1..STEPS), |steps| {
        runtime.block_on(async {
            let mut play = Play::start(rotating).await;
            for (number, step) in steps.iter().enumerate() {
                play.take(step, number).await;
            }
            play.end().await;
        });
    });
}

/// S2, S4: Sessions behave as documented in any order of steps.
#[test]
fn random_session_histories_match_the_model() {
    play(false);
}

/// S2, S3, S4: Sessions with refresh token rotation behave as documented in any order of steps.
#[test]
fn random_rotating_session_histories_match_the_model() {
    play(true);
}

//! Compares the password reset with a simple model of it over random histories of requests.

use chrono::TimeDelta;
use proptest::{collection::vec, prelude::*, sample::Index};
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};
use serde_json::json;

use crate::{
    support::random::check_property,
    support::test_app::{PASSWORD, TestApp, code_in, wrong_code},
};

/// Number of histories, and the maximum number of steps of each.
const CASES: u32 = 24;
const STEPS: usize = 30;

/// Defaults of `OTP_TRIES`, `OTP_SECONDS` and `RESET_SECONDS`.
const MAX_ATTEMPTS: u32 = 5;
const CODE_LIFETIME: i64 = 300;
const RESET_LIFETIME: i64 = 600;

const EMAILS: [&str; 2] = ["ada@example.com", "countess@example.com"];

#[derive(Clone, Debug)]
enum Step {
    /// A client requests a code for the first email or the other one.
    Request(bool),
    /// The worker delivers the queued mails.
    Deliver,
    Check(Index, Guess),
    Reset(Index),
    AdvanceClock(i64),
    Deactivate,
    Reactivate,
    /// The account changes to the other email.
    ChangeEmail,
    /// The owner changes the password, which ends pending resets.
    ChangePassword,
}

#[derive(Clone, Copy, Debug)]
enum Guess {
    Right,
    Wrong,
    /// The code of another request.
    Other,
    NoCode,
}

fn step() -> impl Strategy<Value = Step> {
    let guess = prop_oneof![
        4 => Just(Guess::Right),
        2 => Just(Guess::Wrong),
        1 => Just(Guess::Other),
        1 => Just(Guess::NoCode),
    ];
    let time = prop_oneof![
        Just(1),
        Just(60),
        Just(CODE_LIFETIME - 1),
        Just(CODE_LIFETIME),
        Just(RESET_LIFETIME - CODE_LIFETIME),
        Just(RESET_LIFETIME - 1),
        1..RESET_LIFETIME,
    ];
    prop_oneof![
        3 => any::<bool>().prop_map(Step::Request),
        3 => Just(Step::Deliver),
        8 => (any::<Index>(), guess).prop_map(|(which, guess)| Step::Check(which, guess)),
        5 => any::<Index>().prop_map(Step::Reset),
        2 => time.prop_map(Step::AdvanceClock),
        1 => Just(Step::Deactivate),
        1 => Just(Step::Reactivate),
        1 => Just(Step::ChangeEmail),
        1 => Just(Step::ChangePassword),
    ]
}

/// Expected state of one reset request.
struct Request {
    token: String,
    email: usize,
    requested_at: i64,
    /// Whether its mail is queued.
    queued: bool,
    /// The code and its expiry.
    code: Option<(String, i64)>,
    attempts: u32,
    checked: bool,
    ended: bool,
}

impl Request {
    fn is_open(&self, now: i64) -> bool {
        !self.ended && now < self.requested_at + RESET_LIFETIME
    }

    /// Checks a guess. Each guess consumes an attempt while the code can be entered.
    fn check(&mut self, guess: &str, now: i64) -> bool {
        let in_time = self.code.as_ref().is_none_or(|(_, end)| now < *end);
        if !self.is_open(now) || self.checked || !in_time || self.attempts == MAX_ATTEMPTS {
            return false;
        }
        self.attempts += 1;
        self.checked = self.code.as_ref().is_some_and(|(code, _)| code == guess);
        self.checked
    }
}

/// Expected state of the account and its requests, by the documentation.
struct Model {
    now: i64,
    deactivated: bool,
    email: usize,
    password: String,
    requests: Vec<Request>,
}

impl Model {
    fn accepts_password(&self, request: &Request) -> bool {
        request.is_open(self.now)
            && request.checked
            && !self.deactivated
            && request.email == self.email
    }

    /// Ends every request whose code was sent, as a new password does.
    fn set_password(&mut self, password: String) {
        self.password = password;
        for request in &mut self.requests {
            request.ended |= request.code.is_some();
        }
    }
}

/// The application and its model.
struct Simulation {
    app: TestApp,
    model: Model,
}

impl Simulation {
    async fn start() -> Self {
        let app = TestApp::new().await;
        app.register(EMAILS[0]).await;
        app.activate(EMAILS[0]).await;
        app.deliver_all().await;
        let model = Model {
            now: 0,
            deactivated: false,
            email: 0,
            password: PASSWORD.to_owned(),
            requests: Vec::new(),
        };
        Self { app, model }
    }

    async fn apply(&mut self, step: &Step, number: usize) {
        match step {
            Step::Request(first) => self.request(usize::from(!first)).await,
            Step::Deliver => self.deliver().await,
            Step::Check(which, guess) if !self.model.requests.is_empty() => {
                self.check(which.index(self.model.requests.len()), *guess)
                    .await;
            }
            Step::Reset(which) if !self.model.requests.is_empty() => {
                self.reset(which.index(self.model.requests.len()), number)
                    .await;
            }
            Step::Check(..) | Step::Reset(_) => self.check_unknown_token().await,
            Step::AdvanceClock(seconds) => {
                self.app.advance_clock(TimeDelta::seconds(*seconds));
                self.model.now += seconds;
            }
            Step::Deactivate if !self.model.deactivated => {
                self.app.deactivate(EMAILS[self.model.email]).await;
                self.model.deactivated = true;
            }
            Step::Reactivate if self.model.deactivated => {
                self.app.activate(EMAILS[self.model.email]).await;
                self.model.deactivated = false;
            }
            Step::Deactivate | Step::Reactivate => {}
            Step::ChangeEmail => self.change_email().await,
            Step::ChangePassword => self.change_password(number).await,
        }
    }

    async fn request(&mut self, email: usize) {
        let answer = self
            .app
            .post("/auth/email_request/", json!({"email": EMAILS[email]}))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.model.requests.push(Request {
            token: answer.text("/token"),
            email,
            requested_at: self.model.now,
            queued: true,
            code: None,
            attempts: 0,
            checked: false,
            ended: false,
        });
    }

    /// Delivers the queued mails. Only open requests for the email of the active account get a code, in their order.
    async fn deliver(&mut self) {
        let before = self.app.sink.mails().len();
        self.app.deliver_all().await;
        let mails = self.app.sink.mails().split_off(before);
        let mut codes = mails
            .iter()
            .filter(|mail| mail.subject.starts_with(|c: char| c.is_ascii_digit()));
        let model = &mut self.model;
        for request in &mut model.requests {
            if !std::mem::take(&mut request.queued) {
                continue;
            }
            if request.is_open(model.now) && !model.deactivated && request.email == model.email {
                let mail = codes.next().expect("a mail with a code");
                assert_eq!(mail.to, [EMAILS[request.email]]);
                let end = Ord::min(
                    model.now + CODE_LIFETIME,
                    request.requested_at + RESET_LIFETIME,
                );
                request.code = Some((code_in(mail), end));
            }
        }
        assert!(codes.next().is_none(), "an unexpected code was sent");
    }

    async fn check(&mut self, which: usize, guess: Guess) {
        let requests = &mut self.model.requests;
        let code = |request: &Request| request.code.as_ref().map(|(code, _)| code.clone());
        let own = code(&requests[which]).unwrap_or_else(|| "123456".to_owned());
        let others = requests.iter().enumerate();
        let guess = match guess {
            Guess::Right => own,
            Guess::Wrong => wrong_code(&own),
            Guess::Other => others
                .filter(|(index, _)| *index != which)
                .find_map(|(_, request)| code(request))
                .unwrap_or_else(|| wrong_code(&own)),
            Guess::NoCode => "no code".to_owned(),
        };
        let request = &mut requests[which];
        // Input that is no code consumes no attempt.
        let right = guess != "no code" && request.check(&guess, self.model.now);
        let answer = self.app.check_otp(&request.token, &guess).await;
        if right {
            assert_eq!(answer.status, 200, "{answer:?}");
        } else {
            answer.assert_problem(400, "invalid-otp");
        }
    }

    async fn reset(&mut self, which: usize, number: usize) {
        let request = &self.model.requests[which];
        let password = format!("quiet morning {number} of rain");
        let answer = self.app.reset_password(&request.token, &password).await;
        if self.model.accepts_password(request) {
            assert_eq!(answer.status, 200, "{answer:?}");
            self.model.requests[which].ended = true;
            self.model.set_password(password);
        } else {
            answer.assert_problem(400, "invalid-reset-token");
        }
    }

    async fn check_unknown_token(&self) {
        let answer = self.app.check_otp("no-such-token", "123456").await;
        answer.assert_problem(400, "invalid-otp");
        let answer = self.app.reset_password("no-such-token", PASSWORD).await;
        answer.assert_problem(400, "invalid-reset-token");
    }

    async fn change_email(&mut self) {
        let next = 1 - self.model.email;
        let user = self.app.user(EMAILS[self.model.email]).await;
        let email: latchkey_shared::types::email::Email = EMAILS[next].parse().unwrap();
        let mut row = user.into_active_model();
        (row.email_key, row.email) = (Set(email.key()), Set(email));
        row.update(&self.app.database.db).await.unwrap();
        self.model.email = next;
    }

    async fn change_password(&mut self, number: usize) {
        if self.model.deactivated {
            return;
        }
        let email = EMAILS[self.model.email];
        let tokens = self.app.login(email, &self.model.password).await;
        let new = format!("another evening {number} of snow");
        let request = self
            .app
            .request(reqwest::Method::POST, "/auth/change_password/")
            .bearer_auth(tokens.access)
            .json(&json!({"password": self.model.password, "new_password": new}));
        assert_eq!(self.app.send(request).await.status, 200);
        self.model.set_password(new);
    }

    /// Asserts that only the last password is valid.
    async fn check_final_state(&self) {
        let email = EMAILS[self.model.email];
        let answer = self.app.try_login(email, &self.model.password).await;
        let status = if self.model.deactivated { 401 } else { 200 };
        assert_eq!(answer.status, status, "{answer:?}");
        if self.model.password != PASSWORD {
            assert_eq!(self.app.try_login(email, PASSWORD).await.status, 401);
        }
    }
}

/// O1, O2, O3, O5: Resets behave as documented in any order of steps.
#[test]
fn random_reset_histories_match_the_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    check_property(CASES, &vec(step(), 1..STEPS), |steps| {
        runtime.block_on(async {
            let mut simulation = Simulation::start().await;
            for (number, step) in steps.iter().enumerate() {
                simulation.apply(step, number).await;
            }
            simulation.check_final_state().await;
        });
    });
}

//! The password reset against a simple model of it: histories that nobody thought of, through the front door.

use chrono::TimeDelta;
use proptest::{collection::vec, prelude::*, sample::Index};
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};
use serde_json::json;

use crate::{
    support::random::check_property,
    support::test_app::{PASSWORD, TestApp, code_in, wrong_code},
};

/// So many histories, of so many steps at most.
const CASES: u32 = 24;
const STEPS: usize = 30;

/// As `OTP_TRIES`, `OTP_SECONDS` and `RESET_SECONDS` are by default.
const TRIES: u32 = 5;
const CODE: i64 = 300;
const RESET: i64 = 600;

const ADDRESSES: [&str; 2] = ["ada@example.com", "countess@example.com"];

#[derive(Clone, Debug)]
enum Step {
    /// Somebody asks for a code, for one of the addresses.
    Request(bool),
    /// The worker delivers what waits.
    Deliver,
    Check(Index, Guess),
    Reset(Index),
    Pass(i64),
    /// The account is shut.
    Shut,
    Open,
    /// The account takes the other address.
    Move,
    /// The owner logs in with the present password, and changes it: that ends what is open.
    Change,
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
        Just(CODE - 1),
        Just(CODE),
        Just(RESET - CODE),
        Just(RESET - 1),
        1..RESET,
    ];
    prop_oneof![
        3 => any::<bool>().prop_map(Step::Request),
        3 => Just(Step::Deliver),
        8 => (any::<Index>(), guess).prop_map(|(which, guess)| Step::Check(which, guess)),
        5 => any::<Index>().prop_map(Step::Reset),
        2 => time.prop_map(Step::Pass),
        1 => Just(Step::Shut),
        1 => Just(Step::Open),
        1 => Just(Step::Move),
        1 => Just(Step::Change),
    ]
}

/// What is known of one request.
struct Request {
    token: String,
    address: usize,
    asked: i64,
    /// Whether its mail waits to be delivered.
    waits: bool,
    /// The code, and until when it counts.
    code: Option<(String, i64)>,
    tries: u32,
    checked: bool,
    ended: bool,
}

impl Request {
    fn is_open(&self, now: i64) -> bool {
        !self.ended && now < self.asked + RESET
    }

    /// A try is taken whatever is guessed, as long as a code may be tried at all.
    fn check(&mut self, guess: &str, now: i64) -> bool {
        let in_time = self.code.as_ref().is_none_or(|(_, end)| now < *end);
        if !self.is_open(now) || self.checked || !in_time || self.tries == TRIES {
            return false;
        }
        self.tries += 1;
        self.checked = self.code.as_ref().is_some_and(|(code, _)| code == guess);
        self.checked
    }
}

/// The account with its requests, as the documentation has it.
struct Model {
    now: i64,
    shut: bool,
    address: usize,
    password: String,
    requests: Vec<Request>,
}

impl Model {
    fn accepts_password(&self, request: &Request) -> bool {
        request.is_open(self.now)
            && request.checked
            && !self.shut
            && request.address == self.address
    }

    /// A new password ends every request whose mail has found the account.
    fn set_password(&mut self, password: String) {
        self.password = password;
        for request in &mut self.requests {
            request.ended |= request.code.is_some();
        }
    }
}

/// The app with its model.
struct Play {
    app: TestApp,
    model: Model,
}

impl Play {
    async fn start() -> Self {
        let app = TestApp::new().await;
        app.register(ADDRESSES[0]).await;
        app.activate(ADDRESSES[0]).await;
        app.deliver_all().await;
        let model = Model {
            now: 0,
            shut: false,
            address: 0,
            password: PASSWORD.to_owned(),
            requests: Vec::new(),
        };
        Self { app, model }
    }

    async fn take(&mut self, step: &Step, number: usize) {
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
            Step::Check(..) | Step::Reset(_) => self.unknown().await,
            Step::Pass(seconds) => {
                self.app.advance_clock(TimeDelta::seconds(*seconds));
                self.model.now += seconds;
            }
            Step::Shut if !self.model.shut => {
                self.app.deactivate(ADDRESSES[self.model.address]).await;
                self.model.shut = true;
            }
            Step::Open if self.model.shut => {
                self.app.activate(ADDRESSES[self.model.address]).await;
                self.model.shut = false;
            }
            Step::Shut | Step::Open => {}
            Step::Move => self.move_address().await,
            Step::Change => self.change(number).await,
        }
    }

    async fn request(&mut self, address: usize) {
        let answer = self
            .app
            .post("/auth/email_request/", json!({"email": ADDRESSES[address]}))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.model.requests.push(Request {
            token: answer.text("/token"),
            address,
            asked: self.model.now,
            waits: true,
            code: None,
            tries: 0,
            checked: false,
            ended: false,
        });
    }

    /// Of each request that is open and whose address is the account's a code arrives, and of no other; in their order.
    async fn deliver(&mut self) {
        let before = self.app.sink.mails().len();
        self.app.deliver_all().await;
        let mails = self.app.sink.mails().split_off(before);
        let mut codes = mails
            .iter()
            .filter(|mail| mail.subject.starts_with(|c: char| c.is_ascii_digit()));
        let model = &mut self.model;
        for request in &mut model.requests {
            if !std::mem::take(&mut request.waits) {
                continue;
            }
            if request.is_open(model.now) && !model.shut && request.address == model.address {
                let mail = codes.next().expect("a mail with a code");
                assert_eq!(mail.to, [ADDRESSES[request.address]]);
                let end = Ord::min(model.now + CODE, request.asked + RESET);
                request.code = Some((code_in(mail), end));
            }
        }
        assert!(codes.next().is_none(), "a code too many was sent");
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
        // What is no code at all takes no try.
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

    async fn unknown(&self) {
        let answer = self.app.check_otp("no-such-token", "123456").await;
        answer.assert_problem(400, "invalid-otp");
        let answer = self.app.reset_password("no-such-token", PASSWORD).await;
        answer.assert_problem(400, "invalid-reset-token");
    }

    async fn move_address(&mut self) {
        let next = 1 - self.model.address;
        let user = self.app.user(ADDRESSES[self.model.address]).await;
        let email: latchkey_shared::types::email::Email = ADDRESSES[next].parse().unwrap();
        let mut row = user.into_active_model();
        (row.email_key, row.email) = (Set(email.key()), Set(email));
        row.update(&self.app.database.db).await.unwrap();
        self.model.address = next;
    }

    async fn change(&mut self, number: usize) {
        if self.model.shut {
            return;
        }
        let email = ADDRESSES[self.model.address];
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

    /// The password that counts is the one that was set last, and no other.
    async fn end(&self) {
        let email = ADDRESSES[self.model.address];
        let answer = self.app.try_login(email, &self.model.password).await;
        let status = if self.model.shut { 401 } else { 200 };
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
            let mut play = Play::start().await;
            for (number, step) in steps.iter().enumerate() {
                play.take(step, number).await;
            }
            play.end().await;
        });
    });
}

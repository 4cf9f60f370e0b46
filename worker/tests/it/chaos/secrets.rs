//! After a full run of both programs with all logs enabled, no password, code, token or cookie is in a log line, a job, a Redis
//! command, a Redis value or the database.

use std::collections::BTreeMap;

use latchkey_shared::models::mail::MailState;
use latchkey_testing::{Mail, Process};
use reqwest::{Method, RequestBuilder, header::SET_COOKIE};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::watch,
};

use super::{Api, Installation};

const EMAIL: &str = "lovelace@example.com";
const PASSWORDS: [&str; 5] = [
    "velvet harbour lantern",
    "another quiet morning",
    "a third good password",
    "a fourth good password",
    "a wrong password",
];

/// Records all commands that Redis receives from now on (`MONITOR`).
async fn listen(redis: &str) -> watch::Receiver<String> {
    let address = redis.trim_start_matches("redis://").to_owned();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"MONITOR\r\n").await.unwrap();
    let (sender, received) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_modify(|commands| {
                commands.push_str(&line);
                commands.push('\n');
            });
        }
    });
    received
}

async fn send(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_default())
}

impl Api {
    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let url = format!("http://{}{path}", self.address);
        send(
            self.http
                .post(url)
                .header("content-type", "application/json")
                .body(body.to_string()),
        )
        .await
    }

    /// Returns the tokens of a login.
    async fn log_in(&self, password: &str) -> Value {
        let body = json!({"email": EMAIL, "password": password});
        let (status, answer) = self.post("/api/login/", body).await;
        assert_eq!(status, 200, "{answer}");
        answer["token"].clone()
    }
}

/// An administrator in the dashboard. Keeps all cookies, to search for them.
struct Browser<'a> {
    api: &'a Api,
    cookies: BTreeMap<String, String>,
    secrets: Vec<String>,
}

impl Browser<'_> {
    /// Returns the text of a page, and keeps the CSRF token of its form.
    async fn request(&mut self, path: &str, form: Option<&[(&str, &str)]>) -> (u16, String) {
        let url = format!("http://{}{path}", self.api.address);
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = match form {
            Some(form) => {
                let token = self.secrets.last().map_or("", String::as_str);
                let form = [form, &[("csrf", token)]].concat();
                self.api.http.post(url).form(&form)
            }
            None => self.api.http.get(url),
        };
        request = request.header("cookie", cookies.join("; "));
        let answer = request.send().await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
            if value.len() > 20 {
                self.secrets.push(value.to_owned());
            }
        }
        let (status, html) = (answer.status().as_u16(), answer.text().await.unwrap());
        if let Some((_, rest)) = html.split_once("name=\"csrf\"") {
            let value = rest.split("value=\"").nth(1).unwrap();
            self.secrets
                .push(value.split('"').next().unwrap().to_owned());
        }
        (status, html)
    }

    async fn get(&mut self, path: &str) {
        let (status, html) = self.request(path, None).await;
        assert_eq!(status, 200, "{path}: {html}");
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) {
        let (status, html) = self.request(path, Some(form)).await;
        assert_eq!(status, 303, "{path}: {html}");
    }
}

/// Signs in to the dashboard, changes the password and opens every list. Returns cookies and CSRF tokens.
async fn use_dashboard(api: &Api, password: &str, new: &str) -> Vec<String> {
    let mut browser = Browser {
        api,
        cookies: BTreeMap::new(),
        secrets: Vec::new(),
    };
    browser.get("/admin/login/").await;
    let entry = [
        ("email", EMAIL),
        ("password", password),
        ("next", "/admin/"),
    ];
    browser.post("/admin/login/", &entry).await;
    browser.get("/admin/account/").await;
    let change = [
        ("password", password),
        ("new_password", new),
        ("password_again", new),
    ];
    browser.post("/admin/account/", &change).await;
    for page in [
        "", "users/", "users/1/", "resets/", "mails/", "limits/", "audit/",
    ] {
        browser.get(&format!("/admin/{page}")).await;
    }
    let signed_in = browser
        .cookies
        .keys()
        .any(|it| it.ends_with("latchkey_admin"));
    assert!(signed_in, "{:?}", browser.cookies.keys());
    browser.secrets
}

/// Calls the admin API.
async fn use_admin_api(api: &Api, access: &str) {
    for (method, path, body) in [
        (Method::GET, "users/", None),
        (Method::GET, "users/1/", None),
        (Method::PATCH, "users/1/", Some(json!({"username": "Lady"}))),
        (Method::GET, "users/1/sessions/", None),
        (Method::POST, "users/1/request_password_reset/", None),
        (Method::GET, "resets/", None),
        (Method::GET, "mails/", None),
        (Method::GET, "limits/", None),
        (Method::GET, "audit/", None),
        (Method::POST, "audit/verify/", None),
    ] {
        let url = format!("http://{}/api/admin/{path}", api.address);
        let mut request = api.http.request(method, url).bearer_auth(access);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let (status, answer) = send(request).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
    }
}

/// What a user must not find anywhere after a run.
#[derive(Default)]
struct UserSecrets {
    texts: Vec<String>,
    code: String,
    /// The content of Redis while the code was valid.
    redis_with_code: String,
}

impl UserSecrets {
    /// Adds an access token, a refresh token and the id by which the latter is stored. Returns both tokens.
    fn add(&mut self, tokens: &Value) -> [String; 2] {
        let [access, refresh] =
            ["access", "refresh"].map(|name| tokens[name].as_str().unwrap().to_owned());
        let texts = [access.clone(), refresh.clone(), id_of(&refresh)];
        self.texts.extend(texts);
        [access, refresh]
    }
}

/// Registers, logs in, resets and changes the password, and logs out.
async fn use_api(it: &Installation, api: &Api) -> UserSecrets {
    let [first, second, third, _, wrong] = PASSWORDS;
    let mut secrets = UserSecrets::default();

    let form = json!({"email": EMAIL, "username": "Countess", "password": first});
    assert_eq!(api.post("/api/register/", form).await.0, 201);
    let guess = json!({"email": EMAIL, "password": wrong});
    assert_eq!(api.post("/api/login/", guess).await.0, 401);
    let [_, refresh] = secrets.add(&api.log_in(first).await);
    let refresh = json!({"refresh": refresh});
    let (_, renewed) = api.post("/auth/refresh/", refresh).await;
    secrets.add(&renewed);

    let request = json!({"email": EMAIL});
    let (_, requested) = api.post("/auth/email_request/", request).await;
    let reset = requested["token"].as_str().unwrap().to_owned();
    it.app.wait_for(MailState::Sent, 2).await;
    let mails = it.app.sink.mails();
    secrets.code = mails.iter().find_map(Mail::code).unwrap();
    secrets.redis_with_code = it.app.redis.dump().await;
    let check = json!({"token": reset, "otp": secrets.code});
    assert_eq!(api.post("/auth/check_otp/", check).await.0, 200);
    let set = json!({"token": reset, "new_password": second});
    assert_eq!(api.post("/auth/reset_password/", set).await.0, 200);
    secrets.texts.push(reset);

    let [access, _] = secrets.add(&api.log_in(second).await);
    let change = api
        .http
        .post(format!("http://{}/auth/change_password/", api.address))
        .bearer_auth(&access)
        .form(&[("password", second), ("new_password", third)]);
    let (status, changed) = send(change).await;
    assert_eq!(status, 200, "{changed}");
    let [_, refresh] = secrets.add(&changed);
    let logout = json!({"refresh": refresh});
    assert_eq!(api.post("/auth/logout/", logout).await.0, 204);
    secrets
}

/// Returns the id of a token, by which it is stored.
fn id_of(token: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let claims = token.split('.').nth(1).unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["jti"].as_str().unwrap().to_owned()
}

async fn log_of(process: Process) -> String {
    process.terminate().await;
    let (code, log) = process.output().await;
    assert_eq!(code, Some(0), "{log}");
    log
}

/// O4: an attacker who reads logs, Redis or the database finds no password, code, token or cookie.
#[tokio::test]
async fn full_run_leaks_no_secret() {
    let mut it = Installation::new().await;
    for (key, value) in [
        ("RUST_LOG", "info,latchkey=trace"),
        ("REFRESH_ROTATION", "on"),
        ("ACTIVATION", "none"),
    ] {
        it.app.set(key, value);
    }
    let commands = listen(&it.redis.url()).await;
    let (api, worker) = (it.api().await, it.worker().await);
    let [_, _, third, fourth, _] = PASSWORDS;

    let mut secrets = use_api(&it, &api).await;
    let promote = "UPDATE users SET is_staff = TRUE, is_superuser = TRUE";
    let db = &it.app.database.db;
    db.execute_unprepared(promote).await.unwrap();
    secrets
        .texts
        .extend(use_dashboard(&api, third, fourth).await);
    let [access, _] = secrets.add(&api.log_in(fourth).await);
    use_admin_api(&api, &access).await;
    it.app.wait_for(MailState::Sent, 6).await;

    let (redis, database) = (it.app.redis.dump().await, it.app.database.dump().await);
    let logs = [log_of(api.process).await, log_of(worker).await].concat();
    let commands = commands.borrow().clone();
    let UserSecrets {
        texts,
        code,
        redis_with_code,
    } = secrets;
    // The sources contain what they should.
    assert!(redis_with_code.contains(":code:"));
    assert!(commands.contains("\"hset") || commands.contains("EVAL"));
    assert!(database.contains(EMAIL) && database.contains("authn_login_success"));
    assert!(redis.contains(":admin:session:") && database.contains("authz_admin"));
    assert!(logs.contains("Password reset") && logs.contains("Mail sent"));
    let everything = [&*logs, &redis_with_code, &redis, &commands, &database].concat();
    for secret in PASSWORDS
        .into_iter()
        .chain(texts.iter().map(String::as_str))
        .chain(["0123456789abcdef0123456789abcdef"])
    {
        assert!(!everything.contains(secret), "{secret} was leaked");
    }
    // Six digits occur by chance in ids, so the code is searched for as a word.
    let mut words = everything.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(!words.any(|word| word == code), "{code} was leaked");
    assert!(!logs.contains(EMAIL), "an email is in the log:\n{logs}");
}

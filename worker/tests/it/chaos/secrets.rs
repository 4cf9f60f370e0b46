//! After a full run of both programs with all logs enabled, no password, code, token or cookie is in a log line, a job, a Redis
//! command, a Redis value or the database.

use std::collections::BTreeMap;

use latchkey_shared::models::mail::MailState;
use latchkey_testing::Process;
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
    let (sender, heard) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_modify(|heard| {
                heard.push_str(&line);
                heard.push('\n');
            });
        }
    });
    heard
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

    async fn log_in(&self, password: &str) -> (String, String) {
        let body = json!({"email": EMAIL, "password": password});
        let (status, answer) = self.post("/api/login/", body).await;
        assert_eq!(status, 200, "{answer}");
        let token = |name: &str| answer["token"][name].as_str().unwrap().to_owned();
        (token("access"), token("refresh"))
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
    async fn ask(&mut self, path: &str, form: Option<&[(&str, &str)]>) -> (u16, String) {
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

    async fn see(&mut self, path: &str) {
        let (status, html) = self.ask(path, None).await;
        assert_eq!(status, 200, "{path}: {html}");
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) {
        let (status, html) = self.ask(path, Some(form)).await;
        assert_eq!(status, 303, "{path}: {html}");
    }
}

/// Signs in to the dashboard, changes the password and opens every list. Returns cookies and CSRF tokens.
async fn at_the_dashboard(api: &Api, password: &str, new: &str) -> Vec<String> {
    let mut browser = Browser {
        api,
        cookies: BTreeMap::new(),
        secrets: Vec::new(),
    };
    browser.see("/admin/login/").await;
    let entry = [
        ("email", EMAIL),
        ("password", password),
        ("next", "/admin/"),
    ];
    browser.post("/admin/login/", &entry).await;
    browser.see("/admin/account/").await;
    let change = [
        ("password", password),
        ("new_password", new),
        ("password_again", new),
    ];
    browser.post("/admin/account/", &change).await;
    for page in [
        "", "users/", "users/1/", "resets/", "mails/", "limits/", "audit/",
    ] {
        browser.see(&format!("/admin/{page}")).await;
    }
    let signed_in = browser
        .cookies
        .keys()
        .any(|it| it.ends_with("latchkey_admin"));
    assert!(signed_in, "{:?}", browser.cookies.keys());
    browser.secrets
}

/// Calls the admin API.
async fn by_script(api: &Api, access: &str) {
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
    let heard = listen(&it.redis.url()).await;
    let (api, worker) = (it.api().await, it.worker().await);
    let [first, second, third, fourth, wrong] = PASSWORDS;

    let form = json!({"email": EMAIL, "username": "Countess", "password": first});
    assert_eq!(api.post("/api/register/", form).await.0, 201);
    let guess = json!({"email": EMAIL, "password": wrong});
    assert_eq!(api.post("/api/login/", guess).await.0, 401);
    let (access, refresh) = api.log_in(first).await;
    let (_, renewed) = api
        .post("/auth/refresh/", json!({"refresh": refresh}))
        .await;
    let token = |name: &str| renewed[name].as_str().unwrap().to_owned();
    let (access_2, refresh_2) = (token("access"), token("refresh"));
    let (_, asked) = api
        .post("/auth/email_request/", json!({"email": EMAIL}))
        .await;
    let reset = asked["token"].as_str().unwrap().to_owned();
    it.app.wait_for(MailState::Sent, 2).await;
    let code = it
        .app
        .sink
        .mails()
        .iter()
        .find_map(latchkey_testing::Mail::code)
        .unwrap();
    // While the code is valid.
    let with_code = it.app.redis.dump().await;
    let check = json!({"token": reset, "otp": code});
    assert_eq!(api.post("/auth/check_otp/", check).await.0, 200);
    let set = json!({"token": reset, "new_password": second});
    assert_eq!(api.post("/auth/reset_password/", set).await.0, 200);
    let (access_3, refresh_3) = api.log_in(second).await;
    let change = api
        .http
        .post(format!("http://{}/auth/change_password/", api.address))
        .bearer_auth(&access_3)
        .form(&[("password", second), ("new_password", third)]);
    let (status, changed) = send(change).await;
    assert_eq!(status, 200, "{changed}");
    let [access_5, refresh_5] =
        ["access", "refresh"].map(|token| changed[token].as_str().unwrap().to_owned());
    assert_eq!(
        api.post("/auth/logout/", json!({"refresh": refresh_5}))
            .await
            .0,
        204
    );
    let promoted = "UPDATE users SET is_staff = TRUE, is_superuser = TRUE";
    let db = &it.app.database.db;
    db.execute_unprepared(promoted).await.unwrap();
    let pages = at_the_dashboard(&api, third, fourth).await;
    let (access_4, refresh_4) = api.log_in(fourth).await;
    by_script(&api, &access_4).await;
    it.app.wait_for(MailState::Sent, 6).await;

    let (redis, database) = (it.app.redis.dump().await, it.app.database.dump().await);
    let logs = [log_of(api.process).await, log_of(worker).await].concat();
    let commands = heard.borrow().clone();
    // The sources contain what they should.
    assert!(
        with_code.contains(":code:") && commands.contains("\"hset") | commands.contains("EVAL")
    );
    assert!(database.contains(EMAIL) && database.contains("authn_login_success"));
    assert!(redis.contains(":admin:session:") && database.contains("authz_admin"));
    assert!(logs.contains("Password reset") && logs.contains("Mail sent"));
    let everything = [logs.as_str(), &with_code, &redis, &commands, &database].concat();
    let tokens = [
        &access, &refresh, &access_2, &refresh_2, &access_3, &refresh_3, &access_4, &refresh_4,
        &access_5, &refresh_5,
    ];
    let ids = [&refresh, &refresh_2, &refresh_3, &refresh_4, &refresh_5].map(|token| id_of(token));
    for secret in PASSWORDS
        .into_iter()
        .chain(tokens.map(String::as_str))
        .chain(ids.iter().map(String::as_str))
        .chain(pages.iter().map(String::as_str))
        .chain([reset.as_str(), "0123456789abcdef0123456789abcdef"])
    {
        assert!(!everything.contains(secret), "{secret} was left somewhere");
    }
    // Six digits occur by chance in ids, so the code is searched for as a word.
    let mut words = everything.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(!words.any(|word| word == code), "{code} was left somewhere");
    assert!(!logs.contains(EMAIL), "an address is in the log:\n{logs}");
}

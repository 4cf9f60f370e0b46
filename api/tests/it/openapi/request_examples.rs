//! The examples of request bodies in the OpenAPI document, sent to a server.

use latchkey_api::server::calls::description;
use latchkey_shared::models::user::{
    profile::ProfileChange,
    staff::{self, Change},
};
use reqwest::{Method, multipart};
use serde_json::{Map, Value};

use crate::{
    openapi::document::assert_matches_schema,
    support::{
        authenticator::Authenticator,
        test_app::{PASSWORD, TestApp, code_in},
    },
};

/// The account of the examples.
const ADA: &str = "ada@example.com";
const ADMIN: &str = "admin@example.com";

/// A fresh server on which an operation's example can succeed.
struct Fixture {
    app: TestApp,
    /// The access token, where the operation needs a login.
    access: Option<String>,
    /// Values that only a server can issue, by member.
    issued: Vec<(&'static str, String)>,
}

/// Clients and Swagger UI can send every example as printed, except for tokens and codes, which the server must have issued.
#[tokio::test]
async fn openapi_request_examples_succeed_as_printed() {
    let document = description().document();
    let mut count = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let bodies = operation["requestBody"]["content"].as_object();
            for (media_type, content) in bodies.into_iter().flatten() {
                let location = format!("{method} {path} {media_type}");
                let example = content["example"].as_object();
                let mut example = example
                    .unwrap_or_else(|| panic!("{location} has no example"))
                    .clone();
                let printed = Value::Object(example.clone());
                assert_matches_schema(&document, &content["schema"], &printed, &location);

                let fixture = prepare(operation["operationId"].as_str().unwrap()).await;
                for (member, issued) in &fixture.issued {
                    let printed = example.insert((*member).to_owned(), issued.as_str().into());
                    assert!(printed.is_some(), "{location} has no {member}");
                }
                let (_, success) = operation["responses"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .map(|status| (status.starts_with('2'), status))
                    .find(|(is_success, _)| *is_success)
                    .unwrap();
                let answer = send(&fixture, method, path, media_type, &example).await;
                assert_eq!(answer.status.as_str(), success, "{location}: {answer:?}");
                count += 1;
            }
        }
    }
    assert!(count >= 36, "{count}");
}

/// Prepares what an operation's example refers to: accounts, a session, a code or a lockout.
async fn prepare(operation: &str) -> Fixture {
    let mut access = None;
    let mut issued = Vec::new();
    let settings: &[(&str, &str)] = match operation {
        "activate" | "resendActivation" => &[("ACTIVATION", "email")],
        "removeLockout" => &[("TRUSTED_PROXIES", "127.0.0.1"), ("LIMIT_LOGIN_IP", "1/60")],
        _ => &[],
    };
    let app = TestApp::with(settings).await;
    match operation {
        "register" | "requestReset" => {}
        "login" => {
            app.register(ADA).await;
            app.activate(ADA).await;
        }
        "changeUser" | "changePassword" | "deleteOwnAccount" => {
            access = Some(app.logged_in_user(ADA).await.access);
        }
        "refresh" | "logout" => {
            issued.push(("refresh", app.logged_in_user(ADA).await.refresh));
        }
        "checkOtp" => {
            app.logged_in_user(ADA).await;
            let (token, code) = app.request_reset(ADA).await;
            issued.extend([("token", token), ("otp", code)]);
        }
        "resetPassword" => {
            app.logged_in_user(ADA).await;
            issued.push(("token", app.request_checked_reset(ADA).await));
        }
        "activate" => {
            let token = app.register(ADA).await.text("/activation_token");
            let code = code_in(app.mails_to(ADA).await.last().unwrap());
            issued.extend([("token", token), ("otp", code)]);
        }
        "resendActivation" => {
            issued.push(("token", app.register(ADA).await.text("/activation_token")));
        }
        "confirmEmail" => {
            let access = app.logged_in_user(ADA).await.access;
            let resend = app.request(Method::POST, "/auth/confirm_email/resend/");
            let token = app.send(resend.bearer_auth(access)).await.text("/token");
            let code = code_in(app.mails_to(ADA).await.last().unwrap());
            issued.extend([("token", token), ("otp", code)]);
        }
        "changeAccount" | "runBulkAction" | "removeLockout" => {
            app.create_superuser(ADMIN).await;
            access = Some(app.login(ADMIN, PASSWORD).await.access);
            app.register(ADA).await;
            prepare_administration(&app, operation).await;
        }
        "loginWithSecondFactor" => {
            let (_, phone) = app.enrolled_user(ADA).await;
            let challenge = app.challenge(ADA).await;
            issued.extend([("challenge", challenge), ("code", phone.next_code(&app))]);
        }
        "createTotp" => access = Some(app.logged_in_user(ADA).await.access),
        "confirmTotp" => {
            let token = app.logged_in_user(ADA).await.access;
            let password = serde_json::json!({"password": PASSWORD});
            let created = app.post_as(&token, "/auth/totp/", password).await;
            let phone = Authenticator::new(&created.text("/secret"));
            issued.push(("code", phone.code(&app)));
            access = Some(token);
        }
        "verifySecondFactor" | "disableTotp" | "replaceRecoveryCodes" => {
            let (tokens, phone) = app.enrolled_user(ADA).await;
            access = Some(tokens.access);
            if operation == "verifySecondFactor" {
                issued.push(("code", phone.next_code(&app)));
            }
        }
        "removeSecondFactor" => {
            app.create_superuser(ADMIN).await;
            access = Some(app.login(ADMIN, PASSWORD).await.access);
            app.enrolled_user(ADA).await;
        }
        "trustEmail" => {
            app.create_superuser(ADMIN).await;
            access = Some(app.login(ADMIN, PASSWORD).await.access);
            app.register("lovelace@example.com").await;
            change_email(&app, "lovelace@example.com", ADA).await;
        }
        _ => panic!("{operation} has an example that this test does not prepare"),
    }
    Fixture {
        app,
        access,
        issued,
    }
}

async fn change_email(app: &TestApp, from: &str, to: &str) {
    let seen = app.user(from).await;
    let profile = ProfileChange {
        email: to.parse().ok(),
        ..ProfileChange::default()
    };
    let change = Change {
        profile,
        ..Change::default()
    };
    let changed = staff::change(&app.database.db, &seen, change, app.clock.now()).await;
    assert!(changed.unwrap().is_some());
}

async fn prepare_administration(app: &TestApp, operation: &str) {
    if operation == "runBulkAction" {
        // The example names the accounts 7 and 8.
        for number in app.user(ADA).await.id + 1..=8 {
            app.register(&format!("user{number}@example.com")).await;
        }
    } else if operation == "removeLockout" {
        for status in [401, 429] {
            let attempt = app
                .request(Method::POST, "/api/login/")
                .header("x-forwarded-for", "192.0.2.7")
                .json(&serde_json::json!({"email": ADA, "password": "wrong"}));
            assert_eq!(app.send(attempt).await.status, status);
        }
    }
}

/// Sends an example in its media type.
async fn send(
    fixture: &Fixture,
    method: &str,
    path: &str,
    media_type: &str,
    example: &Map<String, Value>,
) -> crate::support::test_app::ApiResponse {
    let app = &fixture.app;
    let path = if path.contains("{id}") {
        path.replace("{id}", &app.user(ADA).await.id.to_string())
    } else {
        path.to_owned()
    };
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let mut request = app.request(method, &path);
    if let Some(access) = &fixture.access {
        request = request.bearer_auth(access);
    }
    let texts = example.iter().map(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (name.clone(), text)
    });
    let request = match media_type {
        "application/json" => request.json(example),
        "application/x-www-form-urlencoded" => request.form(&texts.collect::<Vec<_>>()),
        "multipart/form-data" => {
            request.multipart(texts.fold(multipart::Form::new(), |form, (name, text)| {
                form.text(name, text)
            }))
        }
        other => panic!("{other}"),
    };
    app.send(request).await
}

//! What each answer looks like, for those who read the document. Problems are made as they are made for clients.

use latchkey_shared::invalid::Invalid;
use serde_json::{Map, Value, json};

use crate::{
    error::ApiError,
    limits::TooMany,
    problem::{CONTENT_TYPE, FieldError},
};

/// The id of the request of every example.
const REQUEST: &str = "0198c2f4-6a3e-7c51-9d0b-4e8f7a2b1c3d";
/// An id of the one kind that rows have.
const ID: &str = "0198c2f4-5b1d-7a40-8c2e-9f3d6e7a8b4c";
/// Texts that look like tokens would be taken for some by those who look for leaked ones.
const TOKEN: &str = "eyJ0eXAi…";
const MORNING: &str = "2026-03-02T08:30:00+00:00";
const NOON: &str = "2026-03-02T12:05:00+00:00";
const LATER: &str = "2026-03-12T08:30:00+00:00";

/// Gives every answer that has a body an example, or one of each kind.
pub(super) fn add(document: &mut Value) {
    let members = |value: &mut Value| -> Map<String, Value> {
        value
            .as_object_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    };
    let mut paths = members(&mut document["paths"]);
    for (path, calls) in &mut paths {
        for call in calls.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let bad = bad_field(call, &document["components"]["schemas"]);
            let name = call["operationId"].as_str().unwrap_or_default().to_owned();
            let mut responses = members(&mut call["responses"]);
            for (status, response) in &mut responses {
                let status = status.parse().unwrap_or_default();
                if response["content"].get(CONTENT_TYPE).is_some() {
                    let problem = problem(path, &name, status, &bad);
                    add_problem(response, &name, problem, &bad);
                } else if let Some(content) = response.get_mut("content") {
                    content["application/json"]["example"] = answer(&name, status);
                }
            }
            call["responses"] = Value::Object(responses);
        }
    }
    document["paths"] = Value::Object(paths);
}

/// The example of a problem, and what it says where that is more than its status does. Where a call has a reason of its own
/// against its body, bad fields are another.
fn add_problem(response: &mut Value, call: &str, problem: ApiError, bad: &FieldError) {
    let (name, detail) = (problem.kind().name, problem.kind().detail);
    let status = problem.kind().status.as_u16();
    let example = json!(problem.into_problem(REQUEST));
    let content = &mut response["content"][CONTENT_TYPE];
    if status == 400 && name != "invalid-input" {
        let fields = ApiError::InvalidInput(vec![bad.clone()]);
        content["examples"] = json!({
            name: {"value": example},
            fields.kind().name: {"value": fields.into_problem(REQUEST)},
        });
        let usual = response["description"].as_str().unwrap_or_default();
        response["description"] = json!(format!("{detail} Or: {usual}"));
        return;
    }
    content["example"] = example;
    if status == 409 || matches!(call, "login" | "refresh" | "logout") && status == 401 {
        response["description"] = json!(detail);
    }
}

/// A field that can be wrong, and how: a member of the body that is not there, or is there and blank where none has to be; or
/// how long a page is.
fn bad_field(call: &Value, schemas: &Value) -> FieldError {
    let body = &call["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    let schema = body.as_str().and_then(|path| path.rsplit('/').next());
    let schema = schema.map_or(&Value::Null, |name| &schemas[name]);
    let first = schema["properties"]
        .as_object()
        .and_then(|members| members.keys().next());
    match (schema["required"][0].as_str(), first) {
        (Some(name), _) => {
            FieldError::new(name, Invalid::new("required", "This field is required."))
        }
        (None, Some(name)) => FieldError::new(name, Invalid::new("blank", "May not be blank.")),
        (None, None) => FieldError::new(
            "limit",
            Invalid::new("invalid", "Not a value that this parameter takes."),
        ),
    }
}

fn problem(path: &str, call: &str, status: u16, bad: &FieldError) -> ApiError {
    let is_admins = path.starts_with("/api/admin/");
    match (status, call) {
        (400, "checkOtp" | "activate") => ApiError::InvalidOtp,
        (400, "resetPassword") => ApiError::InvalidResetToken,
        (400, "changePassword") => ApiError::WrongPassword,
        (400, _) => ApiError::InvalidInput(vec![bad.clone()]),
        (401, "login") => ApiError::InvalidCredentials,
        (401, "refresh" | "logout") => ApiError::InvalidRefreshToken,
        (401, _) => ApiError::NotAuthenticated,
        (403, _) if is_admins => ApiError::NotPermitted,
        (403, _) => ApiError::NotActivated,
        (404, _) => ApiError::NotFound,
        (408, _) => ApiError::BodyTooSlow,
        (409, "register" | "changeUser") => ApiError::EmailTaken,
        (409, "changeAccount") => ApiError::ChangedMeanwhile,
        (409, "deleteAccount" | "deactivateAccount" | "actOnAccounts") => ApiError::OwnAccount,
        (409, _) => ApiError::NotPossible,
        (413, _) => ApiError::BodyTooLarge,
        (415, _) => ApiError::UnsupportedMediaType,
        (429, _) => ApiError::TooManyRequests(TooMany {
            retry_after: 42,
            limit: 5,
        }),
        (503, _) => ApiError::Unavailable(String::new()),
        _ => ApiError::Internal(String::new()),
    }
}

/// What a call answers when all is well.
fn answer(call: &str, status: u16) -> Value {
    match call {
        "register" => {
            let mut account = user();
            account["is_activated"] = json!(false);
            account
        }
        "getUser" | "changeUser" => user(),
        "login" => json!({
            "detail": "Logged in Successfully",
            "data": {"email": "ada@example.com", "is_activated": true},
            "token": {"refresh": TOKEN, "access": TOKEN},
        }),
        "refresh" => json!({"access": TOKEN}),
        "requestReset" => {
            json!({"token": "q0Zy…", "message": "Password reset link sent to email."})
        }
        "checkOtp" => json!({"message": "OTP is valid."}),
        "resetPassword" => json!({"message": "The Password has been reset successfully."}),
        "activate" => json!({"message": "The account has been activated."}),
        "listSessions" | "listAccountSessions" => json!([{
            "id": ID, "device": "Mozilla/5.0 (X11; Linux x86_64)", "peer": "203.0.113.7", "created": MORNING,
            "last_used": NOON, "expires": LATER, "current": call == "listSessions",
        }]),
        "listActivity" => json!([{
            "at": MORNING, "event": "authn_login_success", "outcome": "success", "own": true, "peer": "203.0.113.7",
            "session": ID, "detail": null,
        }]),
        "listAccounts" => json!({"users": [account()], "after": null, "before": null}),
        "getAccount" | "changeAccount" => account(),
        "actOnAccounts" => json!({"done": 3}),
        "listResets" => json!({
            "resets": [{
                "id": ID, "email": "ada@example.com", "user": 7, "state": "checked", "created": MORNING,
                "expires": "2026-03-02T08:40:00+00:00", "tries": 1,
            }],
            "before": null,
        }),
        "listMails" => json!({"mails": [mail()], "before": null}),
        "getMail" => json!({
            "mail": mail(), "subject": "Welcome to Latchkey", "text": "Hello Ada Lovelace,\n…",
        }),
        "listLimits" => json!({
            "limits": [{
                "name": "login:peer:203.0.113.7", "what": "login", "whom": "203.0.113.7", "user": null, "until": NOON,
            }],
        }),
        "listEvents" => json!({
            "events": [{
                "seq": 128, "at": NOON, "event": "authz_admin", "outcome": "success", "actor": "user 1", "user": 7,
                "session": ID, "subject": null, "peer": "198.51.100.4", "request": REQUEST,
                "detail": "activated", "changes": "is_activated: false → true",
            }],
            "before": 128,
        }),
        "verifyEvents" => {
            json!({"whole": true, "events": 128, "head": "128:9f2c…", "broken": null})
        }
        "live" => json!({"status": "ok"}),
        "ready" if status == 200 => json!({"status": "ok", "database": "ok", "redis": "ok"}),
        "ready" => json!({"status": "unavailable", "database": "ok", "redis": "does not answer"}),
        _ => Value::Null,
    }
}

fn user() -> Value {
    json!({
        "email": "ada@example.com", "username": "Ada Lovelace", "phoneNumber": "+201001234567", "image": null,
        "dateBirth": "1990-02-28", "gender": "female", "is_activated": true,
    })
}

fn account() -> Value {
    let mut account = json!({"id": 7});
    let more = json!({
        "awaits_owner": false, "is_active": true, "is_staff": true, "is_superuser": false,
        "permissions": ["view_users", "mails"], "created": MORNING, "last_login": NOON, "version": 3,
    });
    for part in [user(), more] {
        if let (Some(account), Value::Object(part)) = (account.as_object_mut(), part) {
            account.extend(part);
        }
    }
    account
}

fn mail() -> Value {
    json!({
        "id": ID, "kind": "welcome", "to": "ada@example.com", "user": 7, "state": "sent", "created": MORNING,
        "deliver_before": "2026-03-05T08:30:00+00:00", "attempts": 1, "next_attempt": MORNING,
        "sent": "2026-03-02T08:30:01+00:00", "error": null, "message_id": "0198c2f4…@accounts.example.com",
        "request": REQUEST,
    })
}

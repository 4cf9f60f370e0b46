//! Examples of answers in the document. Problems are created in the same way as for clients.

use latchkey_shared::types::validation_error::Invalid;
use serde_json::{Map, Value, json};

use crate::admin::actions::{create_user, mails, trust_email, users};
use crate::auth::email_confirmation;
use crate::http::error::{
    ApiError, Challenge, DependencyFailure, RateLimitExceeded,
    problem::{CONTENT_TYPE, FieldError},
};
use crate::openapi::fixes::{calls, referred_name};

/// The request id in examples.
const REQUEST: &str = "0198c2f4-6a3e-7c51-9d0b-4e8f7a2b1c3d";
/// The id of a row in examples.
const ID: &str = "0198c2f4-5b1d-7a40-8c2e-9f3d6e7a8b4c";
/// Abbreviated, as scanners for leaked secrets report complete tokens.
const TOKEN: &str = "eyJ0eXAi…";
const MORNING: &str = "2026-03-02T08:30:00+00:00";
const NOON: &str = "2026-03-02T12:05:00+00:00";
const LATER: &str = "2026-03-12T08:30:00+00:00";

/// Adds an example to every answer with a body, or one for each problem type.
pub(super) fn add(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    for call in calls(document) {
        let bad = bad_field(call, &schemas);
        let name = call["operationId"].as_str().unwrap_or_default().to_owned();
        let is_admins = call["tags"][0] == "Administration";
        let responses = call["responses"].as_object_mut();
        for (status, response) in responses.into_iter().flatten() {
            let status = status.parse().unwrap_or_default();
            if response["content"].get(CONTENT_TYPE).is_some() {
                add_problems(response, problems(&name, is_admins, status, &bad));
            } else if let Some(content) = response.get_mut("content") {
                content["application/json"]["example"] = answer(&name, status);
            }
        }
    }
}

/// Adds the examples of problems, and describes the response by the details of their types.
fn add_problems(response: &mut Value, problems: Vec<ApiError>) {
    let details = problems.iter().map(|problem| match problem {
        ApiError::InvalidState(detail) => *detail,
        problem => problem.problem_type().detail,
    });
    response["description"] = json!(details.collect::<Vec<_>>().join(" Or: "));
    let mut examples: Map<_, _> = problems
        .into_iter()
        .map(|problem| {
            let name = problem.problem_type().name.to_owned();
            (name, json!({"value": problem.into_problem(REQUEST)}))
        })
        .collect();
    let content = &mut response["content"][CONTENT_TYPE];
    if examples.len() > 1 {
        content["examples"] = Value::Object(examples);
    } else if let Some(only) = examples.values_mut().next() {
        content["example"] = only["value"].take();
    }
}

/// Returns an invalid field for the example: the first required member as missing, an optional one as blank, or the parameter
/// `limit`.
fn bad_field(call: &Value, schemas: &Value) -> FieldError {
    let schema = &call["requestBody"]["content"]["application/json"]["schema"];
    let schema = referred_name(schema).map_or(&Value::Null, |name| &schemas[name]);
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
            Invalid::new("invalid", "Not a valid value of this parameter."),
        ),
    }
}

/// The calls that ask for the current password of the user.
const PASSWORD_CALLS: [&str; 8] = [
    "changePassword",
    "changeUser",
    "deleteOwnAccount",
    "trustEmail",
    "removeSecondFactor",
    "createTotp",
    "disableTotp",
    "replaceRecoveryCodes",
];

/// The calls that ask for a recent second factor, if the account has one.
const FACTOR_CALLS: [&str; 6] = [
    "changeUser",
    "deleteOwnAccount",
    "exportOwnAccount",
    "createTotp",
    "disableTotp",
    "replaceRecoveryCodes",
];

/// Returns the problems of a call and status, the most likely first.
fn problems(call: &str, is_admins: bool, status: u16, bad: &FieldError) -> Vec<ApiError> {
    let bad_input = ApiError::InvalidInput(vec![bad.clone()]);
    match (status, call) {
        (400, "checkOtp" | "activate" | "confirmEmail") => vec![ApiError::InvalidOtp, bad_input],
        (400, "resetPassword" | "resendActivation") => vec![ApiError::InvalidResetToken, bad_input],
        (400, call) if PASSWORD_CALLS.contains(&call) => vec![ApiError::WrongPassword, bad_input],
        (400, "loginWithSecondFactor" | "verifySecondFactor" | "confirmTotp") => {
            vec![ApiError::InvalidSecondFactor(None), bad_input]
        }
        (400, _) => vec![bad_input],
        (401, "login") => vec![
            ApiError::InvalidCredentials,
            ApiError::SecondFactorRequired(Challenge {
                token: "q0Zy…".to_owned(),
                factors: vec!["totp".to_owned(), "recovery_code".to_owned()],
            }),
        ],
        (401, "loginWithSecondFactor") => vec![ApiError::InvalidChallenge],
        (401, "refresh" | "logout") => vec![ApiError::InvalidRefreshToken],
        (401, _) => vec![ApiError::NotAuthenticated],
        (403, _) if is_admins => vec![
            ApiError::NotPermitted,
            ApiError::SecondFactorEnrolmentRequired,
        ],
        (403, "refresh" | "logout") => vec![ApiError::OriginNotAllowed],
        (403, call) if FACTOR_CALLS.contains(&call) => {
            vec![ApiError::NotActivated, ApiError::RecentSecondFactorRequired]
        }
        (403, _) => vec![ApiError::NotActivated],
        (404, _) => vec![ApiError::NotFound],
        (408, _) => vec![ApiError::BodyTooSlow],
        (409, call) => conflicts(call),
        (413, _) => vec![ApiError::BodyTooLarge],
        (415, _) => vec![ApiError::UnsupportedMediaType],
        (429, _) => vec![ApiError::TooManyRequests(RateLimitExceeded {
            retry_after: 42,
            limit: 5,
        })],
        (503, _) => vec![ApiError::Unavailable(DependencyFailure::default())],
        _ => vec![ApiError::Internal(String::new())],
    }
}

/// Returns the conflicts (409) of a call, the most likely first.
fn conflicts(call: &str) -> Vec<ApiError> {
    match call {
        "register" | "changeUser" => vec![ApiError::EmailTaken],
        "changeAccount" => vec![
            ApiError::EditConflict,
            ApiError::EmailTaken,
            ApiError::OwnAccount,
            ApiError::LastSuperuser,
        ],
        "trustEmail" => vec![
            ApiError::InvalidState(trust_email::TRUSTED),
            ApiError::OwnAccount,
        ],
        "deleteAccount" | "deactivateAccount" | "runBulkAction" => {
            vec![ApiError::OwnAccount, ApiError::LastSuperuser]
        }
        "createTotp" => vec![ApiError::TotpExists],
        "confirmTotp" => vec![ApiError::NoPendingTotp],
        "removeSecondFactor" => vec![ApiError::NoSecondFactor, ApiError::OwnAccount],
        "verifySecondFactor" | "disableTotp" | "replaceRecoveryCodes" => {
            vec![ApiError::NoSecondFactor]
        }
        "deleteOwnAccount" => vec![ApiError::LastSuperuser],
        "retryMail" => vec![ApiError::InvalidState(mails::NOT_RETRYABLE)],
        "cancelMail" => vec![ApiError::InvalidState(mails::NOT_CANCELLABLE)],
        "inviteAccount" => vec![ApiError::InvalidState(create_user::NOT_INVITABLE)],
        "requestAccountPasswordReset" => vec![ApiError::InvalidState(users::DEACTIVATED)],
        "resendEmailCode" => vec![ApiError::InvalidState(email_confirmation::CONFIRMED)],
        _ => vec![ApiError::Internal(String::new())],
    }
}

/// Returns the example of a successful answer.
fn answer(call: &str, status: u16) -> Value {
    match call {
        "register" => {
            let mut account = user();
            account["is_activated"] = json!(false);
            account
        }
        "getUser" | "changeUser" => user(),
        "login" | "loginWithSecondFactor" => json!({
            "detail": "Logged in Successfully",
            "data": {"email": "ada@example.com", "is_activated": true},
            "token": {"refresh": TOKEN, "access": TOKEN},
        }),
        "refresh" => json!({"access": TOKEN}),
        "changePassword" => json!({"access": TOKEN, "refresh": TOKEN}),
        "deleteOwnAccount" => json!({
            "deletion_at": "2026-03-09T12:05:00+00:00",
            "message": "The account will be deleted. Log in before deletion_at to keep it.",
        }),
        "requestReset" => {
            json!({"token": "q0Zy…", "message": "Password reset link sent to email."})
        }
        "checkOtp" => json!({"message": "OTP is valid."}),
        "resetPassword" => json!({"message": "The Password has been reset successfully."}),
        "confirmEmail" => json!({"message": "The email has been confirmed."}),
        "resendEmailCode" => json!({
            "token": "q0Zy…", "email": "countess@example.com", "message": "Code sent to email.",
        }),
        "activate" => json!({"message": "The account has been activated."}),
        "resendActivation" => json!({
            "activation_token": "q0Zy…",
            "message": "If the account is not activated yet, a new code is on its way.",
        }),
        "listSessions" | "listAccountSessions" => json!([{
            "id": ID, "device": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "device_name": "Firefox on Linux", "client_ip": "203.0.113.7", "created": MORNING, "last_used": NOON, "expires": LATER, "current": call == "listSessions",
        }]),
        "listActivity" => json!([{
            "at": MORNING, "event": "authn_login_success", "outcome": "success", "own": true, "client_ip": "203.0.113.7",
            "session": ID, "device_name": "Firefox on Linux", "detail": null,
        }]),
        "exportOwnAccount" => export(),
        "getPublicKeys" => json!({
            "keys": [{
                "kty": "EC", "crv": "P-256", "x": "0eRMX…", "y": "vcXBN…", "alg": "ES256", "use": "sig",
                "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
            }],
        }),
        "getTokenMetadata" => json!({
            "issuer": "https://accounts.example.com",
            "jwks_uri": "https://accounts.example.com/.well-known/jwks.json",
            "id_token_signing_alg_values_supported": ["ES256"],
            "subject_types_supported": ["public"],
            "response_types_supported": [],
        }),
        _ => factor_answer(call).unwrap_or_else(|| admin_answer(call, status)),
    }
}

/// Returns the example of a successful answer about second factors.
fn factor_answer(call: &str) -> Option<Value> {
    Some(match call {
        "getSecondFactors" => json!({"enabled": true, "totp": true, "recovery_codes_left": 10}),
        "verifySecondFactor" => json!({"valid_until": NOON}),
        "createTotp" => json!({
            "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
            "uri": "otpauth://totp/Latchkey:ada%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Latchkey",
            "qr_svg": "<svg …",
        }),
        "confirmTotp" | "replaceRecoveryCodes" => {
            json!({"recovery_codes": ["k7dm-q2xa-vw5n", "b3ht-zc6e-y4rs"]})
        }
        _ => return None,
    })
}

/// Returns the example of a successful answer of the administration or a health check.
fn admin_answer(call: &str, status: u16) -> Value {
    match call {
        "listAccounts" => json!({"users": [account()], "after": null, "before": null}),
        "getAccount" | "changeAccount" => account(),
        "runBulkAction" => json!({"done": 3}),
        "listResets" => json!({
            "resets": [{
                "id": ID, "email": "ada@example.com", "user": 7, "state": "checked", "created": MORNING,
                "expires": "2026-03-02T08:40:00+00:00", "tries": 1,
            }],
            "before": null,
        }),
        "listMails" => json!({"mails": [mail()], "before": null}),
        "getMail" => json!({
            "mail": mail(), "subject": "Welcome to Latchkey", "text": "Your Latchkey account has been created.\n…",
        }),
        "listLockouts" => json!({
            "limits": [{
                "name": "login:ip:203.0.113.7", "what": "login", "whom": "203.0.113.7", "user": null, "until": NOON,
            }],
        }),
        "listAuditEvents" => json!({
            "events": [{
                "seq": 128, "at": NOON, "event": "authz_admin", "outcome": "success", "actor": "user 1", "user": 7,
                "session": ID, "subject": null, "client_ip": "198.51.100.4", "request": REQUEST,
                "detail": "activated", "changes": "is_activated: false → true",
                "details": {
                    "actor_name": "Grace", "account_name": "Ada", "role_name": null, "api_token_id": null,
                    "api_token_name": null, "email": null, "changes": [],
                },
            }],
            "before": 128,
        }),
        "verifyAuditLog" => {
            json!({"whole": true, "events": 128, "head": "128:9f2c…", "broken": null})
        }
        "listRoles" => {
            json!({"roles": [{"id": 2, "name": "Support", "permissions": ["view_users", "change_users", "mails"]}]})
        }
        "getLiveness" => json!({"status": "ok"}),
        "getReadiness" if status == 200 => {
            json!({"status": "ok", "database": "ok", "redis": "ok", "media": "ok", "smtp": "ok"})
        }
        "getReadiness" => json!({
            "status": "unavailable", "database": "unreachable", "redis": "ok", "media": "ok", "smtp": "ok",
        }),
        _ => Value::Null,
    }
}

fn user() -> Value {
    json!({
        "email": "ada@example.com", "username": "Ada Lovelace", "phoneNumber": "+201001234567", "image": null,
        "dateBirth": "1990-02-28", "gender": "female", "is_activated": true,
    })
}

fn export() -> Value {
    json!({
        "exported_at": NOON,
        "profile": {
            "id": 7, "email": "ada@example.com", "email_verified_at": MORNING, "email_set_at": null,
            "confirmed_email": null, "confirmed_email_since": null, "email_trusted_from": null, "username": "Ada Lovelace",
            "phone_number": "+201001234567", "date_birth": "1990-02-28", "gender": "female", "language": "en-GB",
            "language_chosen": true, "is_activated": true, "pending_email_verification": false, "is_active": true,
            "is_staff": false, "is_superuser": false, "permissions": [], "roles": [], "created_at": MORNING,
            "last_login_at": NOON, "deletion_at": null, "second_factor_at": MORNING,
            "import": {"source": "django", "imported_at": MORNING, "has_new_password": true},
        },
        "picture": {
            "name": "0198c2f45b1d7a408c2e9f3d6e7a8b4c.jpg", "media_type": "image/jpeg", "data": "data:image/jpeg;base64,/9j/4AAQ…",
        },
        "totp": {"created_at": MORNING, "confirmed_at": MORNING},
        "recovery_codes": [{"created_at": MORNING, "used_at": null}],
        "sessions": [{
            "id": ID, "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "device_name": "Firefox on Linux", "client_ip": "203.0.113.7", "created_at": MORNING, "last_used_at": NOON,
            "expires_at": LATER, "revoked_at": null, "second_factor_at": MORNING,
        }],
        "api_tokens": [{
            "id": ID, "name": "Nightly export", "permissions": ["view_users"], "created_at": MORNING, "expires_at": LATER,
            "last_used_at": NOON, "revoked_at": null,
        }],
        "code_requests": [],
        "activity": [exported_event("authn_login_success", "owner")],
        "audit_events": [exported_event("authz_admin", "staff")],
        "mails": [{
            "id": ID, "kind": "welcome", "recipient": "ada@example.com", "recipient_verified": false, "code_request_id": null,
            "created_at": MORNING, "deliver_before": "2026-03-05T08:30:00+00:00", "state": "sent", "attempts": 1,
            "sent_at": "2026-03-02T08:30:01+00:00", "last_error": null,
            "message_id": "0198c2f4…@accounts.example.com", "request_id": REQUEST, "device": null,
            "api_token_name": null,
        }],
    })
}

fn exported_event(event: &str, actor: &str) -> Value {
    let is_owner = actor == "owner";
    json!({
        "number": 128, "at": NOON, "event": event, "outcome": "success", "actor": actor, "session_id": is_owner.then_some(ID),
        "client_ip": is_owner.then_some("203.0.113.7"), "request_id": REQUEST, "detail": (!is_owner).then_some("activated"),
        "changes": (!is_owner).then_some("is_activated: false → true"),
        "account_name": (!is_owner).then_some("Ada Lovelace"), "email": null, "values": [],
    })
}

fn account() -> Value {
    let mut account = json!({"id": 7});
    let more = json!({
        "reset_email": null, "language": "en-GB", "pending_email_verification": false, "is_active": true, "is_staff": true, "is_superuser": false,
        "permissions": ["view_users", "mails"], "roles": [2], "created": MORNING, "last_login": NOON, "second_factor": true,
        "deletion_at": null, "version": 3,
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

//! Replays the successful requests recorded from the original, on both spellings of each path.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::import::{import_original, password_in_original},
    support::test_app::{TestApp, code_in},
};

const USER_KEYS: [&str; 7] = [
    "email",
    "username",
    "phoneNumber",
    "image",
    "dateBirth",
    "gender",
    "is_activated",
];

/// Prefix and trailing slash of the paths that clients of the original and its README use.
const SPELLINGS: [(&str, &str); 2] = [("/api", "/"), ("/auth", "")];

/// Clients of the original can register as before.
#[tokio::test]
async fn recorded_registrations_return_the_original_keys() {
    let app = TestApp::new().await;
    let recorded = [
        json!({"email": "min@example.com", "username": "min", "password": "Passw0rd-x1"}),
        json!({"email": "full@example.com", "username": "Full Name", "password": "Passw0rd-x1", "phoneNumber": "+201001234567", "dateBirth": "1990-02-28", "gender": "female"}),
        json!({"email": "eg@example.com", "username": "n", "password": "Passw0rd-x1", "gender": ""}),
        json!({"email": "ep@example.com", "username": "n", "password": "Passw0rd-x1", "phoneNumber": ""}),
        json!({"email": "int_username@example.com", "username": 12345, "password": "Passw0rd-x1"}),
        json!({"email": "ud@example.com", "username": "min", "password": "Passw0rd-x1"}),
        json!({"email": "big@example.com", "username": "u", "password": "Passw0rd-x1", "junk": "x"}),
    ];
    for (prefix, slash) in SPELLINGS {
        for body in &recorded {
            let mut body = body.clone();
            body["email"] = json!(format!(
                "{}{}",
                &prefix[1..],
                body["email"].as_str().unwrap()
            ));
            let answer = app
                .post(&format!("{prefix}/register{slash}"), body.clone())
                .await;
            assert_eq!(answer.status, 201, "{body}: {answer:?}");
            assert_eq!(answer.keys(), USER_KEYS);
            assert_eq!(answer.body["email"], body["email"]);
        }
    }
}

/// Clients of the original can log in, refresh, and read and change the profile as before.
#[tokio::test]
async fn recorded_session_returns_the_original_keys() {
    let app = TestApp::new().await;
    for (prefix, slash) in SPELLINGS {
        let email = format!("{}@example.com", &prefix[1..]);
        let registration = json!({"email": email, "username": "lo", "password": "Passw0rd-x1"});
        let path = format!("{prefix}/register{slash}");
        assert_eq!(app.post(&path, registration).await.status, 201);
        app.activate(&email).await;
    }
    replay_sessions(
        &app,
        ["api@example.com", "auth@example.com"],
        ["Passw0rd-x1"; 2],
    )
    .await;
}

/// Imported accounts behave as they did in the original, whatever their hash.
#[tokio::test]
async fn recorded_cases_succeed_with_imported_accounts() {
    let app = TestApp::new().await;
    import_original(&app).await;
    let [ordinary, staff, scrypt] = [
        "amal.active@example.com",
        "staff.rights@example.com",
        "pw.scrypt@example.com",
    ];
    let password = |email| password_in_original(email);

    replay_sessions(
        &app,
        [ordinary, staff],
        [password(ordinary), password(staff)],
    )
    .await;
    replay_resets(&app, scrypt).await;
}

/// Logs in with each spelling of the paths, refreshes, and reads and changes the profile.
async fn replay_sessions<P: AsRef<str>>(app: &TestApp, emails: [&str; 2], passwords: [P; 2]) {
    for ((prefix, slash), (email, password)) in
        SPELLINGS.into_iter().zip(emails.into_iter().zip(passwords))
    {
        let path = |name: &str| format!("{prefix}/{name}{slash}");
        let login = app
            .post(
                &path("login"),
                json!({"email": email, "password": password.as_ref()}),
            )
            .await;
        assert_eq!(
            (login.status.as_u16(), login.keys()),
            (200, vec!["detail", "data", "token"])
        );
        assert_eq!(keys(&login.body["data"]), ["email", "is_activated"]);
        assert_eq!(keys(&login.body["token"]), ["access", "refresh"]);

        let refresh = json!({"refresh": login.text("/token/refresh")});
        let refreshed = app.post(&format!("/auth/refresh{slash}"), refresh).await;
        assert_eq!(
            (refreshed.status.as_u16(), refreshed.keys()),
            (200, vec!["access"])
        );

        let bearer = refreshed.text("/access");
        let profile = app
            .send(app.request(Method::GET, &path("user")).bearer_auth(&bearer))
            .await;
        assert_eq!(
            (profile.status.as_u16(), profile.keys()),
            (200, USER_KEYS.to_vec())
        );
        for change in [
            json!({"username": "newname"}),
            json!({"phoneNumber": null}),
            json!({"gender": null}),
            json!({"dateBirth": null}),
            json!({"is_activated": false, "is_staff": true, "foo": "bar"}),
            json!({"email": email.to_uppercase()}),
            json!({"email": email}),
        ] {
            let request = app
                .request(Method::PATCH, &path("user"))
                .bearer_auth(&bearer)
                .json(&change);
            let changed = app.send(request).await;
            assert_eq!(
                (changed.status.as_u16(), changed.keys()),
                (200, USER_KEYS.to_vec()),
                "{change}"
            );
            assert_eq!(changed.body["is_activated"], true);
        }
    }
}

/// Clients of the original can reset a password as its README says.
#[tokio::test]
async fn recorded_reset_returns_the_documented_keys() {
    let app = TestApp::new().await;
    app.logged_in_user("re@example.com").await;
    replay_resets(&app, "re@example.com").await;
}

/// Resets the password with each spelling of the paths.
async fn replay_resets(app: &TestApp, email: &str) {
    for (round, slash) in ["/", ""].into_iter().enumerate() {
        let body = json!({"email": format!(" {email} "), "user": "someone", "token": "mytoken"});
        let asked = app.post(&format!("/auth/email_request{slash}"), body).await;
        assert_eq!(
            (asked.status.as_u16(), asked.keys()),
            (201, vec!["token", "message"])
        );
        let (token, code) = (
            asked.text("/token"),
            code_in(app.mails_to(email).await.last().unwrap()),
        );
        assert_ne!(token, "mytoken");

        let checked = app
            .post(
                &format!("/auth/check_otp{slash}"),
                json!({"token": token, "otp": code}),
            )
            .await;
        assert_eq!(
            (checked.status.as_u16(), checked.body),
            (200, json!({"message": "OTP is valid."}))
        );

        let password = format!("another quiet morning {round}");
        let body = json!({"token": token, "new_password": password});
        let reset = app
            .post(&format!("/auth/reset_password{slash}"), body)
            .await;
        assert_eq!(reset.status, 200);
        assert_eq!(
            reset.body,
            json!({"message": "The Password has been reset successfully."})
        );
        app.login(email, &password).await;
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

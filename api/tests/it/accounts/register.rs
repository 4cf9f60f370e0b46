//! `POST /api/register/`

use latchkey_shared::models::user;
use reqwest::Method;
use serde_json::json;

use crate::support::test_app::{ApiResponse, PASSWORD, PUBLIC_POSTS, TestApp, registration};

/// A picture of two by two pixels, in base64.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGM8ISfHwMDAxMDAwMDAAAANBAEIfXHKZgAAAABJRU5ErkJggg==";

/// Users can register with the required fields alone. A mail tells them that approval is pending.
#[tokio::test]
async fn registration_minimal_creates_account_pending_approval() {
    let app = TestApp::new().await;

    let answer = app.register("min@example.com").await;

    assert_eq!(
        answer.body,
        json!({
            "email": "min@example.com", "username": "Ada", "phoneNumber": null, "image": null, "dateBirth": null,
            "gender": null, "is_activated": false,
        })
    );
    let mails = app.mails_to("min@example.com").await;
    assert_eq!(mails.len(), 1, "a mail says that approval is pending");
}

/// With `ACTIVATION=none`, users can log in right after the registration.
#[tokio::test]
async fn registration_without_activation_permits_login_at_once() {
    let app = TestApp::with(&[("ACTIVATION", "none")]).await;

    assert_eq!(
        app.register("open@example.com").await.body["is_activated"],
        true
    );
    app.login("open@example.com", PASSWORD).await;
}

/// A registration with a taken email, in any case, stores no picture and sends no mail.
#[tokio::test]
async fn registration_taken_email_returns_409_in_any_case() {
    let app = TestApp::new().await;
    app.register("ada@example.com").await;
    app.deliver_all().await;

    let mut again = registration("ADA@Example.com");
    again["image"] = json!(crate::accounts::pictures::data_url(
        &crate::accounts::pictures::png(4, 4)
    ));
    let answer = app.post("/api/register/", again).await;

    answer.assert_problem(409, "email-taken");
    assert_eq!(
        answer.invalid_fields(),
        [("email".to_owned(), "taken".to_owned())]
    );
    assert!(
        app.pictures().is_empty(),
        "the rejected registration left a picture"
    );
    app.deliver_all().await;
    assert_eq!(
        app.sink.mails().len(),
        1,
        "the rejected registration sent a mail"
    );
}

/// Of twelve concurrent registrations one succeeds and the others get 409, because the database decides.
#[tokio::test]
async fn concurrent_registrations_of_one_email_succeed_once() {
    let app = TestApp::new().await;

    let answers = futures_util::future::join_all(
        (0..12).map(|_| app.post("/api/register/", registration("race@example.com"))),
    )
    .await;

    let statuses: Vec<_> = answers
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 409).count(),
        11,
        "{statuses:?}"
    );
}

/// A1: Users cannot register as activated, as staff or with an id of their choice.
#[tokio::test]
async fn registration_ignores_protected_fields() {
    let app = TestApp::new().await;
    let mut form = registration("protected@example.com");
    for flag in [
        "is_activated",
        "is_staff",
        "is_superuser",
        "isActivated",
        "isSuperuser",
    ] {
        form[flag] = json!(true);
    }
    form["id"] = json!(4711);

    assert_eq!(
        app.post("/api/register/", form).await.body["is_activated"],
        false
    );

    let user = app.user("protected@example.com").await;
    assert!(!user.is_activated && !user.is_staff && !user.is_superuser);
    assert_ne!(user.id, 4711);
}

/// Blanks around texts are removed. Blanks in passwords are kept.
#[tokio::test]
async fn registration_trims_texts_but_not_passwords() {
    let app = TestApp::new().await;
    let form = json!({"email": "  sp@example.com ", "username": " Ada ", "password": "  pass word with blanks  "});

    let answer = app.post("/api/register/", form).await;

    assert_eq!(
        (answer.text("/email"), answer.text("/username")),
        ("sp@example.com".into(), "Ada".into())
    );
    app.activate("sp@example.com").await;
    app.try_login("sp@example.com", "pass word with blanks")
        .await
        .assert_problem(401, "invalid-credentials");
    app.login("sp@example.com", "  pass word with blanks  ")
        .await;
}

/// Clients can register with a form or multipart instead of JSON.
#[tokio::test]
async fn registration_accepts_form_and_multipart() {
    let app = TestApp::new().await;
    let fields = [
        ("username", "Ada"),
        ("password", PASSWORD),
        ("gender", "male"),
        ("dateBirth", ""),
        ("image", ""),
    ];

    let mut form = fields.to_vec();
    form.push(("email", "form@example.com"));
    let answer = app
        .send(app.request(Method::POST, "/api/register").form(&form))
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.text("/gender"), "male");
    assert!(answer.body["dateBirth"].is_null());

    let multipart = fields
        .into_iter()
        .fold(reqwest::multipart::Form::new(), |form, (name, value)| {
            form.text(name, value)
        })
        .text("email", "multipart@example.com");
    let answer = app
        .send(
            app.request(Method::POST, "/api/register")
                .multipart(multipart),
        )
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.text("/gender"), "male");
}

/// Clients with a stale token can still log in, unlike in the original (S20).
#[tokio::test]
async fn public_endpoints_ignore_stale_authorization_header() {
    let app = TestApp::new().await;
    for path in PUBLIC_POSTS {
        let answer = app
            .send(
                app.request(Method::POST, path)
                    .bearer_auth("stale")
                    .json(&json!({})),
            )
            .await;
        answer.assert_problem(400, "invalid-input");
    }
}

/// P1, P2, P3: A user who chooses a weak password gets the reason. Unit tests of `passwords` cover the edges.
#[tokio::test]
async fn registration_weak_password_is_rejected_with_reason() {
    let app = TestApp::new().await;
    for (password, code) in [
        ("seven77", "too_short"),
        ("password1", "too_common"),
        ("weak@example.com", "too_similar"),
        (&"x1é".repeat(43), "too_long"),
    ] {
        let mut form = registration("weak@example.com");
        form["password"] = json!(password);
        let answer = app.post("/api/register/", form).await;
        answer.assert_invalid_field("password", code);
    }
    assert!(user::list(&app.database.db).await.unwrap().is_empty());
}

/// With `REGISTRATION_PRIVACY=on`, a registration does not reveal who has an account. The owner gets a mail.
#[tokio::test]
async fn private_registration_response_hides_taken_email() {
    let more = [("REGISTRATION_PRIVACY", "on"), ("LIMIT_MAIL_CAUSE", "1/60")];
    let app = TestApp::with(&more).await;
    let with_picture = |email: &str| {
        let mut form = registration(email);
        form["image"] = json!(format!("data:image/png;base64,{PNG}"));
        form
    };
    let new = app
        .post("/api/register/", with_picture("ada@example.com"))
        .await;
    app.activate("ada@example.com").await;
    app.deliver_all().await;
    let pictures = app.pictures();
    // The welcome mail counts towards the same rate limit.
    app.advance_clock(chrono::TimeDelta::minutes(1));

    let taken = app
        .post("/api/register/", with_picture("ADA@example.com"))
        .await;
    let again = app
        .post("/api/register/", with_picture("ADA@example.com"))
        .await;
    app.deliver_all().await;

    assert_eq!((new.status.as_u16(), taken.status.as_u16()), (201, 201));
    let names = |answer: &ApiResponse| -> Vec<_> {
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    assert_eq!(names(&new), names(&taken));
    let lowercase_body = |answer: &ApiResponse| answer.body.to_string().to_lowercase();
    assert_eq!(lowercase_body(&new), lowercase_body(&taken));
    assert_eq!(lowercase_body(&taken), lowercase_body(&again));
    assert!(new.body["image"].is_null());
    assert_eq!(app.pictures(), pictures, "an unused picture was left");
    let mails = app.mails_to("ada@example.com").await;
    let subjects: Vec<_> = mails.iter().map(|mail| mail.subject.as_str()).collect();
    assert_eq!(
        subjects,
        ["Welcome to Latchkey", "You already have a Latchkey account"],
        "the second registration sends no mail"
    );
    let me = app.login("ada@example.com", PASSWORD).await;
    let user = app.get_user(&me.access).await;
    assert_eq!(user.text("/email"), "ada@example.com");
    assert!(user.body["image"].is_string());
}

/// Administrators find registrations with a taken email in the audit log.
#[tokio::test]
async fn registration_taken_email_is_audited() {
    let app = TestApp::new().await;
    app.register("ada@example.com").await;

    let again = app.post("/api/register/", registration("ada@example.com"));
    again.await.assert_problem(409, "email-taken");

    let events = latchkey_shared::models::audit::list(
        &app.database.db,
        latchkey_shared::models::audit::Filter::default(),
        10,
    );
    let events = events.await.unwrap();
    assert_eq!(events[0].event, "user_create_fail");
    assert_eq!(
        (events[0].user_id, events[0].actor.as_str()),
        (Some(1), "anonymous")
    );
}

/// With `REGISTRATION_PRIVACY=on`, neither a later login nor its lockout reveals who has an account.
#[tokio::test]
async fn login_after_private_registration_hides_taken_email() {
    let more = [
        ("REGISTRATION_PRIVACY", "on"),
        ("LIMIT_LOGIN_FREE_FAILURES", "3"),
        ("LIMIT_LOGIN_FAILURES", "100"),
    ];
    let app = TestApp::with(&more).await;
    app.logged_in_user("taken@example.com").await;
    let mut answers = Vec::new();
    for email in ["taken@example.com", "new@example.com"] {
        let mut form = registration(email);
        form["password"] = json!("a guest's own password");
        assert_eq!(app.post("/api/register/", form).await.status, 201);
        for number in 0..4 {
            let mut answer = app.try_login(email, "a guest's own password").await;
            answer.body["instance"] = json!(null);
            assert_eq!(answer.status, if number < 3 { 401 } else { 429 });
            answers.push(answer.body);
        }
    }
    assert_eq!(answers[..4], answers[4..]);

    app.activate("new@example.com").await;
    app.advance_clock(chrono::TimeDelta::minutes(15));
    app.login("new@example.com", "a guest's own password").await;
}

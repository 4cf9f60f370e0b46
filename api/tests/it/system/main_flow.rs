//! The journey of a user, end to end.

use chrono::TimeDelta;
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::json;

use crate::{
    accounts::pictures::png,
    support::test_app::{PASSWORD, TestApp},
};

/// Registers an account with every field and checks that its picture is served.
async fn register_with_picture(app: &TestApp) {
    let form = Form::new()
        .text("email", "Ada@Example.com")
        .text("username", "Ada Lovelace")
        .text("password", PASSWORD)
        .text("phoneNumber", "+20 100 123 4567")
        .text("dateBirth", "1990-02-28")
        .text("gender", "female")
        .part("image", Part::bytes(png(40, 30)).file_name("me.png"));
    let registered = app
        .send(app.request(Method::POST, "/api/register/").multipart(form))
        .await;
    assert_eq!(registered.status, 201, "{registered:?}");
    assert_eq!(registered.text("/phoneNumber"), "+201001234567");
    assert_eq!(registered.body["is_activated"], false);
    let picture = app
        .http
        .get(registered.text("/image"))
        .send()
        .await
        .unwrap();
    assert_eq!(picture.status(), 200);
}

/// A user registers with a picture, logs in, changes the profile, resets the password and logs in again.
#[tokio::test]
async fn account_journey_works_from_registration_to_password_reset() {
    let app = TestApp::new().await;
    register_with_picture(&app).await;

    app.try_login("ada@example.com", PASSWORD)
        .await
        .assert_problem(403, "not-activated");
    let welcome = app.mails_to("Ada@Example.com").await;
    assert_eq!(welcome.len(), 1);

    app.activate("ada@example.com").await;
    let tokens = app.login("ada@example.com", PASSWORD).await;
    let refreshed = app.refresh(&tokens.refresh).await;
    let profile = app.get_user(&refreshed.text("/access")).await;
    assert_eq!(profile.text("/email"), "Ada@Example.com");
    assert_eq!(profile.body["is_activated"], true);

    let changed = app
        .patch_user(
            &tokens.access,
            json!({"username": "Countess", "gender": null}),
        )
        .await;
    assert_eq!(changed.text("/username"), "Countess");
    assert!(changed.body["gender"].is_null());

    app.advance_clock(TimeDelta::seconds(1));
    let (token, code) = app.request_reset("Ada@Example.com").await;
    let checked = app.check_otp(&token, &code).await;
    assert_eq!(
        (checked.status.as_u16(), checked.text("/message").as_str()),
        (200, "OTP is valid.")
    );
    let reset = app.reset_password(&token, "another quiet morning").await;
    assert_eq!(reset.status, 200, "{reset:?}");
    assert_eq!(
        reset.text("/message"),
        "The Password has been reset successfully."
    );

    app.get_user(&tokens.access)
        .await
        .assert_problem(401, "not-authenticated");
    app.try_login("ada@example.com", PASSWORD)
        .await
        .assert_problem(401, "invalid-credentials");
    let again = app.login("ada@example.com", "another quiet morning").await;
    assert_eq!(
        app.get_user(&again.access).await.text("/username"),
        "Countess"
    );

    let subjects: Vec<_> = app
        .mails_to("Ada@Example.com")
        .await
        .into_iter()
        .map(|mail| mail.subject)
        .collect();
    assert_eq!(subjects.len(), 3, "{subjects:?}");
    assert!(subjects[2].contains("password"), "{subjects:?}");
}

//! `GET` and `PATCH /api/user/`

use reqwest::Method;
use serde_json::json;

use crate::{
    accounts::pictures::{data_url, png},
    support::test_app::{PASSWORD, TestApp},
};

/// A user reads in the profile what the registration contained.
#[tokio::test]
async fn profile_returns_registered_values() {
    let app = TestApp::new().await;
    let form = json!({
        "email": "full@example.com", "username": "Full Name", "password": PASSWORD, "phoneNumber": "+201001234567",
        "dateBirth": "1990-02-28", "gender": "female",
    });
    assert_eq!(app.post("/api/register/", form).await.status, 201);
    app.activate("full@example.com").await;
    let tokens = app.login("full@example.com", PASSWORD).await;

    assert_eq!(
        app.get_user(&tokens.access).await.body,
        json!({
            "email": "full@example.com", "username": "Full Name", "phoneNumber": "+201001234567", "image": null,
            "dateBirth": "1990-02-28", "gender": "female", "is_activated": true,
        })
    );
}

/// A profile change keeps the fields that it does not name. `null` and blanks clear a field.
#[tokio::test]
async fn profile_patch_changes_only_named_fields() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;

    let all = json!({"phoneNumber": "+201001234567", "dateBirth": "1980-05-05", "gender": "male", "username": "A"});
    let answer = app.patch_user(&tokens.access, all).await;
    assert_eq!(answer.text("/dateBirth"), "1980-05-05");

    for (name, empty) in [
        ("phoneNumber", json!(null)),
        ("dateBirth", json!("")),
        ("gender", json!(" ")),
    ] {
        let answer = app.patch_user(&tokens.access, json!({ name: empty })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body[name].is_null(), "{answer:?}");
        assert_eq!(answer.text("/username"), "A");
    }
    let nothing = app.patch_user(&tokens.access, json!({})).await;
    assert_eq!(
        (nothing.status.as_u16(), nothing.text("/username").as_str()),
        (200, "A")
    );
}

/// A user can send the own email again, which the original rejected (F1), but no email of another account.
#[tokio::test]
async fn profile_email_change_to_taken_email_returns_409() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    app.register("taken@example.com").await;

    for own in ["ada@example.com", "ADA@example.com"] {
        let answer = app.patch_user(&tokens.access, json!({"email": own})).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text("/email").as_str()),
            (200, own)
        );
    }
    let answer = app
        .patch_user(&tokens.access, json!({"email": "Taken@Example.com"}))
        .await;
    answer.assert_problem(409, "email-taken");
    assert_eq!(
        app.get_user(&tokens.access).await.text("/email"),
        "ADA@example.com"
    );
}

/// After an email change, the owner logs in with the new email.
#[tokio::test]
async fn login_after_email_change_requires_new_email() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("old@example.com").await;

    assert_eq!(
        app.patch_user(&tokens.access, json!({"email": "new@example.com"}))
            .await
            .status,
        200
    );

    app.try_login("old@example.com", PASSWORD)
        .await
        .assert_problem(401, "invalid-credentials");
    app.login("new@example.com", PASSWORD).await;
}

/// A1: Users cannot change permissions, ids or passwords through the profile. The original let them (S2, S3).
#[tokio::test]
async fn profile_patch_ignores_protected_fields() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let before = app.user("ada@example.com").await;

    let protected = json!({
        "is_activated": false, "is_staff": true, "is_superuser": true, "is_active": false, "id": 1_000,
        "password": "New-Passw0rd", "password_hash": "x", "foo": "bar",
    });
    let answer = app.patch_user(&tokens.access, protected).await;

    assert_eq!(answer.status, 200);
    assert_eq!(app.user("ada@example.com").await, before);
    app.login("ada@example.com", PASSWORD).await;
}

/// A password of the wrong type is rejected, also where it is not needed.
#[tokio::test]
async fn profile_patch_password_of_wrong_type_returns_400() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    for password in [json!(true), json!(["x"]), json!({})] {
        let answer = app
            .patch_user(&tokens.access, json!({"password": password}))
            .await;
        answer.assert_problem(400, "invalid-input");
    }
}

/// A picture that was replaced, cleared or rejected leaves no file behind.
#[tokio::test]
async fn picture_replaced_or_cleared_leaves_no_file() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;

    let first = app
        .patch_user(&tokens.access, json!({"image": data_url(&png(5, 5))}))
        .await;
    let form = reqwest::multipart::Form::new().part(
        "image",
        reqwest::multipart::Part::bytes(png(6, 6)).file_name("../../evil.html"),
    );
    let request = app
        .request(Method::PATCH, "/api/user/")
        .bearer_auth(&tokens.access)
        .multipart(form);
    let second = app.send(request).await;

    assert_ne!(first.text("/image"), second.text("/image"));
    assert!(
        std::path::Path::new(&second.text("/image"))
            .extension()
            .is_some_and(|extension| extension == "jpg"),
        "{second:?}"
    );
    assert_eq!(app.pictures().len(), 1);
    assert_eq!(
        app.http
            .get(first.text("/image"))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    assert_eq!(
        app.http
            .get(second.text("/image"))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );

    let refused = app
        .patch_user(
            &tokens.access,
            json!({"image": data_url(&png(7, 7)), "username": ""}),
        )
        .await;
    refused.assert_problem(400, "invalid-input");
    assert_eq!(app.pictures().len(), 1);
    app.register("taken@example.com").await;
    let refused = json!({"image": data_url(&png(7, 7)), "email": "taken@example.com"});
    app.patch_user(&tokens.access, refused)
        .await
        .assert_problem(409, "email-taken");
    assert_eq!(app.pictures().len(), 1);

    let cleared = app.patch_user(&tokens.access, json!({"image": null})).await;
    assert!(cleared.body["image"].is_null());
    assert!(app.pictures().is_empty());
}

/// The old email is notified of an email change, and codes sent to it become void.
#[tokio::test]
async fn email_change_notifies_old_email_and_voids_code() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    let changed = |email: &'static str| app.patch_user(&tokens.access, json!({"email": email}));
    let notices = async |email: &str| {
        let mails = app.mails_to(email).await;
        let notices = mails
            .iter()
            .filter(|it| it.subject.contains("email of your"));
        notices.count()
    };

    assert_eq!(changed("Ada@example.com").await.status, 200);
    assert_eq!(
        notices("ada@example.com").await,
        0,
        "the mailbox is the same"
    );
    assert_eq!(changed("thief@example.com").await.status, 200);

    assert_eq!(notices("Ada@example.com").await, 1);
    assert_eq!(notices("thief@example.com").await, 0);
    let answer = app.check_otp(&token, &code).await;
    answer.assert_problem(400, "invalid-otp");
}

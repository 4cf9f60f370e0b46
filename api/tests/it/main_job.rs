//! The main job, end to end.

use chrono::TimeDelta;
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::json;

use crate::{
    pictures::png,
    world::{PASSWORD, World},
};

#[tokio::test]
async fn register_with_a_picture_log_in_change_the_profile_forget_the_password_and_log_in_again() {
    let world = World::new().await;

    let form = Form::new()
        .text("email", "Ada@Example.com")
        .text("username", "Ada Lovelace")
        .text("password", PASSWORD)
        .text("phoneNumber", "+20 100 123 4567")
        .text("dateBirth", "1990-02-28")
        .text("gender", "female")
        .part("image", Part::bytes(png(40, 30)).file_name("me.png"));
    let registered = world
        .send(
            world
                .request(Method::POST, "/api/register/")
                .multipart(form),
        )
        .await;
    assert_eq!(registered.status, 201, "{registered:?}");
    assert_eq!(registered.text("/phoneNumber"), "+201001234567");
    assert_eq!(registered.body["is_activated"], false);
    let picture = world
        .http
        .get(registered.text("/image"))
        .send()
        .await
        .unwrap();
    assert_eq!(picture.status(), 200);

    world
        .try_login("ada@example.com", PASSWORD)
        .await
        .is_problem(403, "not-activated");
    let welcome = world.mails_to("Ada@Example.com").await;
    assert_eq!(welcome.len(), 1);

    world.activate("ada@example.com").await;
    let tokens = world.login("ada@example.com", PASSWORD).await;
    let refreshed = world
        .post("/auth/refresh/", json!({"refresh": tokens.refresh}))
        .await;
    let profile = world.get_user(&refreshed.text("/access")).await;
    assert_eq!(profile.text("/email"), "Ada@Example.com");
    assert_eq!(profile.body["is_activated"], true);

    let changed = world
        .patch_user(
            &tokens.access,
            json!({"username": "Countess", "gender": null}),
        )
        .await;
    assert_eq!(changed.text("/username"), "Countess");
    assert!(changed.body["gender"].is_null());

    world.pass(TimeDelta::seconds(1));
    let (token, code) = world.forgotten("Ada@Example.com").await;
    let checked = world.check(&token, &code).await;
    assert_eq!(
        (checked.status.as_u16(), checked.text("/message").as_str()),
        (200, "OTP is valid.")
    );
    let reset = world.reset(&token, "another quiet morning").await;
    assert_eq!(reset.status, 200, "{reset:?}");
    assert_eq!(
        reset.text("/message"),
        "The Password has been reset successfully."
    );

    world
        .get_user(&tokens.access)
        .await
        .is_problem(401, "not-authenticated");
    world
        .try_login("ada@example.com", PASSWORD)
        .await
        .is_problem(401, "invalid-credentials");
    let again = world
        .login("ada@example.com", "another quiet morning")
        .await;
    assert_eq!(
        world.get_user(&again.access).await.text("/username"),
        "Countess"
    );

    let subjects: Vec<_> = world
        .mails_to("Ada@Example.com")
        .await
        .into_iter()
        .map(|mail| mail.subject)
        .collect();
    assert_eq!(subjects.len(), 3, "{subjects:?}");
    assert!(subjects[2].contains("password"), "{subjects:?}");
}

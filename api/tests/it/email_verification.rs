//! When an account's address counts as proved by its owner (M3).

use chrono::TimeDelta;
use latchkey_shared::models::user;
use reqwest::{Method, multipart};
use serde_json::json;

use crate::{
    dashboard::Dashboard,
    world::{PASSWORD, World, code_in},
};

const EMAIL: &str = "ada@example.com";
const NEW: &str = "another quiet morning";

/// An account whose owner has proved its address by a reset.
async fn verified(world: &World) -> user::Model {
    world.register(EMAIL).await;
    world.activate(EMAIL).await;
    let (token, code) = world.forgotten(EMAIL).await;
    assert_eq!(world.check(&token, &code).await.status, 200);
    assert_eq!(world.user(EMAIL).await.email_verified_at, None);
    assert_eq!(world.reset(&token, NEW).await.status, 200);
    let user = world.user(EMAIL).await;
    assert_eq!(user.email_verified_at, Some(world.clock.now()));
    user
}

/// Checks that the account of the last changes has an address that nobody has proved, and that one statement wrote both.
async fn is_unverified_since_now(world: &World, email: &str) {
    let user = world.user(email).await;
    assert_eq!(user.email_verified_at, None, "{email}");
    assert_eq!(user.email_set_at, Some(world.clock.now()), "{email}");
    let statements = world.statements.take();
    let of_address = |sql: &&String| sql.starts_with("UPDATE") && sql.contains("\"email\" =");
    let changes: Vec<_> = statements.iter().filter(of_address).collect();
    assert_eq!(changes.len(), 1, "{statements:#?}");
    assert!(
        changes[0].contains("\"email_verified_at\" ="),
        "{changes:?}"
    );
}

#[tokio::test]
async fn password_reset_verifies_the_address() {
    let world = World::new().await;
    let user = verified(&world).await;
    assert_eq!(user.email_set_at, None);
    world.pass(TimeDelta::hours(1));
    let access = world.login(EMAIL, NEW).await.access;
    let profile = world.get_user(&access).await;
    assert!(!profile.body.to_string().contains("erified"), "{profile:?}");
}

#[tokio::test]
async fn activation_by_its_owner_verifies_the_address() {
    let world = World::with(&[("ACTIVATION", "email")]).await;
    let token = world.register(EMAIL).await.text("/activation_token");
    let code = code_in(&world.mails_to(EMAIL).await[0]);
    assert_eq!(world.user(EMAIL).await.email_verified_at, None);
    world.pass(TimeDelta::minutes(1));
    let body = json!({"token": token, "otp": code});
    assert_eq!(world.post("/auth/activate/", body).await.status, 200);
    let user = world.user(EMAIL).await;
    assert_eq!(user.email_verified_at, Some(world.clock.now()));
}

#[tokio::test]
async fn activation_by_staff_verifies_no_address() {
    let world = World::with(&[("ACTIVATION", "email")]).await;
    world.somebody(EMAIL).await;
    assert_eq!(world.user(EMAIL).await.email_verified_at, None);
}

#[tokio::test]
async fn change_of_the_address_by_its_owner_ends_its_verification() {
    let world = World::new().await;
    let user = verified(&world).await;
    let access = world.login(EMAIL, NEW).await.access;
    world.pass(TimeDelta::seconds(1));
    for same in [
        json!({"email": "ADA@Example.com", "username": "Countess"}),
        json!({"username": "Ada"}),
    ] {
        assert_eq!(world.patch_user(&access, same).await.status, 200);
        let now = world.user(EMAIL).await;
        assert_eq!(now.email_verified_at, user.email_verified_at);
        assert_eq!(now.email_set_at, None);
    }
    world.statements.take();
    let change = json!({"email": "ada+1@example.com"});
    assert_eq!(world.patch_user(&access, change).await.status, 200);
    is_unverified_since_now(&world, "ada+1@example.com").await;
    // Nor does the way back prove anything.
    world.pass(TimeDelta::seconds(1));
    let back = json!({"email": EMAIL});
    assert_eq!(world.patch_user(&access, back).await.status, 200);
    is_unverified_since_now(&world, EMAIL).await;
}

#[tokio::test]
async fn change_of_the_address_by_staff_ends_its_verification() {
    let world = World::new().await;
    let user = verified(&world).await;
    world.superuser("root@example.com").await;
    let access = world.login("root@example.com", PASSWORD).await.access;
    let root = Dashboard::of(&world, "root@example.com").await;
    world.pass(TimeDelta::seconds(1));
    let save = async |email: &str, username: &str| {
        let version = world.user(EMAIL).await.version.to_string();
        let form = multipart::Form::new()
            .text("csrf", root.csrf.clone())
            .text("version", version)
            .text("email", email.to_owned())
            .text("username", username.to_owned())
            .text("is_activated", "on")
            .text("is_active", "on");
        let path = format!("/admin/users/{}/", user.id);
        let page = root.send(root.request(&path).multipart(form)).await;
        assert_eq!(page.status, 303, "{page:?}");
    };
    save(EMAIL, "Countess").await;
    let now = world.user(EMAIL).await;
    assert_eq!(now.email_verified_at, user.email_verified_at);

    world.statements.take();
    save("countess@example.com", "Countess").await;
    is_unverified_since_now(&world, "countess@example.com").await;

    world.deliver_all().await;
    let (token, code) = world.forgotten("countess@example.com").await;
    assert_eq!(world.check(&token, &code).await.status, 200);
    assert_eq!(world.reset(&token, PASSWORD).await.status, 200);
    assert!(
        world
            .user("countess@example.com")
            .await
            .email_verified_at
            .is_some()
    );
    world.statements.take();
    let path = format!("/api/admin/users/{}/", user.id);
    let change = world.request(Method::PATCH, &path).bearer_auth(&access);
    let change = change.json(&json!({"email": "lovelace@example.com"}));
    assert_eq!(world.send(change).await.status, 200);
    is_unverified_since_now(&world, "lovelace@example.com").await;
}

//! The pages of the dashboard.

mod access;
pub(crate) mod api_tokens;
mod audit_log;
mod branding;
mod browser;
mod bulk_actions;
mod forgot_password;
mod lockouts;
mod mails;
mod new_user;
mod overview;
mod password_resets;
mod roles;
mod second_factor;
mod sign_in;
mod user_list;
mod user_page;

use latchkey_shared::models::mail;

use crate::support::test_app::{PASSWORD, TestApp};

/// The target of a pager's link with this `rel`.
fn pager_link(html: &str, rel: &str) -> Option<String> {
    let (_, rest) = html.split_once(&format!("rel=\"{rel}\" href=\""))?;
    Some(unescape(rest.split('"').next().unwrap()))
}

/// An attribute's value with its HTML escapes of `&` decoded.
fn unescape(html: &str) -> String {
    html.replace("&amp;", "&").replace("&#38;", "&")
}

/// The text between each occurrence of `prefix` and the next quotation mark.
fn attribute_values(html: &str, prefix: &str) -> Vec<String> {
    html.split(prefix)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// Runs a Redis command, such as `["DEL", key]`.
async fn redis_command<T: redis::FromRedisValue>(app: &TestApp, command: &[&str]) -> T {
    let mut redis = app.redis.connection();
    let mut request = redis::cmd(command[0]);
    request.arg(&command[1..]);
    request.query_async(&mut redis).await.unwrap()
}

async fn newest_mail(app: &TestApp) -> mail::Model {
    let mut mails = mail::list(&app.database.db, None, 1).await.unwrap();
    mails.remove(0)
}

/// An application with a superuser and `count` users that differ in name, gender and activation.
async fn app_with_users(count: usize) -> TestApp {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    for i in 0..count {
        let email = format!("user{i}@example.com");
        let username = ["Ada Lovelace", "grace hopper", "عمر منصور", "ÉMILE_ZOLA"][i % 4];
        let gender = ["male", "female", ""][i % 3];
        let body = serde_json::json!({
            "email": email,
            "username": username,
            "password": PASSWORD,
            "phoneNumber": format!("+2010012345{i:02}"),
            "gender": gender,
        });
        assert_eq!(app.post("/api/register/", body).await.status, 201);
        if i % 2 == 0 {
            app.activate(&email).await;
            app.login(&email, PASSWORD).await;
            app.advance_clock(chrono::TimeDelta::seconds(1));
        }
    }
    app
}

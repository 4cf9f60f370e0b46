//! The list of users: search, filters, order and paging.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::json;

use super::{assert_invalid_parameter, get, logged_in_staff};
use crate::support::test_app::{ApiResponse, PASSWORD, TestApp};

/// The emails of a list of users.
fn emails(response: &ApiResponse) -> Vec<String> {
    assert_eq!(response.status, 200, "{response:?}");
    let users = response.body["users"].as_array().unwrap().iter();
    users
        .map(|user| user["email"].as_str().unwrap().to_owned())
        .collect()
}

/// Clients can page through every user once, in both directions and in each order.
#[tokio::test]
async fn user_list_pages_both_ways_in_every_order() {
    let app = TestApp::new().await;
    let staff = logged_in_staff(&app, "clerk@example.com", "view_users").await;
    for number in 0..30 {
        let email = format!("{}{number}@example.com", ["a", "B", "ç"][number % 3]);
        // Some names differ only in case.
        let name = ["ada", "Ada", "ADA", "Bob", "_", "Çelik"][number % 6];
        let form = json!({"email": email, "username": name, "password": PASSWORD});
        let response = app.post("/api/register/", form).await;
        let email = if response.status == 201 {
            email
        } else {
            let email = format!("c{number}@example.com");
            app.register(&email).await;
            email
        };
        if number % 4 == 0 {
            app.activate(&email).await;
            app.advance_clock(TimeDelta::seconds(i64::from(number % 8 != 0)));
            app.login(&email, PASSWORD).await;
        }
    }
    for by in ["joined", "email", "name", "last_login"] {
        let mut orders = Vec::new();
        for sort in [by.to_owned(), format!("-{by}")] {
            let list = format!("/api/admin/users/?sort={sort}");
            let all = emails(&get(&app, &staff, &format!("{list}&limit=500")).await);
            assert_eq!(all.len(), 31);
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 31, "{all:?}");

            let mut page = get(&app, &staff, &format!("{list}&limit=7")).await;
            assert!(page.body["before"].is_null());
            let mut forwards = emails(&page);
            while let Some(cursor) = page.body["after"].as_str() {
                page = get(&app, &staff, &format!("{list}&limit=7&after={cursor}")).await;
                forwards.extend(emails(&page));
            }
            assert_eq!(forwards, all, "{sort}");

            let mut backwards = emails(&page);
            while let Some(cursor) = page.body["before"].as_str() {
                page = get(&app, &staff, &format!("{list}&limit=7&before={cursor}")).await;
                backwards.splice(0..0, emails(&page));
            }
            assert_eq!(backwards, all, "{sort}");
            orders.push(all);
        }
        orders[1].reverse();
        assert_eq!(orders[0], orders[1], "{by}");
    }
}

/// Administrators find users by name, email, phone number and state.
#[tokio::test]
async fn user_list_search_and_filters_return_matches() {
    let app = TestApp::new().await;
    app.create_staff("clerk@example.com", "view_users").await;
    app.advance_clock(TimeDelta::days(3));
    for (email, name, gender) in [
        ("ada@example.com", "Ada Lovelace", "female"),
        ("charles@example.com", "Charles Babbage", "male"),
        ("100%_@example.com", "Per@Cent Çelik@Home", ""),
    ] {
        let form = json!({
            "email": email, "username": name, "password": PASSWORD, "gender": gender, "phoneNumber": "+201001234567",
        });
        assert_eq!(app.post("/api/register/", form).await.status, 201);
    }
    app.activate("ada@example.com").await;
    app.deactivate("charles@example.com").await;
    // The access token from three days ago has expired.
    let clerk = app.login("clerk@example.com", PASSWORD).await;

    let (ada, charles) = ("ada@example.com", "charles@example.com");
    let (clerk_email, cent) = ("clerk@example.com", "100%_@example.com");
    for (query, found) in [
        ("q=LOVE", vec![ada]),
        ("q=ada lace", vec![ada]),
        ("q=love babbage", vec![]),
        ("q=%2B2010", vec![ada, charles, cent]),
        ("q=0%25_", vec![cent]),
        ("q=%25_@", vec![cent]),
        ("q=ADA@Example", vec![ada]),
        ("q=rles@example.c", vec![charles]),
        ("q=ada@elsewhere", vec![]),
        ("q=Per@c", vec![cent]),
        ("q=Çelik@Ho", vec![cent]),
        ("q=00%25_@ex per", vec![cent]),
        ("q=10", vec![cent]),
        ("q=%00", vec![clerk_email, ada, charles, cent]),
        ("q=' OR 1=1 --", vec![]),
        ("activated=true", vec![clerk_email, ada]),
        ("activated=false&active=true", vec![cent]),
        ("active=false", vec![charles]),
        ("staff=true", vec![clerk_email]),
        ("staff=false", vec![ada, charles, cent]),
        ("gender=male", vec![charles]),
        ("gender=female", vec![ada]),
        ("gender=none", vec![clerk_email, cent]),
        ("joined_days=1", vec![ada, charles, cent]),
        ("joined_days=4", vec![clerk_email, ada, charles, cent]),
        ("q=example&gender=male&active=true", vec![]),
    ] {
        let response = get(
            &app,
            &clerk,
            &format!("/api/admin/users/?sort=joined&{query}"),
        )
        .await;
        assert_eq!(emails(&response), found, "{query}");
    }
}

/// Clients learn which parameter of the list is invalid.
#[tokio::test]
async fn user_list_invalid_parameter_returns_400() {
    let app = TestApp::new().await;
    let clerk = logged_in_staff(&app, "clerk@example.com", "view_users").await;
    for parameter in [
        "activated=maybe",
        "active=",
        "staff=1",
        "gender=x",
        "joined_days=0",
        "joined_days=-1",
        "joined_days=99999",
        "sort=password",
        "sort=",
        "limit=0",
        "limit=501",
        "limit=x",
        "after=x",
        "after=1.AA",
        "before=x",
    ] {
        assert_invalid_parameter(&app, &clerk, "users", parameter).await;
    }
}

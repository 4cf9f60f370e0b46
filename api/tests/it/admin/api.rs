//! The calls under `/api/admin/`: who may, what is done, and what is told.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use latchkey_api::server::calls::description;
use latchkey_shared::models::{audit, password_reset, session, user::staff::has_superuser};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    admin::audit_log::{execute, without_triggers},
    support::test_app::{ApiResponse, PASSWORD, TestApp, Tokens},
};

const RIGHTS: [&str; 5] = [
    "view_users",
    "change_users",
    "delete_users",
    "mails",
    "audit",
];

/// Somebody of the staff with these rights, who is logged in.
async fn staff(app: &TestApp, email: &str, permissions: &str) -> Tokens {
    app.create_staff(email, permissions).await;
    app.login(email, PASSWORD).await
}

/// Somebody who may do everything, and is logged in.
async fn superuser(app: &TestApp, email: &str) -> Tokens {
    app.create_superuser(email).await;
    app.login(email, PASSWORD).await
}

async fn send(app: &TestApp, who: &Tokens, method: Method, path: &str, body: Value) -> ApiResponse {
    let mut request = app.request(method, path).bearer_auth(&who.access);
    if !body.is_null() {
        request = request.json(&body);
    }
    app.send(request).await
}

async fn get(app: &TestApp, who: &Tokens, path: &str) -> ApiResponse {
    send(app, who, Method::GET, path, Value::Null).await
}

async fn post(app: &TestApp, who: &Tokens, path: &str, body: Value) -> ApiResponse {
    send(app, who, Method::POST, path, body).await
}

async fn patch(app: &TestApp, who: &Tokens, id: i64, body: Value) -> ApiResponse {
    let path = format!("/api/admin/users/{id}/");
    send(app, who, Method::PATCH, &path, body).await
}

async fn delete(app: &TestApp, who: &Tokens, id: i64) -> ApiResponse {
    let path = format!("/api/admin/users/{id}/");
    send(app, who, Method::DELETE, &path, Value::Null).await
}

async fn act(app: &TestApp, who: &Tokens, id: i64, act: &str) -> ApiResponse {
    let path = format!("/api/admin/users/{id}/{act}/");
    post(app, who, &path, Value::Null).await
}

/// What administrators did, the oldest first.
async fn admin_events(app: &TestApp) -> Vec<audit::Model> {
    let filter = audit::Filter {
        event: Some("authz_admin".to_owned()),
        ..audit::Filter::default()
    };
    let mut events = audit::list(&app.database.db, filter, 1_000).await.unwrap();
    events.reverse();
    events
}

fn emails(answer: &ApiResponse) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let users = answer.body["users"].as_array().unwrap().iter();
    users
        .map(|user| user["email"].as_str().unwrap().to_owned())
        .collect()
}

/// All calls: method, path in the document, body, right. What deletes is last.
#[rustfmt::skip]
fn calls(id: i64) -> Vec<(Method, &'static str, Value, &'static str)> {
    vec![
        (Method::GET, "/api/admin/users/", Value::Null, "view_users"),
        (Method::GET, "/api/admin/users/{id}/", Value::Null, "view_users"),
        (Method::GET, "/api/admin/users/{id}/sessions/", Value::Null, "view_users"),
        (Method::GET, "/api/admin/resets/", Value::Null, "view_users"),
        (Method::GET, "/api/admin/limits/", Value::Null, "view_users"),
        (Method::GET, "/api/admin/mails/", Value::Null, "mails"),
        (Method::GET, "/api/admin/mails/{mail}/", Value::Null, "mails"),
        (Method::GET, "/api/admin/audit/", Value::Null, "audit"),
        (Method::POST, "/api/admin/audit/verify/", Value::Null, "audit"),
        (Method::POST, "/api/admin/mails/{mail}/retry/", Value::Null, "mails"),
        (Method::POST, "/api/admin/mails/{mail}/cancel/", Value::Null, "mails"),
        (Method::POST, "/api/admin/limits/release/", json!({"name": "login:ip:192.0.2.7"}), "change_users"),
        (Method::PATCH, "/api/admin/users/{id}/", json!({"username": "Countess"}), "change_users"),
        (Method::POST, "/api/admin/users/{id}/activate/", Value::Null, "change_users"),
        (Method::POST, "/api/admin/users/{id}/sign_out/", Value::Null, "change_users"),
        (Method::POST, "/api/admin/users/{id}/request_password_reset/", Value::Null, "change_users"),
        (Method::DELETE, "/api/admin/users/{id}/sessions/{session}/", Value::Null, "change_users"),
        (Method::POST, "/api/admin/users/{id}/deactivate/", Value::Null, "change_users"),
        (Method::POST, "/api/admin/users/bulk/", json!({"act": "activate", "ids": [id]}), "change_users"),
        (Method::POST, "/api/admin/users/bulk/", json!({"act": "sign_out", "ids": [id]}), "change_users"),
        (Method::POST, "/api/admin/users/bulk/", json!({"act": "deactivate", "ids": [id]}), "change_users"),
        (Method::POST, "/api/admin/users/bulk/", json!({"act": "delete", "ids": [id]}), "delete_users"),
        (Method::DELETE, "/api/admin/users/{id}/", Value::Null, "delete_users"),
    ]
}

#[tokio::test]
async fn each_call_needs_its_right_and_no_other() {
    let app = TestApp::new().await;
    app.logged_in_user("target@example.com").await;
    let id = app.user("target@example.com").await.id;
    let plain = app.logged_in_user("ada@example.com").await;
    let useless = staff(&app, "useless@example.com", "").await;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for right in RIGHTS {
        with.push(staff(&app, &format!("{right}@example.com"), right).await);
        // Whoever may change may see.
        let others = RIGHTS.into_iter().filter(|other| {
            *other != right
                && (right != "view_users" || !matches!(*other, "change_users" | "delete_users"))
        });
        let others = others.collect::<Vec<_>>().join(",");
        without.push(staff(&app, &format!("not-{right}@example.com"), &others).await);
    }
    let mail = latchkey_shared::models::mail::list(&app.database.db, None, 1)
        .await
        .unwrap()
        .remove(0);
    let mut seen = BTreeSet::new();
    for (method, path, body, right) in calls(id) {
        seen.insert(format!("{method} {}", path.replace("{mail}", "{id}")));
        let told = format!("{method} {path} {body}");
        let path = path
            .replace("{id}", &id.to_string())
            .replace("{mail}", &mail.id.to_string())
            .replace("{session}", "01a205c8-c0f2-7444-8493-ea6c37634b32");
        let request = app.request(method.clone(), &path).json(&body);
        app.send(request)
            .await
            .assert_problem(401, "not-authenticated");
        let place = RIGHTS.iter().position(|other| *other == right).unwrap();
        for nobody in [&plain, &useless, &without[place]] {
            let answer = send(&app, nobody, method.clone(), &path, body.clone()).await;
            answer.assert_problem(403, "not-permitted");
        }
        let answer = send(&app, &with[place], method, &path, body).await;
        assert!(
            [200, 204, 404, 409].contains(&answer.status.as_u16()),
            "{told}: {answer:?}"
        );
    }

    let mut documented = BTreeSet::new();
    for (path, methods) in description().document()["paths"].as_object().unwrap() {
        for (method, call) in methods.as_object().unwrap() {
            if path.starts_with("/api/admin/") {
                assert_eq!(call["security"], json!([{"bearerAuth": []}]), "{path}");
                documented.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    assert_eq!(seen, documented);
}

#[tokio::test]
async fn a_right_counts_for_accounts_that_are_activated_and_open() {
    let app = TestApp::new().await;
    let staff = staff(&app, "staff@example.com", "view_users").await;
    assert_eq!(get(&app, &staff, "/api/admin/users/").await.status, 200);
    execute(&app, "UPDATE users SET is_activated = FALSE")
        .await
        .unwrap();
    let answer = get(&app, &staff, "/api/admin/users/").await;
    answer.assert_problem(403, "not-activated");
    app.activate("staff@example.com").await;
    execute(&app, "UPDATE users SET is_staff = FALSE")
        .await
        .unwrap();
    let answer = get(&app, &staff, "/api/admin/users/").await;
    answer.assert_problem(403, "not-permitted");
    app.deactivate("staff@example.com").await;
    let answer = get(&app, &staff, "/api/admin/users/").await;
    answer.assert_problem(401, "not-authenticated");
}

#[tokio::test]
async fn staff_touch_no_staff_and_raise_nobody() {
    let app = TestApp::new().await;
    let clerk = staff(&app, "clerk@example.com", "change_users,delete_users").await;
    staff(&app, "other@example.com", "audit").await;
    superuser(&app, "root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    let ada = app.user("ada@example.com").await;
    let before = [
        ada.clone(),
        app.user("other@example.com").await,
        app.user("root@example.com").await,
    ];

    for user in &before[1..] {
        let answers = [
            patch(&app, &clerk, user.id, json!({"username": "Eve"})).await,
            patch(&app, &clerk, user.id, json!({"email": "eve@example.com"})).await,
            act(&app, &clerk, user.id, "activate").await,
            act(&app, &clerk, user.id, "deactivate").await,
            act(&app, &clerk, user.id, "sign_out").await,
            act(&app, &clerk, user.id, "request_password_reset").await,
            delete(&app, &clerk, user.id).await,
        ];
        for answer in answers {
            answer.assert_problem(403, "not-permitted");
        }
        for what in ["activate", "deactivate", "sign_out", "delete"] {
            let body = json!({"act": what, "ids": [ada.id, user.id]});
            let answer = post(&app, &clerk, "/api/admin/users/bulk/", body).await;
            answer.assert_problem(403, "not-permitted");
        }
    }
    for raise in [
        json!({"is_staff": true}),
        json!({"is_superuser": true}),
        json!({"permissions": ["audit"]}),
    ] {
        let answer = patch(&app, &clerk, ada.id, raise).await;
        answer.assert_problem(403, "not-permitted");
    }

    let after = [
        app.user("ada@example.com").await,
        app.user("other@example.com").await,
        app.user("root@example.com").await,
    ];
    assert_eq!(after, before);
    assert!(admin_events(&app).await.is_empty());
}

#[tokio::test]
async fn nobody_shuts_deletes_or_raises_their_own_account() {
    let app = TestApp::new().await;
    let root = superuser(&app, "root@example.com").await;
    let me = app.user("root@example.com").await;
    for change in [
        json!({"is_active": false}),
        json!({"is_staff": false}),
        json!({"is_superuser": false}),
        json!({"permissions": "audit"}),
    ] {
        let answer = patch(&app, &root, me.id, change).await;
        answer.assert_problem(409, "own-account");
    }
    let many = |what: &str| json!({"act": what, "ids": [me.id]});
    for answer in [
        act(&app, &root, me.id, "deactivate").await,
        delete(&app, &root, me.id).await,
        post(&app, &root, "/api/admin/users/bulk/", many("deactivate")).await,
        post(&app, &root, "/api/admin/users/bulk/", many("delete")).await,
    ] {
        answer.assert_problem(409, "own-account");
    }
    assert_eq!(app.user("root@example.com").await, me);
    let answer = patch(&app, &root, me.id, json!({"username": "Root"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn of_two_superusers_who_remove_each_other_one_stays() {
    for _ in 0..3 {
        let app = TestApp::new().await;
        let (a, b) = (
            superuser(&app, "a@example.com").await,
            superuser(&app, "b@example.com").await,
        );
        let ids = [
            app.user("a@example.com").await.id,
            app.user("b@example.com").await.id,
        ];
        let demotion = json!({"is_superuser": false});
        let answers = tokio::join!(
            delete(&app, &a, ids[1]),
            act(&app, &b, ids[0], "deactivate"),
            patch(&app, &b, ids[0], demotion)
        );
        let has_superuser = has_superuser(&app.database.db).await.unwrap();
        assert!(has_superuser, "{answers:?}");
        for answer in [answers.0, answers.1, answers.2] {
            match answer.status.as_u16() {
                200 | 204 | 401 | 403 | 404 => {}
                _ => assert_eq!(answer.status, 409, "{answer:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_change_of_an_old_version_changes_nothing() {
    let app = TestApp::new().await;
    let root = superuser(&app, "root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    let ada = app.user("ada@example.com").await;

    let change = json!({"username": "Countess", "version": ada.version});
    let answer = patch(&app, &root, ada.id, change.clone()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.text("/username"), "Countess");
    assert_eq!(answer.body["version"], ada.version + 1);

    let stored = app.user("ada@example.com").await;
    for version in [ada.version, ada.version + 7] {
        let change = json!({"username": "Eve", "is_active": false, "version": version});
        let answer = patch(&app, &root, ada.id, change).await;
        answer.assert_problem(409, "edit-conflict");
    }
    assert_eq!(app.user("ada@example.com").await, stored);

    let answer = patch(&app, &root, ada.id, json!({"username": "Lovelace"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(admin_events(&app).await.len(), 2);
}

#[tokio::test]
async fn a_change_takes_every_field_and_names_every_bad_one() {
    let app = TestApp::new().await;
    let root = superuser(&app, "root@example.com").await;
    app.register("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;

    let change = json!({
        "email": "lovelace@example.com", "username": "Countess", "phoneNumber": "+20 100 123 4567",
        "dateBirth": "1990-02-28", "gender": "female", "image": null, "is_activated": true, "is_active": true,
        "is_staff": true, "is_superuser": false, "permissions": ["audit", "change_users"], "version": 0,
    });
    let answer = patch(&app, &root, id, change).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let read = get(&app, &root, &format!("/api/admin/users/{id}/")).await;
    assert_eq!(answer.body, read.body);
    let mut told = read.body;
    assert!(told["created"].is_string() && told["last_login"].is_null());
    told.as_object_mut().unwrap().remove("created");
    assert_eq!(
        told,
        json!({
            "id": id, "email": "lovelace@example.com", "username": "Countess", "phoneNumber": "+201001234567",
            "dateBirth": "1990-02-28", "gender": "female", "image": null, "is_activated": true, "is_active": true,
            "pending_email_verification": false, "is_staff": true, "is_superuser": false,
            "permissions": ["view_users", "change_users", "audit"], "last_login": null, "version": 1,
        })
    );

    let form = [("permissions", "mails, audit"), ("is_active", "false")];
    let request = app.request(Method::PATCH, &format!("/api/admin/users/{id}/"));
    let answer = app
        .send(request.bearer_auth(&root.access).form(&form))
        .await;
    assert_eq!(answer.body["permissions"], json!(["mails", "audit"]));
    assert_eq!(answer.body["is_active"], false);
    let answer = patch(&app, &root, id, json!({"permissions": []})).await;
    assert_eq!(answer.body["permissions"], json!([]));

    for (field, value, code) in [
        ("permissions", json!(["audit", "everything"]), "choice"),
        ("permissions", json!(["audit,mails"]), "type"),
        ("permissions", json!(["audit", null]), "type"),
        ("permissions", json!([["audit"]]), "type"),
        ("permissions", json!({"audit": true}), "type"),
        ("permissions", json!(null), "type"),
        ("permissions", json!(true), "type"),
        ("is_active", json!(null), "type"),
        ("is_staff", json!("maybe"), "type"),
        ("is_superuser", json!(1), "type"),
        ("is_activated", json!([true]), "type"),
        ("version", json!("x"), "invalid"),
        ("version", json!(1.5), "invalid"),
        ("version", json!(null), "null"),
        ("username", json!(true), "type"),
        ("username", json!(["Ada"]), "type"),
        ("email", json!("nobody"), "invalid"),
    ] {
        let answer = patch(&app, &root, id, json!({ field: value })).await;
        answer.assert_problem(400, "invalid-input");
        assert_eq!(
            answer.invalid_fields(),
            [(field.to_owned(), code.to_owned())]
        );
    }
    let answer = patch(&app, &root, id, json!({"email": "root@example.com"})).await;
    answer.assert_problem(409, "email-taken");
    for path in ["/api/admin/users/4711/", "/api/admin/users/x/"] {
        get(&app, &root, path)
            .await
            .assert_problem(404, "not-found");
    }
}

#[tokio::test]
async fn whoever_is_let_in_gets_one_mail() {
    let app = TestApp::new().await;
    let clerk = staff(&app, "clerk@example.com", "change_users").await;
    for email in ["a@example.com", "b@example.com", "c@example.com"] {
        app.register(email).await;
    }
    let ids = [
        app.user("a@example.com").await.id,
        app.user("b@example.com").await.id,
        app.user("c@example.com").await.id,
    ];
    for _ in 0..2 {
        let answer = act(&app, &clerk, ids[0], "activate").await;
        assert_eq!(answer.status, 204, "{answer:?}");
        let answer = patch(&app, &clerk, ids[1], json!({"is_activated": true})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let all = json!({"act": "activate", "ids": ids});
    let answer = post(&app, &clerk, "/api/admin/users/bulk/", all).await;
    assert_eq!(answer.body, json!({"done": 1}));
    for email in ["a@example.com", "b@example.com", "c@example.com"] {
        app.try_login(email, PASSWORD).await.text("/token/access");
        let mails = app.mails_to(email).await;
        let activated = mails
            .iter()
            .filter(|mail| mail.subject.ends_with("account is active"));
        assert_eq!(activated.count(), 1, "{email}");
    }
}

#[tokio::test]
async fn each_act_is_noted_with_who_did_it_and_what_was_before_and_after() {
    let app = TestApp::new().await;
    let clerk = staff(&app, "clerk@example.com", "change_users,delete_users").await;
    let auditor = staff(&app, "auditor@example.com", "audit").await;
    app.register("ada@example.com").await;
    let clerk_id = app.user("clerk@example.com").await.id;
    let id = app.user("ada@example.com").await.id;

    act(&app, &clerk, id, "activate").await;
    let change = json!({"username": "Countess", "is_activated": false});
    let changed = patch(&app, &clerk, id, change).await;
    act(&app, &clerk, id, "request_password_reset").await;
    act(&app, &clerk, id, "sign_out").await;
    act(&app, &clerk, id, "deactivate").await;
    delete(&app, &clerk, id).await;

    let path = format!("/api/admin/audit/?event=authz_admin&actor=user {clerk_id}&user={id}");
    let answer = get(&app, &auditor, &path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut events = answer.body["events"].as_array().unwrap().clone();
    events.reverse();
    let details: Vec<_> = events
        .iter()
        .map(|it| it["detail"].as_str().unwrap())
        .collect();
    assert_eq!(
        details,
        [
            "activated",
            "changed",
            "password reset requested",
            "all sessions ended",
            "deactivated",
            "deleted"
        ]
    );
    assert_eq!(events[0]["changes"], "is_activated: false → true");
    let lines = events[1]["changes"].as_str().unwrap();
    assert!(
        lines.starts_with("is_activated: true → false\nusername: "),
        "{lines}"
    );
    assert!(!lines.contains("Countess"), "{lines}");
    assert_eq!(events[4]["changes"], "is_active: true → false");
    assert_eq!(
        events[1]["request"],
        changed.headers["x-request-id"].to_str().unwrap()
    );
    for event in &events {
        assert_eq!(event["actor"], format!("user {clerk_id}"));
        assert_eq!(event["user"], id);
        assert!(event["session"].is_string() && event["client_ip"] == "127.0.0.1");
    }
    for bad in ["event=nonsense", "actor=Ada", "user=x", "before=x"] {
        let answer = get(&app, &auditor, &format!("/api/admin/audit/?{bad}")).await;
        answer.assert_problem(400, "invalid-input");
        assert_eq!(answer.invalid_fields()[0].0, bad.split('=').next().unwrap());
    }
}

#[tokio::test]
async fn every_order_pages_through_all_users_both_ways() {
    let app = TestApp::new().await;
    let staff = staff(&app, "clerk@example.com", "view_users").await;
    for number in 0..30 {
        let email = format!("{}{number}@example.com", ["a", "B", "ç"][number % 3]);
        // Names that are equal but for their case, and some that are not.
        let name = ["ada", "Ada", "ADA", "Bob", "_", "Çelik"][number % 6];
        let form = json!({"email": email, "username": name, "password": PASSWORD});
        let answer = app.post("/api/register/", form).await;
        let email = if answer.status == 201 {
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
        let mut ways = Vec::new();
        for sort in [by.to_owned(), format!("-{by}")] {
            let list = format!("/api/admin/users/?sort={sort}");
            let whole = emails(&get(&app, &staff, &format!("{list}&limit=500")).await);
            assert_eq!(whole.len(), 31);
            assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), 31, "{whole:?}");

            let mut page = get(&app, &staff, &format!("{list}&limit=7")).await;
            assert!(page.body["before"].is_null());
            let mut forwards = emails(&page);
            while let Some(place) = page.body["after"].as_str() {
                page = get(&app, &staff, &format!("{list}&limit=7&after={place}")).await;
                forwards.extend(emails(&page));
            }
            assert_eq!(forwards, whole, "{sort}");

            let mut backwards = emails(&page);
            while let Some(place) = page.body["before"].as_str() {
                page = get(&app, &staff, &format!("{list}&limit=7&before={place}")).await;
                backwards.splice(0..0, emails(&page));
            }
            assert_eq!(backwards, whole, "{sort}");
            ways.push(whole);
        }
        ways[1].reverse();
        assert_eq!(ways[0], ways[1], "{by}");
    }
}

#[tokio::test]
async fn users_are_searched_and_filtered() {
    let app = TestApp::new().await;
    staff(&app, "clerk@example.com", "view_users").await;
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
    // The token of three days ago counts no more.
    let staff = app.login("clerk@example.com", PASSWORD).await;

    let (ada, charles) = ("ada@example.com", "charles@example.com");
    let (clerk, cent) = ("clerk@example.com", "100%_@example.com");
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
        ("q=%00", vec![clerk, ada, charles, cent]),
        ("q=' OR 1=1 --", vec![]),
        ("activated=true", vec![clerk, ada]),
        ("activated=false&active=true", vec![cent]),
        ("active=false", vec![charles]),
        ("staff=true", vec![clerk]),
        ("staff=false", vec![ada, charles, cent]),
        ("gender=male", vec![charles]),
        ("gender=female", vec![ada]),
        ("gender=none", vec![clerk, cent]),
        ("joined_days=1", vec![ada, charles, cent]),
        ("joined_days=4", vec![clerk, ada, charles, cent]),
        ("q=example&gender=male&active=true", vec![]),
    ] {
        let answer = get(
            &app,
            &staff,
            &format!("/api/admin/users/?sort=joined&{query}"),
        )
        .await;
        assert_eq!(emails(&answer), found, "{query}");
    }

    for bad in [
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
        let answer = get(&app, &staff, &format!("/api/admin/users/?{bad}")).await;
        answer.assert_problem(400, "invalid-input");
        assert_eq!(answer.invalid_fields()[0].0, bad.split('=').next().unwrap());
    }
}

#[tokio::test]
async fn many_accounts_are_acted_on_at_once() {
    let app = TestApp::new().await;
    let clerk = staff(&app, "clerk@example.com", "change_users,delete_users").await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let email = format!("ada{number}@example.com");
        app.register(&email).await;
        ids.push(app.user(&email).await.id);
    }
    let many = |what: &str, ids: Value| json!({"act": what, "ids": ids});
    let path = "/api/admin/users/bulk/";
    for (what, done) in [
        ("activate", 3),
        ("activate", 0),
        ("sign_out", 3),
        ("deactivate", 3),
        ("delete", 3),
    ] {
        let answer = post(&app, &clerk, path, many(what, json!(ids))).await;
        assert_eq!(answer.body, json!({ "done": done }), "{what}");
    }
    let answer = post(&app, &clerk, path, many("delete", json!(ids))).await;
    answer.assert_problem(404, "not-found");

    let too_many: Vec<_> = (0..501).collect();
    for (body, field, code) in [
        (many("promote", json!([1])), "act", "choice"),
        (json!({"ids": [1]}), "act", "required"),
        (many("activate", json!([])), "ids", "required"),
        (json!({"act": "activate"}), "ids", "required"),
        (many("activate", json!(["x"])), "ids", "invalid"),
        (many("activate", json!({"id": 1})), "ids", "type"),
        (many("activate", json!(too_many)), "ids", "too_long"),
        (many("activate", json!(vec!["1"; 9_000])), "ids", "type"),
    ] {
        let answer = post(&app, &clerk, path, body).await;
        answer.assert_problem(400, "invalid-input");
        assert_eq!(
            answer.invalid_fields(),
            [(field.to_owned(), code.to_owned())]
        );
    }
}

#[tokio::test]
async fn sessions_of_an_account_are_listed_and_ended() {
    let app = TestApp::new().await;
    let clerk = staff(&app, "clerk@example.com", "change_users").await;
    let first = app.logged_in_user("ada@example.com").await;
    let second = app.login("ada@example.com", PASSWORD).await;
    let (clerk_id, id) = (
        app.user("clerk@example.com").await.id,
        app.user("ada@example.com").await.id,
    );
    let path = format!("/api/admin/users/{id}/sessions/");
    let list = get(&app, &clerk, &path).await;
    let sessions: Vec<_> = list.body.as_array().unwrap().clone();
    assert_eq!(sessions.len(), 2);
    assert!(sessions.iter().all(|session| session["current"] == false));
    let own = get(
        &app,
        &clerk,
        &format!("/api/admin/users/{clerk_id}/sessions/"),
    )
    .await;
    assert_eq!(own.body[0]["current"], true);

    let one = sessions[0]["id"].as_str().unwrap();
    let end = format!("{path}{one}/");
    let answer = send(&app, &clerk, Method::DELETE, &end, Value::Null).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let answer = send(&app, &clerk, Method::DELETE, &end, Value::Null).await;
    answer.assert_problem(404, "not-found");
    let alive = [
        app.get_user(&first.access).await.status,
        app.get_user(&second.access).await.status,
    ];
    assert_eq!(alive.iter().filter(|status| **status == 200).count(), 1);
    let events = admin_events(&app).await;
    assert_eq!(events[0].detail.as_deref(), Some("session ended"));
    let answer = get(&app, &clerk, "/api/admin/users/4711/sessions/").await;
    answer.assert_problem(404, "not-found");
}

#[tokio::test]
async fn mails_are_listed_shown_cancelled_and_sent_again() {
    let app = TestApp::new().await;
    let clerk = staff(&app, "clerk@example.com", "mails").await;
    app.logged_in_user("ada@example.com").await;
    app.deliver_all().await;
    for _ in 0..3 {
        app.post("/auth/email_request/", json!({"email": "Ada@example.com"}))
            .await;
    }
    let list = async |query: &str| {
        let answer = get(&app, &clerk, &format!("/api/admin/mails/?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        (
            answer.body["mails"].as_array().unwrap().clone(),
            answer.body["before"].clone(),
        )
    };
    let (codes, none) = list("state=queued&kind=reset_code&to=ADA@example.com").await;
    assert_eq!((codes.len(), none), (3, Value::Null));
    let (two, before) = list("kind=reset_code&limit=2").await;
    assert_eq!(two[..], codes[..2]);
    let (third, none) = list(&format!(
        "kind=reset_code&limit=2&before={}",
        before.as_str().unwrap()
    ))
    .await;
    assert_eq!((&third[..], none), (&codes[2..], Value::Null));
    assert!(list("state=failed").await.0.is_empty());

    let mail = codes[0]["id"].as_str().unwrap();
    let path = format!("/api/admin/mails/{mail}/");
    let shown = get(&app, &clerk, &path).await;
    assert_eq!(shown.body["mail"], codes[0]);
    assert!(shown.text("/subject").contains("code") && shown.text("/text").contains("Latchkey"));

    let answer = post(&app, &clerk, &format!("{path}retry/"), Value::Null).await;
    answer.assert_problem(409, "invalid-state");
    let answer = post(&app, &clerk, &format!("{path}cancel/"), Value::Null).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let answer = post(&app, &clerk, &format!("{path}cancel/"), Value::Null).await;
    answer.assert_problem(409, "invalid-state");
    assert_eq!(
        get(&app, &clerk, &path).await.text("/mail/state"),
        "cancelled"
    );
    let answer = post(&app, &clerk, &format!("{path}retry/"), Value::Null).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    app.deliver_all().await;
    assert_eq!(get(&app, &clerk, &path).await.text("/mail/state"), "sent");
    let noted: Vec<_> = admin_events(&app)
        .await
        .into_iter()
        .map(|it| it.detail.unwrap())
        .collect();
    assert_eq!(
        noted,
        [
            format!("mail {mail} cancelled"),
            format!("mail {mail} sent again")
        ]
    );

    for bad in ["state=x", "kind=x", "to=x", "to=%00", "before=x", "limit=0"] {
        let answer = get(&app, &clerk, &format!("/api/admin/mails/?{bad}")).await;
        answer.assert_problem(400, "invalid-input");
        assert_eq!(answer.invalid_fields()[0].0, bad.split('=').next().unwrap());
    }
    let answer = get(&app, &clerk, "/api/admin/mails/x/").await;
    answer.assert_problem(404, "not-found");
}

#[tokio::test]
async fn whoever_is_held_by_a_limit_is_released() {
    let app = TestApp::with(&[("LIMIT_LOGIN_FREE_FAILURES", "1")]).await;
    let clerk = staff(&app, "clerk@example.com", "change_users").await;
    app.logged_in_user("ada@example.com").await;
    for _ in 0..3 {
        app.try_login("ada@example.com", "a wrong password").await;
    }
    let id = app.user("ada@example.com").await.id;
    let held = get(&app, &clerk, "/api/admin/limits/").await;
    assert_eq!(held.body["limits"].as_array().unwrap().len(), 1);
    assert_eq!(held.text("/limits/0/what"), "failed_attempts");
    assert_eq!(held.body["limits"][0]["user"], id);

    let release = json!({"name": held.text("/limits/0/name")});
    let path = "/api/admin/limits/release/";
    let answer = post(&app, &clerk, path, release.clone()).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    app.login("ada@example.com", PASSWORD).await;
    let again = post(&app, &clerk, path, release).await;
    again.assert_problem(404, "not-found");
    let answer = post(&app, &clerk, path, json!({})).await;
    assert_eq!(
        answer.invalid_fields(),
        [("name".to_owned(), "required".to_owned())]
    );
    let events = admin_events(&app).await;
    assert_eq!(
        events[0].detail.as_deref(),
        Some("unlocked: failed_attempts")
    );
}

/// Failures at an address before it has an account leave nothing in the audit log that names the account.
#[tokio::test]
async fn lockout_older_than_its_superuser_is_released_by_superusers_alone() {
    let app = TestApp::with(&[("LIMIT_LOGIN_FREE_FAILURES", "1")]).await;
    let clerk = staff(&app, "clerk@example.com", "view_users,change_users").await;
    for _ in 0..3 {
        app.try_login("sup1@example.com", "a wrong password").await;
    }
    app.create_superuser("sup1@example.com").await;

    let held = get(&app, &clerk, "/api/admin/limits/").await;
    let id = app.user("sup1@example.com").await.id;
    let limits = held.body["limits"].as_array().unwrap();
    assert!(!limits.is_empty());
    let path = "/api/admin/limits/release/";
    for limit in limits {
        assert_eq!(limit["user"], id, "{held:?}");
        let release = json!({"name": limit["name"]});
        let answer = post(&app, &clerk, path, release).await;
        answer.assert_problem(403, "not-permitted");
    }
}

#[tokio::test]
async fn the_log_is_verified_and_what_is_wrong_is_said() {
    let app = TestApp::new().await;
    let auditor = staff(&app, "auditor@example.com", "audit").await;
    let path = "/api/admin/audit/verify/";
    let answer = post(&app, &auditor, path, Value::Null).await;
    assert_eq!(answer.body["whole"], true, "{answer:?}");
    assert_eq!(answer.body["events"], 2);
    assert!(answer.text("/head").starts_with("2:"));
    assert!(answer.body["broken"].is_null());

    let page = get(&app, &auditor, "/api/admin/audit/?limit=1").await;
    assert_eq!(page.body["events"][0]["seq"], 2);
    let page = get(
        &app,
        &auditor,
        &format!("/api/admin/audit/?limit=1&before={}", page.body["before"]),
    )
    .await;
    assert_eq!(page.body["events"][0]["seq"], 1);
    assert!(page.body["before"].is_null());

    without_triggers(&app).await;
    execute(
        &app,
        "UPDATE audit_events SET client_ip = '192.0.2.1' WHERE seq = 1",
    )
    .await
    .unwrap();
    let answer = post(&app, &auditor, path, Value::Null).await;
    assert_eq!(
        answer.body,
        json!({
            "whole": false, "events": null, "head": null,
            "broken": "event 1 was altered, or stands where it was not written",
        })
    );
}

#[tokio::test]
async fn no_answer_holds_a_token_a_code_or_a_hash() {
    let app = TestApp::new().await;
    let root = superuser(&app, "root@example.com").await;
    let ada = app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    app.check_otp(&token, &code).await;
    let user = app.user("ada@example.com").await;
    let db = &app.database.db;
    let reset = password_reset::list(db, None, None, None, 1)
        .await
        .unwrap()
        .remove(0);
    let session = session::list_alive(db, user.id, app.clock.now())
        .await
        .unwrap()
        .remove(0);
    let mail = latchkey_shared::models::mail::list(db, None, 1)
        .await
        .unwrap()
        .remove(0);
    let secrets = [
        ada.access,
        ada.refresh,
        root.access.clone(),
        token,
        user.password_hash.clone(),
        sea_orm::Value::from(reset.token_hash).to_string(),
        sea_orm::Value::from(session.secret_hash).to_string(),
        "$argon2".to_owned(),
        "hash".to_owned(),
    ];

    let id = user.id;
    let shown = format!("/api/admin/mails/{}/", mail.id);
    for path in [
        "/api/admin/users/",
        &format!("/api/admin/users/{id}/"),
        &format!("/api/admin/users/{id}/sessions/"),
        "/api/admin/resets/",
        "/api/admin/limits/",
        "/api/admin/mails/",
        &shown,
        "/api/admin/audit/",
    ] {
        let answer = get(&app, &root, path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let text = answer.body.to_string();
        for secret in &secrets {
            let secret = secret.trim_matches('\'');
            assert!(!text.contains(secret), "{secret} is in {path}: {text}");
        }
    }
    let shown = get(&app, &root, &shown).await;
    assert_eq!(shown.text("/mail/kind"), "reset_code");
    assert!(!shown.text("/subject").contains(&code) && !shown.text("/text").contains(&code));

    let resets = get(&app, &root, &format!("/api/admin/resets/?user={id}")).await;
    let mut reset = resets.body["resets"][0].clone();
    for unknown in ["id", "created", "expires"] {
        assert!(
            reset
                .as_object_mut()
                .unwrap()
                .remove(unknown)
                .unwrap()
                .is_string()
        );
    }
    assert_eq!(
        reset,
        json!({"email": "ada@example.com", "user": id, "state": "checked", "tries": 1})
    );
    let none = get(&app, &root, "/api/admin/resets/?user=4711").await;
    assert_eq!(none.body, json!({"resets": [], "before": null}));
}

/// An address that an administrator changes is told to the one of before, and whoever was logged in by it is not any more.
#[tokio::test]
async fn another_address_ends_the_sessions_and_is_told_to_the_one_of_before() {
    let app = TestApp::new().await;
    let root = superuser(&app, "root@example.com").await;
    let ada = app.logged_in_user("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let told = async |email: &str| {
        let mails = app.mails_to(email).await;
        mails
            .iter()
            .any(|mail| mail.subject.contains("email of your"))
    };

    let body = json!({"email": "lovelace@example.com"});
    assert_eq!(patch(&app, &root, id, body).await.status, 200);

    let answer = app.get_user(&ada.access).await;
    answer.assert_problem(401, "not-authenticated");
    assert!(told("ada@example.com").await);
    assert!(!told("lovelace@example.com").await);

    let own = app.user("root@example.com").await.id;
    let body = json!({"email": "admin@example.com"});
    assert_eq!(patch(&app, &root, own, body).await.status, 200);
    assert_eq!(app.get_user(&root.access).await.status, 200);
    assert!(told("root@example.com").await);
}

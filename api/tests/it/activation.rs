//! `ACTIVATION=email`: owners let their accounts in by a code that is mailed.

use futures_util::future::join_all;
use latchkey_shared::models::{
    audit,
    user::{self, profile::ProfileChange, staff},
};
use reqwest::Method;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};

use crate::{
    dashboard::Dashboard,
    world::{Answer, PASSWORD, World, code_in, other_than, registration},
};

const NEW: &str = "another quiet morning";

async fn world() -> World {
    World::with(&[("ACTIVATION", "email")]).await
}

async fn activate(world: &World, token: &str, otp: &str) -> Answer {
    world
        .post("/auth/activate/", json!({"token": token, "otp": otp}))
        .await
}

/// Registers; the token of the answer and the code that was mailed.
async fn register(world: &World, email: &str) -> (String, String) {
    let token = world.register(email).await.text("/activation_token");
    (token, last_code(world, email).await)
}

async fn last_code(world: &World, email: &str) -> String {
    let mails = world.mails_to(email).await;
    code_in(mails.last().expect("a mail with a code"))
}

/// An administrator's word on whether somebody is let in.
fn decided(is_activated: bool) -> staff::Change {
    staff::Change {
        is_activated: Some(is_activated),
        ..staff::Change::default()
    }
}

async fn change(world: &World, email: &str, change: staff::Change) {
    let seen = world.user(email).await;
    let changed = staff::change(&world.database.db, &seen, change, world.clock.now()).await;
    assert!(changed.unwrap().is_some());
}

#[tokio::test]
async fn the_code_of_the_registration_lets_its_owner_in_once() {
    let world = world().await;
    let made = world.register("Ada@Example.com").await;
    assert_eq!(made.body["is_activated"], false);
    let token = made.text("/activation_token");
    let mails = world.mails_to("Ada@Example.com").await;
    assert_eq!(mails.len(), 1, "a code, and no welcome beside it");
    let code = code_in(&mails[0]);
    assert!(mails[0].text.contains("activates your account"));
    let early = world.try_login("ada@example.com", PASSWORD).await;
    early.is_problem(403, "not-activated");

    let wrong = activate(&world, &token, &other_than(&code)).await;
    wrong.is_problem(400, "invalid-otp");
    let answer = activate(&world, &token, &code).await;
    assert_eq!(
        answer.body,
        json!({"message": "The account has been activated."})
    );
    world.login("ada@example.com", PASSWORD).await;
    let again = activate(&world, &token, &code).await;
    again.is_problem(400, "invalid-otp");

    let user = world.user("ada@example.com").await;
    assert!(user.is_activated && !user.pending_email_verification);
    let events = audit::list_by_user(&world.database.db, user.id, 9).await;
    let noted = events.unwrap().into_iter().find(|event| {
        event.event == "user_updated" && event.detail.as_deref() == Some("activation")
    });
    assert!(noted.is_some());
}

#[tokio::test]
async fn elsewhere_there_is_no_token_and_nothing_to_activate() {
    for mode in ["admin", "none"] {
        let world = World::with(&[("ACTIVATION", mode)]).await;
        let made = world.register("ada@example.com").await;
        assert!(!made.keys().contains(&"activation_token"), "{mode}");
        activate(&world, "a token", "123456")
            .await
            .is_problem(404, "not-found");
    }
}

#[tokio::test]
async fn administrators_see_who_waits_for_the_code_and_who_for_them() {
    let world = world().await;
    world.superuser("root@example.com").await;
    world.register("ada@example.com").await;
    let id = world.user("ada@example.com").await.id;
    let page = format!("/admin/users/{id}/");
    let root = Dashboard::of(&world, "root@example.com").await;
    let access = world.login("root@example.com", PASSWORD).await.access;
    let told = async || {
        let path = format!("/api/admin/users/{id}/");
        let request = world.request(Method::GET, &path).bearer_auth(&access);
        world.send(request).await.body["pending_email_verification"].clone()
    };
    // Of the export and the command the same.
    let listed = async || {
        let csv = root.see("/admin/users/export/?q=ada").await;
        let (_, json) = world.process(&["users", "list", "--json"]).output().await;
        (csv, json.contains("\"pending_email_verification\": true"))
    };
    assert_eq!(told().await, true);
    let (csv, is_listed) = listed().await;
    assert!(
        csv.contains(",is_activated,pending_email_verification,is_active,"),
        "{csv}"
    );
    assert!(csv.contains(",no,yes,yes,no,no,") && is_listed, "{csv}");
    // How many are on a page of the list, and by the same filter of the call.
    let found = async |query: &str, filter: &str| {
        let html = root.see(&format!("/admin/users/?{query}")).await;
        let path = format!("/api/admin/users/?activated=false&pending_email_verification={filter}");
        let request = world.request(Method::GET, &path).bearer_auth(&access);
        let users = world.send(request).await.body["users"]
            .as_array()
            .map(Vec::len);
        let count = html
            .split("Results: <strong>")
            .nth(1)
            .and_then(|rest| rest.split('<').next());
        assert_eq!(
            count,
            users.map(|users| users.to_string()).as_deref(),
            "{query}: {html}"
        );
        users
    };
    for path in ["/admin/users/", &page] {
        let html = root.see(path).await;
        assert!(html.contains("Pending verification"), "{path}: {html}");
    }
    // Whoever never reads the mail is in nobody's way, and not forgotten.
    let home = root.see("/admin/").await;
    let link = "<a href=\"/admin/users/?activated=pending_verification&amp;sort=joined\">Pending verification</a> <span class=\"count\">1<";
    assert!(home.contains(link), "{home}");
    assert!(
        home.contains("No accounts are pending approval.") && !home.contains("ada@example.com"),
        "{home}"
    );
    assert_eq!(
        found("activated=pending_verification&sort=joined", "true").await,
        Some(1)
    );
    assert_eq!(
        found("activated=pending_approval&sort=joined", "false").await,
        Some(0)
    );
    // Nobody who was shut waits.
    let shut = root
        .see("/admin/users/?activated=pending_verification&active=no")
        .await;
    assert!(shut.contains("Results: <strong>0<"), "{shut}");
    let users = root.see("/admin/users/").await;
    assert!(
        users.contains("Pending verification (1)") && users.contains("Pending approval (0)"),
        "{users}"
    );

    // Let in and taken back by an administrator, it waits for administrators.
    for is_activated in [true, false] {
        change(&world, "ada@example.com", decided(is_activated)).await;
    }
    assert_eq!(told().await, false);
    let (csv, is_listed) = listed().await;
    assert!(csv.contains(",no,no,yes,no,no,") && !is_listed, "{csv}");
    for path in ["/admin/", "/admin/users/", &page] {
        let html = root.see(path).await;
        assert!(!html.contains("Pending verification"), "{path}: {html}");
    }
    assert!(root.see("/admin/").await.contains("ada@example.com"));
    assert_eq!(
        found("activated=pending_verification", "true").await,
        Some(0)
    );
    assert_eq!(found("activated=pending_approval", "false").await, Some(1));
}

/// Whoever reads the mailbox and sets the password is let in as by the code, if that was left to them.
#[tokio::test]
async fn a_password_reset_lets_in_whom_the_account_awaits_and_nobody_else() {
    let world = world().await;
    let email = |name: &str| format!("{name}@example.com");
    for name in ["waiting", "refused", "staffs"] {
        world.register(&email(name)).await;
    }
    change(&world, &email("refused"), decided(true)).await;
    change(&world, &email("refused"), decided(false)).await;
    // As if it had been made while administrators decided.
    let row = user::ActiveModel {
        id: sea_orm::Set(world.user(&email("staffs")).await.id),
        pending_email_verification: sea_orm::Set(false),
        ..Default::default()
    };
    user::Entity::update(row)
        .exec(&world.database.db)
        .await
        .unwrap();

    for (name, status) in [("waiting", 200), ("refused", 403), ("staffs", 403)] {
        let (token, code) = world.forgotten(&email(name)).await;
        assert_eq!(world.check(&token, &code).await.status, 200);
        assert_eq!(world.reset(&token, NEW).await.status, 200);
        let answer = world.try_login(&email(name), NEW).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
}

/// Who registers with the address of somebody else has no use of it, whatever its owner does then.
#[tokio::test]
async fn a_stranger_who_registered_first_is_not_let_in_by_the_owner() {
    for privacy in ["on", "off"] {
        let more = [("ACTIVATION", "email"), ("REGISTRATION_PRIVACY", privacy)];
        let world = World::with(&more).await;
        let mut form = registration("ada@example.com");
        form["password"] = json!("a stranger's own words");
        let first = world.post("/api/register/", form.clone()).await;
        assert_eq!(first.status, 201);
        let code = last_code(&world, "ada@example.com").await;

        let second = world.post("/api/register/", registration("ada@example.com"));
        let second = second.await;
        if privacy == "on" {
            let token = second.text("/activation_token");
            activate(&world, &token, &code)
                .await
                .is_problem(400, "invalid-otp");
        } else {
            second.is_problem(409, "email-taken");
        }
        let (token, code) = world.forgotten("ada@example.com").await;
        assert_eq!(world.check(&token, &code).await.status, 200);
        assert_eq!(world.reset(&token, NEW).await.status, 200);

        world.login("ada@example.com", NEW).await;
        let stranger = world
            .try_login("ada@example.com", "a stranger's own words")
            .await;
        assert_eq!(stranger.status, 401, "{privacy}");
    }
}

/// A code opens what it was asked for and nothing else.
#[tokio::test]
async fn a_code_to_let_in_sets_no_password_and_one_for_a_password_lets_nobody_in() {
    let world = world().await;
    let (token, code) = register(&world, "ada@example.com").await;
    let (reset, reset_code) = world.forgotten("ada@example.com").await;

    let crossed = world.check(&token, &code).await;
    crossed.is_problem(400, "invalid-otp");
    let crossed = activate(&world, &reset, &reset_code).await;
    crossed.is_problem(400, "invalid-otp");
    assert_eq!(world.check(&reset, &reset_code).await.status, 200);
    let crossed = world.reset(&token, NEW).await;
    crossed.is_problem(400, "invalid-reset-token");

    assert!(!world.user("ada@example.com").await.is_activated);
    assert_eq!(activate(&world, &token, &code).await.status, 200);
    let used = world.reset(&token, NEW).await;
    used.is_problem(400, "invalid-reset-token");
}

/// What an administrator has decided, and a new address, make void what was mailed before.
#[tokio::test]
async fn a_code_lets_in_only_what_still_awaits_its_owner_at_the_same_address() {
    let world = world().await;
    let renamed = || staff::Change {
        profile: ProfileChange {
            username: Some("Countess".parse().unwrap()),
            ..ProfileChange::default()
        },
        is_activated: Some(false),
        ..staff::Change::default()
    };
    let moved = staff::Change {
        profile: ProfileChange {
            email: Some("new@example.com".parse().unwrap()),
            ..ProfileChange::default()
        },
        ..staff::Change::default()
    };
    let cases = [
        ("renamed", vec![renamed()], 200),
        ("back", vec![decided(true), decided(false)], 400),
        ("moved", vec![moved], 400),
    ];
    for (name, changes, status) in cases {
        let email = format!("{name}@example.com");
        let (token, code) = register(&world, &email).await;
        let id = world.user(&email).await.id;
        for one in changes {
            change(&world, &email, one).await;
        }
        let answer = activate(&world, &token, &code).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        let user = user::find(&world.database.db, id).await.unwrap().unwrap();
        assert_eq!(user.is_activated, status == 200, "{name}");
    }

    let (token, code) = register(&world, "shut@example.com").await;
    world.deactivate("shut@example.com").await;
    let shut = activate(&world, &token, &code).await;
    shut.is_problem(400, "invalid-otp");
    let reopened = staff::Change {
        is_active: Some(true),
        ..staff::Change::default()
    };
    change(&world, "shut@example.com", reopened).await;
    let reopened = activate(&world, &token, &code).await;
    reopened.is_problem(400, "invalid-otp");
    assert!(!world.user("shut@example.com").await.is_activated);
}

/// O3: guessing ends as it does for a password.
#[tokio::test]
async fn after_five_wrong_codes_the_right_one_lets_nobody_in() {
    let world = world().await;
    let (token, code) = register(&world, "ada@example.com").await;
    let wrong = other_than(&code);
    let guesses = join_all((0..5).map(|_| activate(&world, &token, &wrong))).await;
    for guess in guesses {
        guess.is_problem(400, "invalid-otp");
    }
    let late = activate(&world, &token, &code).await;
    late.is_problem(400, "invalid-otp");
    assert!(!world.user("ada@example.com").await.is_activated);
}

#[tokio::test]
async fn of_two_who_give_the_code_at_once_one_lets_in() {
    let world = world().await;
    let (token, code) = register(&world, "ada@example.com").await;
    let mut statuses: Vec<_> = join_all((0..2).map(|_| activate(&world, &token, &code)))
        .await
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(world.user("ada@example.com").await.version, 1);
}

/// With `REGISTRATION_PRIVACY=on` the token of a taken address looks and behaves like that of a new one.
#[tokio::test]
async fn a_taken_address_gets_a_token_like_any_other_which_opens_nothing() {
    let more = [
        ("ACTIVATION", "email"),
        ("REGISTRATION_PRIVACY", "on"),
        ("LIMIT_OTP_EMAIL", "3/86400"),
    ];
    let world = World::with(&more).await;
    let (new, code) = register(&world, "ada@example.com").await;
    let taken = world.post("/api/register/", registration("ada@example.com"));
    let taken = taken.await;
    assert_eq!(taken.status, 201);
    let other = taken.text("/activation_token");
    assert!(other != new && other.len() == new.len());
    world.deliver_all().await;

    let plain = |answer: Answer| {
        let mut body: Value = answer.body;
        body["instance"] = json!(null);
        (answer.status.as_u16(), body)
    };
    let wrong = plain(activate(&world, &new, &other_than(&code)).await);
    assert_eq!(plain(activate(&world, &other, &code).await), wrong);
    assert!(!world.user("ada@example.com").await.is_activated);
    assert_eq!(activate(&world, &new, &code).await.status, 200);
}

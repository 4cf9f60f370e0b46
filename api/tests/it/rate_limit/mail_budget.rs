//! The mail budget of a mailbox, which strangers cannot use to keep mails from its owner (T5, M3).

use chrono::TimeDelta;
use latchkey_shared::models::mail;
use reqwest::Method;
use serde_json::json;

use crate::{
    rate_limit::{active_limits, change_password, login_from, post_from},
    support::test_app::{PASSWORD, TestApp, code_in, registration},
};

/// The default limits, except for the cooldown between two codes, which has its own test.
const BUDGET: [(&str, &str); 5] = [
    ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ("LIMIT_MAIL_CAUSE", "3/3600"),
    ("LIMIT_MAIL_HOUR", "10/3600"),
    ("LIMIT_MAIL_DAY", "30/86400"),
    ("LIMIT_MAIL_COOLDOWN", "1000/1"),
];
/// The client IP of the owner.
pub(crate) const OWNER: &str = "198.51.100.7";

pub(crate) async fn start(more: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[&BUDGET, more].concat()).await
}

/// Requests a code from a client IP. Returns the token.
pub(crate) async fn request_code_from(app: &TestApp, client_ip: &str, email: &str) -> String {
    let body = json!({"email": email});
    let answer = post_from(app, client_ip, "/auth/email_request/", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.text("/token")
}

/// Returns how many mails of one kind were sent, and how many were suppressed because of a limit.
pub(crate) async fn sent_and_suppressed(app: &TestApp, kind: &str) -> (usize, usize) {
    app.deliver_all().await;
    let mails = mail::list(&app.database.db, None, 10_000).await.unwrap();
    let count = |state: &str| {
        let these = mails.iter().filter(|mail| mail.kind == kind);
        these.filter(|mail| mail.state.to_string() == state).count()
    };
    let reasons = mails.iter().filter(|mail| {
        let reason = mail.last_error.as_deref().unwrap_or_default();
        let is_suppressed = mail.state.to_string() == "suppressed";
        mail.kind == kind && is_suppressed && reason.contains("LIMIT_MAIL_")
    });
    let suppressed = count("suppressed");
    assert_eq!(reasons.count(), suppressed, "{mails:#?}");
    (count("sent"), suppressed)
}

/// T5: a mailbox gets ten codes an hour and thirty a day, however many client IPs request them.
#[tokio::test]
async fn reset_mails_stay_within_hourly_and_daily_budget() {
    let app = start(&[]).await;
    app.logged_in_user("ada@example.com").await;
    let flood = async |hour: u32| {
        for network in 0..12 {
            for _ in 0..2 {
                let client_ip = format!("203.0.{hour}.{network}");
                request_code_from(&app, &client_ip, "Ada@example.com").await;
            }
        }
        app.deliver_all().await;
    };
    flood(0).await;
    assert_eq!(sent_and_suppressed(&app, "reset_code").await, (10, 14));
    for hour in 1..5 {
        app.advance_clock(TimeDelta::hours(1));
        flood(hour).await;
    }
    assert_eq!(sent_and_suppressed(&app, "reset_code").await.0, 30);
}

/// T5: a stranger with one network uses up only its share. The owner still gets a code.
#[tokio::test]
async fn one_network_uses_only_its_own_share() {
    let app = start(&[]).await;
    app.logged_in_user("ada@example.com").await;
    for host in 0..20 {
        // All hosts are in one /48, as one customer may have.
        let stranger = format!("2001:db8:1:{host:x}::1");
        request_code_from(&app, &stranger, "ada@example.com").await;
    }
    assert_eq!(sent_and_suppressed(&app, "reset_code").await, (3, 17));

    let token = request_code_from(&app, OWNER, "ada@example.com").await;
    let mails = app.mails_to("ada@example.com").await;
    let code = code_in(mails.last().unwrap());
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
}

/// M3: owners get a code in networks where they have logged in before, however many strangers request codes.
#[tokio::test]
async fn known_network_gets_code_despite_flood() {
    let app = start(&[]).await;
    app.register("ada@example.com").await;
    app.activate("ada@example.com").await;
    let login = login_from(&app, OWNER, "ada@example.com", PASSWORD).await;
    assert_eq!(login.status, 200);
    for network in 0..40 {
        request_code_from(&app, &format!("203.0.113.{network}"), "ada@example.com").await;
    }
    assert_eq!(sent_and_suppressed(&app, "reset_code").await, (10, 30));

    let token = request_code_from(&app, OWNER, "ada@example.com").await;
    let mails = app.mails_to("ada@example.com").await;
    let code = code_in(mails.last().unwrap());
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    // The known network has only its share, too.
    for _ in 0..5 {
        request_code_from(&app, OWNER, "ada@example.com").await;
    }
    assert_eq!(sent_and_suppressed(&app, "reset_code").await, (13, 33));
}

/// M3: owners can still enter their code after a stranger has entered many wrong ones.
#[tokio::test]
async fn wrong_codes_of_stranger_leave_owner_attempts() {
    let app = start(&[
        ("LIMIT_OTP_EMAIL", "20/86400"),
        ("LIMIT_OTP_EMAIL_IP", "10/86400"),
    ])
    .await;
    app.logged_in_user("ada@example.com").await;
    for email in ["ada@example.com", "unknown@example.com"] {
        let mut wrong = 0;
        for network in 0..4 {
            // All networks are in one /48, as one customer may have.
            let stranger = format!("2001:db8:1:{network}::1");
            let token = request_code_from(&app, &stranger, email).await;
            for _ in 0..5 {
                let body = json!({"token": token, "otp": "000000"});
                let answer = post_from(&app, &stranger, "/auth/check_otp/", body).await;
                wrong += u32::from(answer.status == 400);
            }
        }
        assert_eq!(wrong, 10, "{email}");
    }
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    assert_eq!(
        app.reset_password(&token, "another quiet morning")
            .await
            .status,
        200
    );
}

/// T5: a code that is requested within a minute of another is sent later, and works.
#[tokio::test]
async fn second_code_within_a_minute_is_delayed() {
    let app = start(&[("LIMIT_MAIL_COOLDOWN", "1/60")]).await;
    app.logged_in_user("ada@example.com").await;
    request_code_from(&app, OWNER, "ada@example.com").await;
    let token = request_code_from(&app, OWNER, "ada@example.com").await;
    assert_eq!(sent_and_suppressed(&app, "reset_code").await, (1, 0));

    app.advance_clock(TimeDelta::seconds(60));
    assert_eq!(sent_and_suppressed(&app, "reset_code").await, (2, 0));
    let mails = app.mails_to("ada@example.com").await;
    let code = code_in(mails.last().unwrap());
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
}

/// T5: the reuse of fifty rotated tokens ends fifty sessions but sends only three mails.
#[tokio::test]
async fn token_reuse_mails_stay_within_budget() {
    let app = start(&[("REFRESH_ROTATION", "on")]).await;
    app.register("ada@example.com").await;
    app.activate("ada@example.com").await;
    let mut rotated = Vec::new();
    for _ in 0..50 {
        let token = app.login("ada@example.com", PASSWORD).await.refresh;
        let next = app.post("/auth/refresh/", json!({"refresh": token})).await;
        rotated.push((token, next.text("/access")));
    }
    app.advance_clock(TimeDelta::seconds(11));
    for (token, access) in &rotated {
        let answer = app.post("/auth/refresh/", json!({"refresh": token})).await;
        answer.assert_problem(401, "invalid-refresh-token");
        assert_eq!(app.get_user(access).await.status, 401);
    }
    assert_eq!(sent_and_suppressed(&app, "token_reused").await, (3, 47));
}

/// T5: three accounts that take turns with one email cannot flood its mailbox. Each of their changes succeeds.
#[tokio::test]
async fn accounts_sharing_one_email_share_its_budget() {
    let app = start(&[]).await;
    let passwords = [PASSWORD, "another quiet morning"];
    let mut accounts = Vec::new();
    for name in ["a", "b", "c"] {
        let email = format!("{name}@example.net");
        accounts.push((app.logged_in_user(&email).await.access, email));
    }
    app.deliver_all().await;
    for round in 0..8 {
        for (access, own) in &mut accounts {
            let change = json!({"email": "victim@example.com"});
            assert_eq!(app.patch_user(access, change).await.status, 200);
            let (from, to) = (passwords[round % 2], passwords[(round + 1) % 2]);
            let changed = change_password(&app, access, from, to).await;
            assert!(changed.status.is_success(), "{changed:?}");
            if let Some(newer) = changed.body.pointer("/access") {
                *access = newer.as_str().unwrap().to_owned();
            }
            let back = json!({"email": own});
            assert_eq!(app.patch_user(access, back).await.status, 200);
        }
    }
    let mails = app.mails_to("victim@example.com").await;
    let count = |subject: &str| {
        let these = mails.iter().filter(|mail| mail.subject.contains(subject));
        these.count()
    };
    assert_eq!(count("password was changed"), 9);
    // Notices about the email go to the confirmed ones, and each change ends the code of the one before.
    assert_eq!(count("email of your"), 0);
    assert_eq!(mails.len(), 9);
}

/// T5: accounts that change to a stranger's email cause few codes: one client network causes three an hour.
#[tokio::test]
async fn codes_for_new_emails_stay_within_budget() {
    let app = start(&[]).await;
    for number in 0..5 {
        let email = format!("stranger{number}@example.net");
        let access = app.logged_in_user(&email).await.access;
        let change = json!({"email": format!("victim+{number}@example.com")});
        assert_eq!(app.patch_user(&access, change).await.status, 200);
        app.deliver_all().await;
        app.advance_clock(chrono::TimeDelta::seconds(61));
    }
    assert_eq!(sent_and_suppressed(&app, "email_code").await, (3, 2));
}

/// T5: registrations of `victim+N@` count for one mailbox, by client IP and in total.
#[tokio::test]
async fn sub_address_registrations_share_one_budget() {
    for (activation, kind) in [
        ("admin", "welcome"),
        ("email", "activation_code"),
        ("none", "activated"),
    ] {
        let app = start(&[("ACTIVATION", activation)]).await;
        let register = async |network: u32, number: u32| {
            let form = registration(&format!("Victim+{network}-{number}@example.com"));
            let client_ip = format!("203.0.113.{network}");
            let answer = post_from(&app, &client_ip, "/api/register/", form).await;
            assert_eq!(answer.status, 201, "{answer:?}");
        };
        for number in 0..19 {
            register(0, number).await;
        }
        assert_eq!(sent_and_suppressed(&app, kind).await, (3, 16), "{kind}");
        for network in 1..20 {
            register(network, 0).await;
            register(network, 1).await;
        }
        assert_eq!(sent_and_suppressed(&app, kind).await, (10, 47), "{kind}");
        // Another mailbox has its own budget.
        let form = registration("other@example.com");
        post_from(&app, "203.0.113.1", "/api/register/", form).await;
        assert_eq!(sent_and_suppressed(&app, kind).await.0, 11, "{kind}");
    }
}

/// M3: owners get their first notice of a kind although strangers have flooded the mailbox.
#[tokio::test]
async fn flood_does_not_suppress_first_notice() {
    let app = start(&[("ACTIVATION", "none")]).await;
    let owner = app.register("ada@example.com").await;
    assert_eq!(owner.text("/email"), "ada@example.com");
    let owner = app.login("ada@example.com", PASSWORD).await;
    for number in 0..12 {
        let email = format!("ada+{number}@example.com");
        app.register(&email).await;
        let access = app.login(&email, PASSWORD).await.access;
        let changed = change_password(&app, &access, PASSWORD, "another quiet morning").await;
        assert!(changed.status.is_success(), "{changed:?}");
    }
    app.deliver_all().await;
    let before = app.mails_to("ada@example.com").await.len();

    let changed = change_password(&app, &owner.access, PASSWORD, "another quiet morning").await;
    assert!(changed.status.is_success(), "{changed:?}");

    let mails = app.mails_to("ada@example.com").await;
    assert_eq!(mails.len(), before + 1);
    assert!(
        mails
            .last()
            .unwrap()
            .subject
            .contains("password was changed")
    );
    let access = changed.text("/access");
    let again = change_password(&app, &access, "another quiet morning", PASSWORD).await;
    assert!(again.status.is_success(), "{again:?}");
    assert_eq!(
        app.mails_to("ada@example.com").await.len(),
        before + 1,
        "the budget of the mailbox is used up"
    );
    let (_, suppressed) = sent_and_suppressed(&app, "password_changed").await;
    assert_eq!(
        suppressed,
        2 + 1,
        "two of the strangers and the second one of the owner"
    );
}

/// M3: owners at the plain spelling get their first notice about an activation or a registration, too.
#[tokio::test]
async fn flood_does_not_suppress_activation_or_welcome() {
    for (activation, kind) in [("none", "activated"), ("admin", "welcome")] {
        let app = start(&[("ACTIVATION", activation)]).await;
        for number in 0..12 {
            let form = registration(&format!("ada+{number}@example.com"));
            post_from(&app, &format!("203.0.113.{number}"), "/api/register/", form).await;
        }
        assert_eq!(sent_and_suppressed(&app, kind).await, (10, 2), "{kind}");

        post_from(
            &app,
            OWNER,
            "/api/register/",
            registration("ada@example.com"),
        )
        .await;

        assert_eq!(sent_and_suppressed(&app, kind).await, (11, 2), "{kind}");
    }
}

/// M3: mails about activations by staff, which have no client network, are counted by account.
#[tokio::test]
async fn flood_does_not_suppress_activation_by_staff() {
    let app = start(&[("LIMIT_MAIL_HOUR", "1/3600")]).await;
    app.create_superuser("root@example.com").await;
    let root = app.login("root@example.com", PASSWORD).await.access;
    let act = async |action: &str, email: &str| {
        let id = app.user(email).await.id;
        let path = format!("/api/admin/users/{id}/{action}/");
        let request = app.request(Method::POST, &path).bearer_auth(&root);
        let answer = app.send(request.json(&json!({}))).await;
        assert!(answer.status.is_success(), "{answer:?}");
    };
    for email in ["ada+1@example.com", "ada@example.com"] {
        app.register(email).await;
        act("activate", email).await;
    }
    assert_eq!(sent_and_suppressed(&app, "activated").await, (2, 0));

    act("deactivate", "ada@example.com").await;
    act("activate", "ada@example.com").await;

    assert_eq!(sent_and_suppressed(&app, "activated").await, (2, 1));
    let mails = mail::list(&app.database.db, None, 1).await.unwrap();
    let reason = mails[0].last_error.as_deref().unwrap();
    assert!(reason.contains("first mail of a day"), "{reason}");
}

/// T5: mails beyond the totals of a mailbox are few. Sub-addresses get none, and an unverified account at the plain spelling
/// three.
#[tokio::test]
async fn mails_beyond_the_budget_are_bounded() {
    let app = start(&[("ACTIVATION", "none")]).await;
    for number in 0..24 {
        let email = format!("ada+{number}@example.com");
        app.register(&email).await;
        let access = app.login(&email, PASSWORD).await.access;
        let changed = change_password(&app, &access, PASSWORD, "another quiet morning").await;
        assert!(changed.status.is_success(), "{changed:?}");
    }
    assert_eq!(
        sent_and_suppressed(&app, "password_changed").await,
        (10, 14)
    );

    app.register("bo@example.com").await;
    for network in 0..24 {
        let client_ip = format!("198.51.{network}.9");
        let login = login_from(&app, &client_ip, "bo@example.com", PASSWORD).await;
        assert_eq!(login.status, 200, "{login:?}");
        request_code_from(&app, &client_ip, "bo@example.com").await;
    }
    assert_eq!(sent_and_suppressed(&app, "reset_code").await, (13, 11));
}

/// T5: resets that staff request do not use the owner's budget or lock the owner out.
#[tokio::test]
async fn staff_requested_reset_spares_the_owners_budget() {
    let app = start(&[]).await;
    app.create_superuser("root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    app.deliver_all().await;
    let root = app.login("root@example.com", PASSWORD).await.access;
    let id = app.user("ada@example.com").await.id;
    let body = json!({"act": "request_password_reset", "ids": [id]});
    for _ in 0..5 {
        let path = format!("/api/admin/users/{id}/request_password_reset/");
        let request = app.request(Method::POST, &path).bearer_auth(&root);
        let answer = app.send(request.json(&body)).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
    assert_eq!(sent_and_suppressed(&app, "reset_asked").await, (3, 2));

    for _ in 0..3 {
        let (token, code) = app.request_reset("ada@example.com").await;
        assert_eq!(app.check_otp(&token, &code).await.status, 200);
    }
    let limits = active_limits(&app, &root).await;
    assert_eq!(limits.body["limits"], json!([]));
}

/// T5: staff see why a mail was suppressed and can send it.
#[tokio::test]
async fn suppressed_mail_is_listed_and_can_be_retried() {
    let app = start(&[("LIMIT_MAIL_CAUSE", "1/3600")]).await;
    app.create_superuser("root@example.com").await;
    let root = app.login("root@example.com", PASSWORD).await.access;
    for number in 0..2 {
        app.register(&format!("ada+{number}@example.com")).await;
    }
    app.deliver_all().await;
    let list = app.request(Method::GET, "/api/admin/mails/?state=suppressed");
    let list = app.send(list.bearer_auth(&root)).await;
    assert_eq!(list.text("/mails/0/to"), "ada+1@example.com", "{list:?}");
    let reason = list.text("/mails/0/error");
    assert!(reason.contains("LIMIT_MAIL_CAUSE"), "{reason}");

    let path = format!("/api/admin/mails/{}/retry/", list.text("/mails/0/id"));
    let retry = app.request(Method::POST, &path).bearer_auth(&root);
    assert!(app.send(retry).await.status.is_success());
    assert_eq!(app.mails_to("ada+1@example.com").await.len(), 1);
}

/// M3: mails to an unverified email contain no text of the user who registered it, so they carry no spam.
#[tokio::test]
async fn mails_to_unverified_addresses_repeat_no_username() {
    for activation in ["admin", "email", "none"] {
        let app = start(&[("ACTIVATION", activation)]).await;
        let mut form = registration("victim@example.com");
        form["username"] = json!("Win at spam.example now");
        assert_eq!(app.post("/api/register/", form).await.status, 201);
        let mails = app.mails_to("victim@example.com").await;
        assert_eq!(mails.len(), 1);
        let mail = &mails[0];
        for part in [&mail.subject, &mail.text, &mail.html] {
            assert!(!part.contains("spam.example"), "{activation}: {part}");
        }
    }
}

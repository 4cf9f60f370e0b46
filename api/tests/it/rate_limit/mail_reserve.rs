//! The reserve of mails beyond the totals of a mailbox: for its owner, whatever strangers do (T5, M3).

use chrono::TimeDelta;
use latchkey_shared::models::{mail, user};
use serde_json::json;

use crate::{
    rate_limit::{
        change_password, login_from,
        mail_budget::{OWNER, request_code_from, sent_and_suppressed, start},
    },
    support::test_app::{PASSWORD, TestApp, Tokens, code_in},
};

const NEW: &str = "another quiet morning";

async fn tokens_from(app: &TestApp, client_ip: &str, email: &str, password: &str) -> Tokens {
    let answer = login_from(app, client_ip, email, password).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    Tokens {
        access: answer.text("/token/access"),
        refresh: answer.text("/token/refresh"),
    }
}

/// Registers an account, verifies its email by a reset, and logs in from the owner's network a day later.
async fn verified_owner(app: &TestApp, email: &str) -> Tokens {
    app.register(email).await;
    let (token, code) = app.request_reset(email).await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    assert_eq!(app.reset_password(&token, NEW).await.status, 200);
    app.deliver_all().await;
    app.advance_clock(TimeDelta::days(1));
    tokens_from(app, OWNER, email, NEW).await
}

/// Registers an account of a stranger, who logs in and requests codes from several networks, and then changes the password.
async fn act_as_stranger(app: &TestApp, number: usize, email: &str, networks: usize) {
    app.register(email).await;
    let mut access = String::new();
    for network in 0..networks {
        let client_ip = format!("203.0.{number}.{network}");
        access = tokens_from(app, &client_ip, email, PASSWORD).await.access;
        request_code_from(app, &client_ip, email).await;
    }
    let changed = change_password(app, &access, PASSWORD, NEW).await;
    assert!(changed.status.is_success(), "{changed:?}");
    app.deliver_all().await;
}

/// Requests a code from the owner's network, and checks that it arrives and is valid.
async fn owner_gets_a_code(app: &TestApp, email: &str) {
    let token = request_code_from(app, OWNER, email).await;
    let mails = app.mails_to(email).await;
    let code = code_in(mails.last().unwrap());
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
}

/// Uses up the totals of a mailbox with requests from 100 networks.
async fn flood_codes(app: &TestApp, email: &str, hour: u32) {
    for network in 0..100 {
        request_code_from(app, &format!("203.1.{hour}.{network}"), email).await;
    }
    app.deliver_all().await;
}

/// M3: an owner with a verified email gets codes and notices despite strangers with 100 networks and accounts at other spellings.
/// Strangers cause only the totals of the mailbox, and three mails of its plain spelling.
#[tokio::test]
async fn verified_owner_gets_mails_despite_strangers_at_other_spellings() {
    for (owner, plain) in [
        ("ada@example.com", None),
        ("ada+home@example.com", Some("ada@example.com")),
        ("a.da@gmail.com", Some("ada@gmail.com")),
    ] {
        let app = start(&[("ACTIVATION", "none")]).await;
        let tokens = verified_owner(&app, owner).await;
        let domain = owner.split_once('@').unwrap().1;
        let (codes, _) = sent_and_suppressed(&app, "reset_code").await;
        let (notices, _) = sent_and_suppressed(&app, "password_changed").await;

        for number in 0..20 {
            let email = format!("ada+{number}@{domain}");
            act_as_stranger(&app, number, &email, 1).await;
        }
        if let Some(plain) = plain {
            act_as_stranger(&app, 20, plain, 20).await;
        }
        flood_codes(&app, owner, 0).await;
        let sent = sent_and_suppressed(&app, "reset_code").await.0 - codes;
        let beyond = if plain.is_some() { 3 } else { 0 };
        assert_eq!(sent, 10 + beyond, "{owner}");
        let sent = sent_and_suppressed(&app, "password_changed").await.0 - notices;
        assert_eq!(sent, if plain.is_some() { 11 } else { 10 }, "{owner}");

        for _ in 0..3 {
            owner_gets_a_code(&app, owner).await;
        }
        let before = app.mails_to(owner).await.len();
        let mut access = tokens.access;
        for (from, to) in [(NEW, PASSWORD), (PASSWORD, NEW)] {
            let changed = change_password(&app, &access, from, to).await;
            access = changed.text("/access");
        }
        assert_eq!(app.mails_to(owner).await.len(), before + 2, "{owner}");
    }
}

/// M3: owners learn that the email of their account was changed, although strangers cause a flood of such notices.
#[tokio::test]
async fn verified_email_change_is_reported_during_flood() {
    let app = start(&[("ACTIVATION", "none")]).await;
    let tokens = verified_owner(&app, "ada@example.com").await;
    for number in 0..12 {
        let email = format!("ada+{number}@example.com");
        app.register(&email).await;
        let access = app.login(&email, PASSWORD).await.access;
        let change = json!({"email": format!("stranger{number}@example.net")});
        assert_eq!(app.patch_user(&access, change).await.status, 200);
    }
    assert_eq!(
        sent_and_suppressed(&app, "email_unconfirmed").await,
        (10, 2)
    );

    let change = json!({"email": "thief@example.net"});
    let changed = app.patch_user(&tokens.access, change).await;
    assert_eq!(changed.status, 200);

    assert_eq!(sent_and_suppressed(&app, "email_unconfirmed").await.0, 11);
    let mails = app.mails_to("ada@example.com").await;
    assert!(mails.last().unwrap().subject.contains("email of your"));
}

/// T5: accounts that take turns with the plain spelling of a mailbox share one reserve. The mailbox gets 33 mails of a kind a
/// day.
#[tokio::test]
async fn accounts_sharing_one_email_share_its_reserve() {
    let app = start(&[("ACTIVATION", "none")]).await;
    let mut accounts = Vec::new();
    for number in 0..15 {
        let email = format!("stranger{number}@example.net");
        app.register(&email).await;
        let access = app.login(&email, PASSWORD).await.access;
        accounts.push((access, email));
    }
    let passwords = [PASSWORD, NEW];
    for (round, expected) in [13, 23, 33, 33].into_iter().enumerate() {
        for (access, own) in &mut accounts {
            let change = json!({"email": "victim@example.com"});
            assert_eq!(app.patch_user(access, change).await.status, 200);
            let (from, to) = (passwords[round % 2], passwords[(round + 1) % 2]);
            let changed = change_password(&app, access, from, to).await;
            *access = changed.text("/access");
            let back = json!({"email": own});
            assert_eq!(app.patch_user(access, back).await.status, 200);
        }
        let mails = app.mails_to("victim@example.com").await;
        let subject = "password was changed";
        let these = mails.iter().filter(|mail| mail.subject.contains(subject));
        assert_eq!(these.count(), expected, "round {round}");
        app.advance_clock(TimeDelta::hours(1));
        for (access, own) in &mut accounts {
            *access = app.login(own, passwords[(round + 1) % 2]).await.access;
        }
    }
}

/// M3: an attacker who has guessed the password and logs in from many networks uses up the reserve of nine of them, but not
/// that of the owner's network.
#[tokio::test]
async fn guessed_password_does_not_exhaust_owners_reserve() {
    let app = start(&[("ACTIVATION", "none")]).await;
    verified_owner(&app, "ada@example.com").await;
    let (before, _) = sent_and_suppressed(&app, "reset_code").await;
    flood_codes(&app, "ada@example.com", 0).await;
    for network in 0..15 {
        app.advance_clock(TimeDelta::seconds(1));
        let client_ip = format!("203.0.113.{network}");
        tokens_from(&app, &client_ip, "ada@example.com", NEW).await;
        for _ in 0..4 {
            request_code_from(&app, &client_ip, "ada@example.com").await;
        }
    }
    let (sent, _) = sent_and_suppressed(&app, "reset_code").await;
    assert_eq!(sent - before, 10 + 9 * 3);

    for _ in 0..3 {
        owner_gets_a_code(&app, "ada@example.com").await;
    }
    // The reserve is used up for the day.
    app.advance_clock(TimeDelta::hours(1));
    flood_codes(&app, "ada@example.com", 1).await;
    app.advance_clock(TimeDelta::hours(1));
    flood_codes(&app, "ada@example.com", 2).await;
    let (sent, _) = sent_and_suppressed(&app, "reset_code").await;
    request_code_from(&app, OWNER, "ada@example.com").await;
    assert_eq!(sent_and_suppressed(&app, "reset_code").await.0, sent);
    assert_eq!(sent - before, 30 + 10 * 3);
}

/// M3: logins before the email was verified make no network known, so a thief of a session gets no codes. A logout keeps the
/// network known.
#[tokio::test]
async fn network_is_known_by_login_after_verification() {
    let app = start(&[("ACTIVATION", "none")]).await;
    let thief = "203.0.113.200";
    app.register("ada@example.com").await;
    tokens_from(&app, thief, "ada@example.com", PASSWORD).await;
    let (token, code) = app.request_reset("ada@example.com").await;
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    app.advance_clock(TimeDelta::seconds(1));
    assert_eq!(app.reset_password(&token, NEW).await.status, 200);
    app.deliver_all().await;
    app.advance_clock(TimeDelta::days(1));
    flood_codes(&app, "ada@example.com", 0).await;
    let id = app.user("ada@example.com").await.id;
    let is_known = async |client_ip: &str| {
        let (sent, _) = sent_and_suppressed(&app, "reset_code").await;
        let owner = user::find(&app.database.db, id).await.unwrap().unwrap();
        request_code_from(&app, client_ip, owner.email.as_str()).await;
        sent_and_suppressed(&app, "reset_code").await.0 > sent
    };
    assert!(!is_known(thief).await);
    assert!(!is_known(OWNER).await);

    let tokens = tokens_from(&app, OWNER, "ada@example.com", NEW).await;
    assert!(is_known(OWNER).await);
    let body = json!({"refresh": tokens.refresh});
    let logout = app.post("/auth/logout/", body).await;
    assert!(logout.status.is_success(), "{logout:?}");
    assert!(is_known(OWNER).await);
    assert!(!is_known(thief).await);

    let tokens = tokens_from(&app, OWNER, "ada@example.com", NEW).await;
    app.advance_clock(TimeDelta::seconds(1));
    let change = json!({"email": "lovelace@example.com"});
    assert_eq!(app.patch_user(&tokens.access, change).await.status, 200);
    // Codes still go to the previous email.
    flood_codes(&app, "lovelace@example.com", 1).await;
    assert!(is_known(OWNER).await);
    assert!(!is_known(thief).await);
}

/// T5: staff see whether the account of a suppressed mail has no reserve, or has used it up.
#[tokio::test]
async fn suppressed_mail_says_why_no_reserve_was_used() {
    let app = start(&[("ACTIVATION", "none"), ("LIMIT_MAIL_HOUR", "1/3600")]).await;
    for email in ["ada@example.com", "ada+1@example.com"] {
        app.register(email).await;
    }
    tokens_from(&app, OWNER, "ada@example.com", PASSWORD).await;
    for (email, client_ip, reason) in [
        ("ada@example.com", "203.0.113.1", None),
        ("ada@example.com", "203.0.113.2", Some("unknown network")),
        ("ada+1@example.com", "203.0.113.3", Some("not verified")),
        ("ada@example.com", OWNER, None),
        ("ada@example.com", OWNER, None),
        ("ada@example.com", OWNER, None),
        ("ada@example.com", OWNER, Some("LIMIT_MAIL_CAUSE")),
    ] {
        request_code_from(&app, client_ip, email).await;
        app.deliver_all().await;
        let mails = mail::list(&app.database.db, None, 1).await;
        let error = mails.unwrap().remove(0).last_error;
        match reason {
            None => assert_eq!(error, None),
            Some(reason) => assert!(error.as_ref().unwrap().contains(reason), "{error:?}"),
        }
    }
    app.advance_clock(TimeDelta::hours(1));
    for _ in 0..2 {
        request_code_from(&app, OWNER, "ada@example.com").await;
    }
    app.deliver_all().await;
    let mails = mail::list(&app.database.db, None, 1).await;
    let error = mails.unwrap().remove(0).last_error.unwrap();
    assert!(error.contains("reserve is used up"), "{error}");
}

//! Spellings of an email: one mailbox has one account, and mails go to the stored email.

use reqwest::Method;
use serde_json::json;

use crate::support::test_app::{PASSWORD, TestApp, registration};

const NEW: &str = "another quiet morning";

/// M2: Users reach their account with the domain in Unicode or ASCII, in NFC or NFD, and in any case.
#[tokio::test]
async fn email_in_another_spelling_is_the_same_account() {
    let app = TestApp::new().await;
    for (stored, spellings) in [
        (
            "x@b\u{fc}cher.example",
            vec![
                "x@xn--bcher-kva.example",
                "X@XN--BCHER-KVA.EXAMPLE",
                "x@bu\u{308}cher.example",
                "x@B\u{dc}CHER.example",
            ],
        ),
        ("y@xn--bcher-kva.example", vec!["y@b\u{fc}cher.example"]),
        (
            "Jos\u{e9}@example.com",
            vec!["jose\u{301}@example.com", "JOS\u{c9}@EXAMPLE.COM"],
        ),
    ] {
        let registered = app.register(stored).await;
        assert_eq!(registered.text("/email"), stored);
        app.activate(stored).await;
        for spelling in spellings {
            let answer = app.post("/api/register/", registration(spelling)).await;
            answer.assert_problem(409, "email-taken");
            let login = app.try_login(spelling, PASSWORD).await;
            assert_eq!(login.status, 200, "{spelling}: {login:?}");
            assert_eq!(login.text("/data/email"), stored);
        }
    }
}

/// M2: An email typed in NFD is stored in NFC.
#[tokio::test]
async fn email_typed_in_nfd_is_stored_in_nfc() {
    let app = TestApp::new().await;
    let answer = app.register("Jose\u{301}@Bu\u{308}cher.example").await;
    assert_eq!(answer.text("/email"), "Jos\u{e9}@b\u{fc}cher.example");
}

/// M1: The code goes to the stored email, whatever spelling the request has.
#[tokio::test]
async fn reset_code_goes_to_the_stored_email() {
    let app = TestApp::new().await;
    for (stored, asked, arrives_at) in [
        ("Kate@Example.com", "kATE@example.COM", "Kate@Example.com"),
        (
            "x@b\u{fc}cher.example",
            "x@xn--bcher-kva.example",
            "x@xn--bcher-kva.example",
        ),
    ] {
        app.logged_in_user(stored).await;
        app.deliver_all().await;
        let before = app.sink.mails().len();
        let answer = app
            .post("/auth/email_request/", json!({"email": asked}))
            .await;
        app.deliver_all().await;
        let mails = app.sink.mails().split_off(before);
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].to, [arrives_at]);
        let (token, code) = (
            answer.text("/token"),
            crate::support::test_app::code_in(&mails[0]),
        );
        assert_eq!(app.check_otp(&token, &code).await.status, 200);
        assert_eq!(app.reset_password(&token, NEW).await.status, 200);
        assert_eq!(app.try_login(asked, NEW).await.status, 200);
    }
}

/// M1: A reset request for an email that looks like that of an account sends no mail.
#[tokio::test]
async fn reset_request_for_look_alike_email_sends_nothing() {
    let app = TestApp::new().await;
    app.logged_in_user("kate@example.com").await;
    app.deliver_all().await;
    let before = app.sink.mails().len();
    for other in [
        "\u{212a}ate@example.com",
        "k\u{430}te@example.com",
        "\u{ff4b}ate@example.com",
        "kate@ex\u{430}mple.com",
        "kat\u{e9}@example.com",
        "k\u{e0}te@example.com",
    ] {
        app.post("/auth/email_request/", json!({"email": other}))
            .await;
    }
    app.deliver_all().await;
    assert_eq!(app.sink.mails().len(), before);
}

/// M2: Every endpoint that takes an email tells the user why it is rejected.
#[tokio::test]
async fn invalid_or_look_alike_email_is_rejected() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    for (email, code, reason) in [
        ("c\u{435}o@example.com", "look_alike", "alphabets"),
        (
            "\u{441}\u{435}\u{43e}@example.com",
            "look_alike",
            "look like",
        ),
        (
            "x@\u{430}\u{440}\u{440}\u{4cf}\u{435}.com",
            "look_alike",
            "look like",
        ),
        ("x@xn--80ak6aa92e.com", "look_alike", "look like"),
        ("\u{ff41}da@example.com", "character", "variant"),
        ("ada\u{3164}@example.com", "character", "invisible"),
        ("\u{212a}ate@example.com", "character", "variant"),
        ("ada@ex\u{ad}ample.com", "character", "domain"),
        ("ada@127.0.0.1", "invalid", "domain"),
        ("ada@[::1]", "invalid", "domain"),
        ("ada@xn--a.example", "invalid", "domain"),
        ("ada@example.com.", "invalid", "domain"),
    ] {
        for answer in [
            app.post("/api/register/", registration(email)).await,
            app.post("/auth/email_request/", json!({"email": email}))
                .await,
            app.try_login(email, PASSWORD).await,
            app.patch_user(&tokens.access, json!({"email": email}))
                .await,
        ] {
            answer.assert_invalid_field("email", code);
            let detail = answer.text("/errors/0/detail");
            assert!(detail.contains(reason), "{email}: {detail}");
        }
    }
}

/// Administrators find an account and its mails by any spelling of its email.
#[tokio::test]
async fn admin_search_finds_account_by_any_spelling() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let access = app.login("root@example.com", PASSWORD).await.access;
    app.register("J\u{f6}rg@B\u{fc}cher.example").await;
    app.post(
        "/auth/email_request/",
        json!({"email": "j\u{f6}rg@xn--bcher-kva.example"}),
    )
    .await;
    app.deliver_all().await;
    for spelling in [
        "j\u{f6}rg@b\u{fc}cher.example",
        "J\u{d6}RG@xn--bcher-kva.example",
    ] {
        for (path, name, list, found) in [
            ("/api/admin/users/", "q", "/users", 1),
            ("/api/admin/mails/", "to", "/mails", 2),
        ] {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair(name, spelling)
                .finish();
            let request = app.request(Method::GET, &format!("{path}?{query}"));
            let answer = app.send(request.bearer_auth(&access)).await;
            let rows = answer.body.pointer(list).and_then(|rows| rows.as_array());
            assert_eq!(rows.map(Vec::len), Some(found), "{spelling}: {answer:?}");
        }
    }
}

/// M2: Administrators find a domain by each of its labels in Unicode, and a username in any composition.
#[tokio::test]
async fn user_search_finds_label_and_name_in_any_composition() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let access = app.login("root@example.com", PASSWORD).await.access;
    for (email, name) in [
        ("x@b\u{fc}cher.example", "Cafe\u{301} Lima"),
        ("y@почта.рф", "\u{c9}va"),
    ] {
        let form = json!({"email": email, "username": name, "password": PASSWORD});
        assert_eq!(app.post("/api/register/", form).await.status, 201);
    }
    for (text, found) in [
        ("b\u{fc}cher", 1),
        ("B\u{dc}CHER", 1),
        ("bu\u{308}cher", 1),
        ("@b\u{fc}cher", 1),
        ("b\u{fc}cher.", 1),
        ("xn--bcher-kva", 1),
        ("почта", 1),
        ("рф", 1),
        ("b\u{fc}che", 1),
        ("buche", 1),
        ("caf\u{e9}", 1),
        ("cafe\u{301}", 1),
        ("CAFE\u{301} lima", 1),
        ("\u{c9}va", 1),
        ("E\u{301}va", 1),
        ("E\u{301}", 1),
        ("eva", 1),
        ("b\u{fc}cher \u{c9}va", 0),
    ] {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("q", text)
            .finish();
        let request = app.request(Method::GET, &format!("/api/admin/users/?{query}"));
        let answer = app.send(request.bearer_auth(&access)).await;
        let rows = answer.body["users"].as_array();
        assert_eq!(rows.map(Vec::len), Some(found), "{text}: {answer:?}");
    }
}

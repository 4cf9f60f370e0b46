//! `MAIL_TEMPLATES_DIR`, `latchkey-worker templates`, and the links of mails.

use std::fs;

use chrono::TimeDelta;
use latchkey_shared::models::{mail::MailKind, user};
use latchkey_worker::delivery::Outcome;

use crate::test_app::TestApp;

/// A team exports the templates, changes one, and gets it in the next mail without another program.
#[tokio::test]
async fn changed_template_appears_in_mails() {
    let mut app = TestApp::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let (code, text) = app.process(&["templates", "export", path]).output().await;
    assert_eq!(code, Some(0), "{text}");
    let template = folder.path().join("en/activated.html");
    let source = fs::read_to_string(&template).unwrap();
    let changed = source.replace("You can log in", "Come in, and log in");
    assert_ne!(changed, source);
    fs::write(&template, changed).unwrap();
    app.set("MAIL_TEMPLATES_DIR", path);
    let (code, text) = app.process(&["templates", "check"]).output().await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("All templates are complete") && text.contains("en (English)"));

    let user = app.user("ada@example.com").await;
    let mail = app.notice(MailKind::Activated, &user).await;

    assert_eq!(app.deliver(mail).await, Outcome::Sent);
    assert!(app.sink.mails()[0].html.contains("Come in, and log in"));
}

/// The start, `templates check` and `doctor` name file and line.
#[tokio::test]
async fn broken_template_stops_the_start() {
    let mut app = TestApp::new().await;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("en")).unwrap();
    let template = folder.path().join("en/welcome.txt");
    fs::write(&template, "Hello\n{{ username }}\n").unwrap();
    app.set("MAIL_TEMPLATES_DIR", folder.path().to_str().unwrap());

    for arguments in [&["run"][..], &["templates", "check"], &["doctor"]] {
        let (code, text) = app.process(arguments).output().await;
        assert_eq!(code, Some(1), "{text}");
        let place = format!("{}:2: undefined value", template.display());
        assert!(text.contains("MAIL_TEMPLATES_DIR: expected"), "{text}");
        assert!(text.contains(&place), "{place} is not in:\n{text}");
    }
}

/// A designer needs no secret for previews.
#[tokio::test]
async fn preview_writes_mails_without_secrets() {
    let mut app = TestApp::new().await;
    app.variables.clear();
    app.set("PRODUCT_NAME", "Acme");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();

    let preview = ["templates", "preview", path, "--kind", "reset_code"];
    let (code, text) = app.process(&preview).output().await;

    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("en-reset_code.html"), "{text}");
    let text = fs::read_to_string(folder.path().join("en-reset_code.txt")).unwrap();
    assert!(
        text.starts_with("Subject: 048291 is your Acme code"),
        "{text}"
    );
    assert!(!folder.path().join("en-welcome.html").exists());
}

/// Mails link to pages of the front end, and never to the API.
#[tokio::test]
async fn mails_link_to_app_url_only() {
    let mut app = TestApp::new().await;
    let user = app.user("ada@example.com").await;
    let at = app.clock.now() + TimeDelta::days(7);
    let scheduled = user::schedule_deletion(&app.database.db, user.id, at).await;
    scheduled.unwrap();
    let deliver_all = async |app: &TestApp| {
        for kind in MailKind::ALL {
            let mail = match kind.purpose() {
                None => app.notice(kind, &user).await,
                Some(_) => app.reset("ada@example.com").await.1,
            };
            assert_eq!(app.deliver(mail).await, Outcome::Sent, "{kind:?}");
        }
        let mails = app
            .sink
            .mails()
            .split_off(app.sink.mails().len() - MailKind::ALL.len());
        mails
            .into_iter()
            .map(|mail| mail.text + &mail.html)
            .collect::<Vec<_>>()
    };

    for content in deliver_all(&app).await {
        assert!(!content.contains("://"), "{content}");
    }
    app.set("APP_URL", "https://app.example.com/shop");
    app.set("RESET_URL", "{app}/#/forgotten");
    let linked = deliver_all(&app).await.concat();
    assert!(linked.contains("https://app.example.com/shop/login"));
    assert!(linked.contains("https://app.example.com/shop/#/forgotten"));
    assert!(!linked.contains("accounts.example.com"), "{linked}");
}

/// An account gets its language, a more general one, or English.
#[tokio::test]
async fn mails_are_in_language_of_account_with_fallback() {
    let mut app = TestApp::new().await;
    app.set("APP_URL", "https://app.example.com");
    for (number, (language, expected)) in [
        (None, "is your Latchkey code"),
        (Some("en-AU"), "is your Latchkey code"),
        (Some("ar"), "هو رمزك في"),
        (Some("ar-EG"), "هو رمزك في"),
        (Some("pt-BR"), "is your Latchkey code"),
    ]
    .into_iter()
    .enumerate()
    {
        let email = format!("user{number}@example.com");
        let user = app.user(&email).await;
        app.set_language(&user, language).await;
        let (_, mail) = app.reset(&email).await;
        assert_eq!(app.deliver(mail).await, Outcome::Sent);
        let mail = app.sink.mails().pop().unwrap();
        assert!(
            mail.subject.contains(expected),
            "{language:?}: {}",
            mail.subject
        );
        let code = mail.code().unwrap();
        assert!(mail.text.lines().any(|line| line == code), "{}", mail.text);
        assert!(
            mail.html.contains(&format!(">{code}</td>")),
            "{}",
            mail.html
        );
        let notice = app.notice(MailKind::Activated, &user).await;
        assert_eq!(app.deliver(notice).await, Outcome::Sent);
        let notice = app.sink.mails().pop().unwrap();
        assert_eq!(
            notice.html.contains("dir=\"rtl\""),
            expected.contains("رمزك")
        );
        assert!(notice.text.contains("https://app.example.com/login"));
    }
}

/// A new language is a folder.
#[tokio::test]
async fn folder_adds_language() {
    let mut app = TestApp::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    app.process(&["templates", "export", path]).output().await;
    fs::rename(folder.path().join("en"), folder.path().join("de")).unwrap();
    let words = folder.path().join("de/language.txt");
    let source = fs::read_to_string(&words).unwrap();
    let source = source
        .replace("\"English\"", "\"Deutsch\"")
        .replace("Questions?", "Fragen?");
    fs::write(&words, source).unwrap();
    app.set("MAIL_TEMPLATES_DIR", path);
    let user = app.user("ada@example.com").await;
    app.set_language(&user, Some("de-AT")).await;
    let mail = app.notice(MailKind::Activated, &user).await;

    assert_eq!(app.deliver(mail).await, Outcome::Sent);

    let mail = app.sink.mails().pop().unwrap();
    assert!(
        mail.html.contains("lang=\"de\"") && mail.text.contains("Fragen?"),
        "{mail:?}"
    );
    fs::remove_file(folder.path().join("de/welcome.html")).unwrap();
    let (code, text) = app.process(&["templates", "check"]).output().await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("de/welcome.html: missing; the language is incomplete"),
        "{text}"
    );
}

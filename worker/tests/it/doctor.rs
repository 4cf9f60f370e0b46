//! `latchkey-worker doctor`

use latchkey_testing::{RedisRefusal, RedisServer, Security};

use crate::{redis_refusals::on, test_app::TestApp};

/// `doctor` logs in to SMTP but sends no mail.
#[tokio::test]
async fn doctor_healthy_installation_warns_only_about_redis_persistence() {
    let app = TestApp::with(Security::StartTls, Some(("ada", "velvet-secret"))).await;

    let (code, text) = app.process(&["doctor"]).output().await;

    assert_eq!(code, Some(0), "{text}");
    for line in [
        "with STARTTLS, logged in",
        "append-only file off",
        "appendonly yes",
        "maxmemory-policy noeviction",
        "all migrations applied",
        "no queued mails",
        "agrees with Redis",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    assert!(
        !text.contains("velvet-secret") && !text.contains("failure"),
        "{text}"
    );
    assert!(app.sink.mails().is_empty());
}

/// Without a login, STARTTLS is used only if the server offers it.
#[tokio::test]
async fn doctor_says_that_mails_are_sent_without_tls() {
    let mut app = TestApp::new().await;
    let url = format!("{}?tls=opportunistic", app.sink.url());
    app.set("SMTP_URL", &url);

    let (code, text) = app.process(&["doctor"]).output().await;

    assert_eq!(code, Some(0), "{text}");
    let line = "without TLS, because the server does not offer STARTTLS";
    assert!(text.contains(line), "{text}");
}

/// SMTP is down and the database is not migrated. `--json` writes one object a line.
#[tokio::test]
async fn doctor_names_each_failure_with_remedy() {
    let mut app = TestApp::new().await;
    app.sink.stop();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/empty.db", folder.path().display());
    app.set("DATABASE_URL", &url);

    let (code, text) = app.process(&["doctor", "--json"]).output().await;

    assert_eq!(code, Some(1), "{text}");
    let finding = |subject: &str| {
        text.lines()
            .find(|line| {
                line.contains(r#""severity":"failure""#)
                    && line.contains(&format!(r#""subject":"{subject}""#))
            })
            .unwrap_or_else(|| panic!("{subject}: {text}"))
    };
    assert!(finding("smtp").contains("SMTP_URL"));
    assert!(finding("database").contains("latchkey-api migrate"));
    assert!(text.contains("append-only file off"), "{text}");
    for line in text.lines().filter(|line| line.starts_with('{')) {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[tokio::test]
async fn doctor_refused_login_and_missing_redis_fail() {
    let mut app = TestApp::with(Security::Implicit, Some(("ada", "velvet-secret"))).await;
    let url = app.sink.url().replace("velvet-secret", "wrong-secret");
    app.set("SMTP_URL", &url);
    app.set("REDIS_URL", "redis://127.0.0.1:1");

    let (code, text) = app.process(&["doctor"]).output().await;

    assert_eq!(code, Some(1), "{text}");
    for subject in ["failure  smtp", "failure  redis", "ok       database"] {
        assert!(text.contains(subject), "{subject} is not in:\n{text}");
    }
    assert!(text.contains("535"), "{text}");
    assert!(!text.contains("wrong-secret"), "{text}");
}

#[tokio::test]
async fn doctor_unwritable_mail_dir_fails() {
    let mut app = TestApp::new().await;
    app.variables.remove("SMTP_URL");
    app.set("MAIL_DIR", "/proc/none");

    let (code, text) = app.process(&["doctor"]).output().await;

    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("MAIL_DIR"), "{text}");
}

/// A problem has its remedy once, however many checks it fails.
#[tokio::test]
async fn doctor_prints_each_remedy_once() {
    let redis = RedisServer::start().await;
    let mut app = on(&redis.url()).await;
    for rule in ["-info", "-zadd"] {
        redis.refuse(RedisRefusal::Forbidden(rule)).await;
    }
    app.set("DATABASE_URL", "postgres://127.0.0.1:1/latchkey");

    let (code, text) = app.process(&["doctor"]).output().await;

    assert_eq!(code, Some(1), "{text}");
    for once in [
        "ACL SETUSER",
        "failure  redis",
        "DATABASE_URL",
        "failure  database",
    ] {
        assert_eq!(text.matches(once).count(), 1, "{once}: {text}");
    }
}

/// `options` sets parameters of the server for the session.
#[tokio::test]
async fn postgres_url_with_options_doctor_succeeds() {
    let mut app = TestApp::on_postgres().await;
    let mut url = url::Url::parse(app.database.url()).unwrap();
    let options = "-c statement_timeout=30s -c search_path=public";
    url.query_pairs_mut()
        .clear()
        .append_pair("options", options);
    for url in [url.as_str(), &url.as_str().replace('+', "%20")] {
        app.set("DATABASE_URL", url);

        let (code, text) = app.process(&["doctor"]).output().await;

        assert_eq!(code, Some(0), "{text}");
        assert!(
            text.contains("PostgreSQL, all migrations applied"),
            "{text}"
        );
    }
}

/// Mails of a production system should name a front end and a contact.
#[tokio::test]
async fn doctor_warns_without_app_url_or_support_address() {
    let mut app = TestApp::with(Security::StartTls, Some(("ada", "velvet-secret"))).await;
    app.set("ENVIRONMENT", "production");
    app.set("SECRET_KEY", "7tKq9vXw2LmZ4pRb8sYc1nHd6fJg3aTe");
    app.variables
        .retain(|key, _| key != "SUPPORT_ADDRESS" && !key.starts_with("LIMIT_"));

    let (_, text) = app.process(&["doctor"]).output().await;

    for line in [
        "warning  mails     have no links",
        "set APP_URL",
        "set SUPPORT_ADDRESS",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

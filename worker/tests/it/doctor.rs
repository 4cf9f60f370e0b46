//! `latchkey-worker doctor`

use latchkey_testing::Security;

use crate::test_app::TestApp;

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

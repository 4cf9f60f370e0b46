//! The overview: pending accounts, problems, charts and health checks.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use latchkey_testing::{Fault, Stage};

use super::{redis_command, unescape};
use crate::support::{
    dashboard::{Dashboard, assert_contains, assert_not_contains},
    test_app::{PASSWORD, TestApp},
};

/// The count and the link of a tile with this text.
fn tile(html: &str, text: &str) -> (String, String) {
    let (before, _) = html
        .split_once(&format!("</strong> {text}"))
        .unwrap_or_else(|| panic!("no tile {text} in {html}"));
    let count = before.rsplit_once("<strong>").unwrap().1.to_owned();
    let tile = before.rsplit_once("<a class=\"tile").unwrap().1;
    let link = tile.split_once("href=\"").unwrap().1;
    let link = unescape(link.split('"').next().unwrap());
    (count, link)
}

/// Whether a row of the health checks is good, and its text.
fn health(html: &str, part: &str) -> (bool, String) {
    let (_, row) = html
        .split_once(&format!("<span>{part}</span>"))
        .unwrap_or_else(|| panic!("no row {part} in {html}"));
    let (class, text) = row
        .split_once("<span class=\"")
        .unwrap()
        .1
        .split_once("\">")
        .unwrap();
    (class == "good", text.split('<').next().unwrap().to_owned())
}

/// The SMTP row of the overview, as the administrator with this email sees it.
async fn smtp_of(app: &TestApp, email: &str) -> (bool, String) {
    let dashboard = Dashboard::signed_in(app, email).await;
    health(&dashboard.get_html("/admin/").await, "SMTP")
}

async fn smtp(app: &TestApp) -> (bool, String) {
    smtp_of(app, "root@example.com").await
}

/// Administrators approve the oldest pending accounts first; deactivated accounts are not pending.
#[tokio::test]
async fn overview_lists_pending_accounts_oldest_first() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    for i in 0..10 {
        app.register(&format!("user{i}@example.com")).await;
    }
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let rejected = app.user("user3@example.com").await.id;
    let confirmed = [("confirmed", "yes")];
    root.bulk("deactivate", &[rejected], &confirmed).await;

    let html = root.get_html("/admin/").await;
    assert_contains(&html, "Pending approval <span class=\"count\">9</span>");
    let position = |html: &str, i: usize| html.find(&format!("user{i}@example.com"));
    assert!(
        position(&html, 0).unwrap() < position(&html, 1).unwrap(),
        "{html}"
    );
    assert!(position(&html, 3).is_none(), "{html}");
    assert!(
        position(&html, 8).is_some() && position(&html, 9).is_none(),
        "eight are shown: {html}"
    );

    let link = "/admin/users/?status=pending_approval";
    assert_contains(&html, &format!("href=\"{link}\""));
    let html = root.get_html(&link.replace("&amp;", "&")).await;
    assert_contains(&html, "Results: <strong>9</strong>");
    assert_contains(&html, "Pending approval <span class=\"badge\">9<");
    assert!(
        position(&html, 0).unwrap() < position(&html, 9).unwrap(),
        "{html}"
    );
    assert!(position(&html, 3).is_none(), "{html}");

    // The overview has the button to activate.
    let id = app.user("user0@example.com").await.id;
    let page = root.bulk("activate", &[id], &[("back", "/admin/")]).await;
    assert_eq!(root.follow(&page).await, "Activated.");
    assert_contains(
        &root.get_html("/admin/").await,
        "<span class=\"count\">8</span>",
    );
}

/// Administrators follow a problem count to exactly those mails.
#[tokio::test]
async fn overview_tiles_link_to_counted_mails() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.deliver_all().await;
    let refused = vec!["failed@example.com".to_owned()];
    app.sink.set_fault(Fault::RefuseRecipients(refused, 550));
    app.register("failed@example.com").await;
    app.deliver_all().await;
    app.sink.set_fault(Fault::CloseConnections);
    app.register("expired@example.com").await;
    app.deliver_all().await;
    app.advance_clock(TimeDelta::days(4));
    app.deliver_all().await;
    app.register("late@example.com").await;
    app.advance_clock(TimeDelta::minutes(6));
    app.register("new@example.com").await;

    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let html = root.get_html("/admin/").await;
    for (text, email) in [
        ("mails failed in the last 7 days", "failed@example.com"),
        ("mails expired in the last 7 days", "expired@example.com"),
        ("mails queued for more than 5 minutes", "late@example.com"),
    ] {
        let (count, link) = tile(&html, text);
        assert_eq!(count, "1", "{text}");
        let list = root.get_html(&link).await;
        assert_eq!(
            list.matches("<tr role=\"row\"><td").count(),
            1,
            "{text}: {list}"
        );
        assert_contains(&list, email);
    }
    app.advance_clock(TimeDelta::days(6));
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let html = root.get_html("/admin/").await;
    for text in [
        "mails failed in the last 7 days",
        "mails expired in the last 7 days",
    ] {
        let (count, link) = tile(&html, text);
        assert_eq!(count, "0", "{text}");
        assert!(
            root.get_html(&link).await.contains("No mails match"),
            "{text}"
        );
    }
}

/// R3: the overview reports an SMTP outage until a mail gets through, and its reason only to staff who see mails.
#[tokio::test]
async fn smtp_health_recovers_after_accepted_mail() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    assert_eq!(
        smtp(&app).await,
        (true, "no mail was sent in the last 7 days".to_owned())
    );
    app.deliver_all().await;
    let (ok, text) = smtp(&app).await;
    assert!(ok && text.starts_with("last mail accepted at"), "{text}");

    // The server greylists one recipient.
    let next = async |email: &str| {
        app.advance_clock(TimeDelta::minutes(1));
        app.register(email).await;
        app.deliver_all().await;
    };
    let grey = vec!["grey@example.com".to_owned()];
    app.sink.set_fault(Fault::RefuseRecipients(grey, 451));
    next("grey@example.com").await;
    let (ok, text) = smtp(&app).await;
    assert!(ok && text.contains("one recipient"), "{text}");
    next("ada@example.com").await;
    let (ok, text) = smtp(&app).await;
    assert!(ok && text.starts_with("last mail accepted"), "{text}");

    // The server refuses connections.
    app.sink.set_fault(Fault::CloseConnections);
    next("grace@example.com").await;
    let (ok, text) = smtp(&app).await;
    assert!(
        !ok && text.starts_with("no mail can be delivered; last error: "),
        "{text}"
    );
    // The reason may contain personal data, so it requires the permission `mails`.
    app.create_staff("staff@example.com", "view_users").await;
    let text = smtp_of(&app, "staff@example.com").await;
    assert_eq!(text, (false, "no mail can be delivered".to_owned()));
    app.sink.set_fault(Fault::None);
    app.advance_clock(TimeDelta::minutes(6));
    app.deliver_all().await;
    assert!(smtp(&app).await.0);
}

/// The overview reports expired codes, and queued mails that no worker delivers.
#[tokio::test]
async fn smtp_health_reports_expired_and_stuck_mails() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.create_superuser("root@example.com").await;
    app.deliver_all().await;
    app.advance_clock(TimeDelta::minutes(1));
    let body = serde_json::json!({"email": "ada@example.com"});
    app.sink.set_fault(Fault::CloseConnections);
    assert_eq!(app.post("/auth/email_request/", body).await.status, 201);
    app.deliver_all().await;
    app.advance_clock(TimeDelta::minutes(30));
    app.deliver_all().await;
    // The code has expired, and no mail has been accepted since.
    app.sink.set_fault(Fault::None);
    let (ok, text) = smtp(&app).await;
    assert!(
        !ok && text.contains("expired before delivery; before that: "),
        "{text}"
    );
    app.register("grace@example.com").await;
    app.deliver_all().await;
    assert!(smtp(&app).await.0);

    app.register("hedy@example.com").await;
    app.advance_clock(TimeDelta::minutes(6));
    let text = smtp(&app).await;
    assert_eq!(
        text,
        (
            false,
            "mails are queued, but no delivery was attempted".to_owned()
        )
    );
}

/// Registers an account whose mail is delivered under this fault.
async fn register_with_fault(app: &TestApp, email: &str, fault: Fault) {
    app.advance_clock(TimeDelta::minutes(1));
    app.register(email).await;
    app.sink.set_fault(fault);
    app.deliver_all().await;
    app.sink.set_fault(Fault::None);
}

/// R2, R3: the overview distinguishes an SMTP server that rejects the service from one that rejects a recipient.
#[tokio::test]
async fn smtp_health_distinguishes_rejected_service_from_recipient() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.create_staff("staff@example.com", "view_users").await;
    app.deliver_all().await;
    let denied = Fault::Reply(
        Stage::Recipient,
        "554 5.7.1 <ada@one.example>: Relay access denied",
    );

    register_with_fault(&app, "ada@one.example", denied.clone()).await;
    let (ok, text) = smtp(&app).await;
    assert!(ok && text.contains("one recipient"), "{text}");

    register_with_fault(&app, "eve@two.example", denied).await;
    let (ok, text) = smtp(&app).await;
    assert!(!ok && text.contains("Relay access denied"), "{text}");
    assert!(
        text.starts_with("mails to several domains are rejected"),
        "{text}"
    );
    assert!(!text.contains('@'), "{text}");
    let (ok, text) = smtp_of(&app, "staff@example.com").await;
    assert!(!ok && text == "mails to several domains are rejected");

    app.advance_clock(TimeDelta::minutes(6));
    app.deliver_all().await;
    let (ok, text) = smtp(&app).await;
    assert!(ok && text.starts_with("last mail accepted"), "{text}");

    for (email, stage, reply) in [
        ("kate@one.example", Stage::Greeting, "554 5.7.1 no service"),
        (
            "joan@one.example",
            Stage::Sender,
            "553 5.7.1 not your sender",
        ),
    ] {
        register_with_fault(&app, email, Fault::Reply(stage, reply)).await;
        let (ok, text) = smtp(&app).await;
        assert!(!ok && text.contains(&reply[10..]), "{text}");
    }
}

/// Administrators see registrations and logins of 30 days; only today is counted anew.
#[tokio::test]
async fn charts_show_30_days_and_cache_past_ones() {
    let app = TestApp::new().await;
    let midnight = |at: DateTime<Utc>| at.date_naive().and_time(NaiveTime::MIN).and_utc();
    let tomorrow = midnight(app.clock.now()) + TimeDelta::days(1);
    app.advance_clock(tomorrow - app.clock.now() - TimeDelta::microseconds(1));
    let first = app.clock.now().date_naive();
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    app.advance_clock(TimeDelta::microseconds(1));
    let second = app.clock.now().date_naive();
    app.register("grace@example.com").await;
    app.try_login("root@example.com", PASSWORD).await;
    let chart = |html: &str, kind: &str| {
        let (_, chart) = html.split_once(&format!("h-{kind}\">")).unwrap();
        chart.split("</section>").next().unwrap().to_owned()
    };

    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let sign_ups = chart(&root.get_html("/admin/").await, "user_created");
    assert_eq!(sign_ups.matches("class=\"bar\"").count(), 30, "{sign_ups}");
    for (day, number) in [(first, 2), (second, 1)] {
        assert_contains(&sign_ups, &format!(">{day}: {number}</text>"));
    }
    // The scale, and the days below the baseline.
    for label in ["0", "1", "2", "today"] {
        assert_contains(&sign_ups, &format!(">{label}</text>"));
    }
    let oldest = second - TimeDelta::days(29);
    assert_contains(&sign_ups, &format!(">{}</text>", oldest.format("%m-%d")));
    assert_contains(&sign_ups, "class=\"baseline\"");
    assert_contains(&sign_ups, "Total: 3, today: 1");
    let logins = chart(&root.get_html("/admin/").await, "authn_login_success");
    assert_contains(&logins, "Total: 2, today: 2");

    // Past days come from the cache, today from the database.
    app.register("hedy@example.com").await;
    let key = |day| format!("{}:admin:day:user_created:{day}", app.redis.namespace());
    let _: () = redis_command(&app, &["SET", &key(first), "7"]).await;
    let keys = app.redis.keys().await;
    assert!(!keys.contains(&key(second)), "{keys:?}");
    let sign_ups = chart(&root.get_html("/admin/").await, "user_created");
    assert_contains(&sign_ups, "Total: 9, today: 2");

    for (days, is_shown) in [(28, true), (1, false)] {
        app.advance_clock(TimeDelta::days(days));
        let root = Dashboard::signed_in(&app, "root@example.com").await;
        let sign_ups = chart(&root.get_html("/admin/").await, "user_created");
        assert_eq!(
            sign_ups.contains(&first.to_string()),
            is_shown,
            "{sign_ups}"
        );
    }
}

/// Administrators see the state of each dependency, and only sections that their permissions allow.
#[tokio::test]
async fn overview_shows_health_and_only_permitted_sections() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
    let html = root.get_html("/admin/").await;
    for (part, ok, text) in [
        ("Database", true, "available"),
        ("Redis", true, "available"),
        ("Picture storage", true, "available"),
        ("Mail workers", false, "none is running"),
    ] {
        assert_eq!(health(&html, part), (ok, text.to_owned()));
    }
    app.create_staff("staff@example.com", "mails").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    let html = staff.get_html("/admin/").await;
    assert_contains(&html, "mails failed");
    assert_contains(&html, "Health checks");
    for hidden in [
        "ada@example.com",
        "active lockouts",
        "Registrations",
        "Pending approval",
    ] {
        assert_not_contains(&html, hidden);
    }
}

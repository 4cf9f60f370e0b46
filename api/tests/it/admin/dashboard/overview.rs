//! The overview: who waits, what went wrong, the last 30 days, and how everything fares.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use latchkey_testing::Fault;

use crate::{
    support::dashboard::Dashboard,
    support::test_app::{PASSWORD, TestApp},
};

/// What a tile counts, and where it leads.
fn tile(html: &str, says: &str) -> (String, String) {
    let (before, _) = html
        .split_once(&format!("</strong> {says}"))
        .unwrap_or_else(|| panic!("no tile {says} in {html}"));
    let count = before.rsplit_once("<strong>").unwrap().1.to_owned();
    let link = before.rsplit_once("href=\"").unwrap().1;
    let link = link.split('"').next().unwrap().replace("&amp;", "&");
    (count, link)
}

/// What a row of the health says, and whether that is good.
fn health(html: &str, part: &str) -> (bool, String) {
    let (_, row) = html
        .split_once(&format!("<span>{part}</span>"))
        .unwrap_or_else(|| panic!("no row {part} in {html}"));
    let (class, says) = row
        .split_once("<span class=\"")
        .unwrap()
        .1
        .split_once("\">")
        .unwrap();
    (class == "good", says.split('<').next().unwrap().to_owned())
}

async fn smtp(app: &TestApp) -> (bool, String) {
    let root = Dashboard::signed_in(app, "root@example.com").await;
    health(&root.get_html("/admin/").await, "SMTP")
}

#[tokio::test]
async fn whoever_waits_longest_is_on_top_and_whoever_was_shut_does_not_wait() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    for i in 0..10 {
        app.register(&format!("user{i}@example.com")).await;
    }
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let rejected = app.user("user3@example.com").await.id.to_string();
    let shut = [
        ("id", rejected.as_str()),
        ("act", "deactivate"),
        ("confirmed", "yes"),
    ];
    root.submit("/admin/users/bulk/", &shut).await;

    let html = root.get_html("/admin/").await;
    assert!(
        html.contains("Pending approval <span class=\"count\">9</span>"),
        "{html}"
    );
    let place = |html: &str, i: usize| html.find(&format!("user{i}@example.com"));
    assert!(
        place(&html, 0).unwrap() < place(&html, 1).unwrap(),
        "{html}"
    );
    assert!(place(&html, 3).is_none(), "{html}");
    assert!(
        place(&html, 8).is_some() && place(&html, 9).is_none(),
        "eight are shown: {html}"
    );

    let link = "/admin/users/?activated=pending_approval&amp;sort=joined";
    assert!(html.contains(&format!("href=\"{link}\"")), "{html}");
    let html = root.get_html(&link.replace("&amp;", "&")).await;
    assert!(
        html.contains("Results: <strong>9</strong>") && html.contains("Pending approval (9)"),
        "{html}"
    );
    assert!(
        place(&html, 0).unwrap() < place(&html, 9).unwrap(),
        "{html}"
    );
    assert!(place(&html, 3).is_none(), "{html}");

    // Right there.
    let id = app.user("user0@example.com").await.id.to_string();
    let fields = [
        ("id", id.as_str()),
        ("act", "activate"),
        ("back", "/admin/"),
    ];
    assert_eq!(
        root.submit("/admin/users/bulk/", &fields).await,
        "Activated."
    );
    assert!(
        root.get_html("/admin/")
            .await
            .contains("<span class=\"count\">8</span>")
    );
}

#[tokio::test]
async fn a_shut_account_is_opened_by_whoever_was_told_that_it_is_shut() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    app.register("grace@example.com").await;
    app.deactivate("grace@example.com").await;
    let (ada, grace) = (
        app.user("ada@example.com").await.id.to_string(),
        app.user("grace@example.com").await.id.to_string(),
    );
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let both = [
        ("id", ada.as_str()),
        ("id", grace.as_str()),
        ("act", "activate"),
    ];
    let page = root.post("/admin/users/bulk/", &both).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(
        page.html.contains("Some of these accounts are deactivated"),
        "{}",
        page.html
    );
    for email in ["ada@example.com", "grace@example.com"] {
        assert!(!app.user(email).await.is_activated, "{email}");
    }
    let mut sure = both.to_vec();
    sure.push(("confirmed", "yes"));
    assert_eq!(
        root.submit("/admin/users/bulk/", &sure).await,
        "Activated. (2)"
    );
    let grace = app.user("grace@example.com").await;
    assert!(grace.is_active && grace.is_activated);
}

#[tokio::test]
async fn each_tile_leads_to_the_mails_that_it_counts() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.deliver_all().await;
    let refused = vec!["failed@example.com".to_owned()];
    app.sink.set_fault(Fault::ReplyTo(refused, 550));
    app.register("failed@example.com").await;
    app.deliver_all().await;
    app.sink.set_fault(Fault::Refuse);
    app.register("expired@example.com").await;
    app.deliver_all().await;
    app.advance_clock(TimeDelta::days(4));
    app.deliver_all().await;
    app.register("late@example.com").await;
    app.advance_clock(TimeDelta::minutes(6));
    app.register("new@example.com").await;

    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let html = root.get_html("/admin/").await;
    for (says, email) in [
        ("mails failed in the last 7 days", "failed@example.com"),
        ("mails expired in the last 7 days", "expired@example.com"),
        ("mails queued for more than 5 minutes", "late@example.com"),
    ] {
        let (count, link) = tile(&html, says);
        assert_eq!(count, "1", "{says}");
        let list = root.get_html(&link).await;
        assert_eq!(
            list.matches("<tr role=\"row\"><td").count(),
            1,
            "{says}: {list}"
        );
        assert!(list.contains(email), "{says}: {list}");
    }
    app.advance_clock(TimeDelta::days(6));
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let html = root.get_html("/admin/").await;
    for says in [
        "mails failed in the last 7 days",
        "mails expired in the last 7 days",
    ] {
        let (count, link) = tile(&html, says);
        assert_eq!(count, "0", "{says}");
        assert!(root.get_html(&link).await.contains("None."), "{says}");
    }
}

#[tokio::test]
async fn smtp_is_well_when_something_got_through_since_what_did_not() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    assert_eq!(
        smtp(&app).await,
        (true, "no mail was sent in the last 7 days".to_owned())
    );
    app.deliver_all().await;
    let (ok, says) = smtp(&app).await;
    assert!(ok && says.starts_with("last mail accepted at"), "{says}");

    // One recipient is greylisted.
    let next = async |email: &str| {
        app.advance_clock(TimeDelta::minutes(1));
        app.register(email).await;
        app.deliver_all().await;
    };
    let grey = vec!["grey@example.com".to_owned()];
    app.sink.set_fault(Fault::ReplyTo(grey, 451));
    next("grey@example.com").await;
    let (ok, says) = smtp(&app).await;
    assert!(ok && says.contains("one recipient"), "{says}");
    next("ada@example.com").await;
    let (ok, says) = smtp(&app).await;
    assert!(ok && says.starts_with("last mail accepted"), "{says}");

    // The server is gone: one mail tells.
    app.sink.set_fault(Fault::Refuse);
    next("grace@example.com").await;
    let (ok, says) = smtp(&app).await;
    assert!(
        !ok && says.starts_with("no mail can be delivered; last error: "),
        "{says}"
    );
    // Others than those who see mails are not told the reason, which may name somebody.
    app.create_staff("staff@example.com", "view_users").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    let says = health(&staff.get_html("/admin/").await, "SMTP");
    assert_eq!(says, (false, "no mail can be delivered".to_owned()));
    app.sink.set_fault(Fault::None);
    app.advance_clock(TimeDelta::minutes(6));
    app.deliver_all().await;
    assert!(smtp(&app).await.0);
}

#[tokio::test]
async fn smtp_is_ill_while_codes_expire_and_while_nobody_tries() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    app.create_superuser("root@example.com").await;
    app.deliver_all().await;
    app.advance_clock(TimeDelta::minutes(1));
    let body = serde_json::json!({"email": "ada@example.com"});
    app.sink.set_fault(Fault::Refuse);
    assert_eq!(app.post("/auth/email_request/", body).await.status, 201);
    app.deliver_all().await;
    app.advance_clock(TimeDelta::minutes(30));
    app.deliver_all().await;
    // The code is dead and waits no more, and nothing has got through since.
    app.sink.set_fault(Fault::None);
    let (ok, says) = smtp(&app).await;
    assert!(
        !ok && says.contains("expired before delivery; before that: "),
        "{says}"
    );
    app.register("grace@example.com").await;
    app.deliver_all().await;
    assert!(smtp(&app).await.0);

    app.register("hedy@example.com").await;
    app.advance_clock(TimeDelta::minutes(6));
    let says = smtp(&app).await;
    assert_eq!(
        says,
        (
            false,
            "mails are queued, but no delivery was attempted".to_owned()
        )
    );
}

#[tokio::test]
async fn charts_have_a_bar_for_each_of_30_days_and_days_that_are_over_are_counted_once() {
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
    assert_eq!(sign_ups.matches("<rect").count(), 30, "{sign_ups}");
    for (day, number) in [(first, 2), (second, 1)] {
        let says = format!("<title>{day}: {number}</title>");
        assert!(sign_ups.contains(&says), "{says}: {sign_ups}");
    }
    assert!(sign_ups.contains("Total: 3, today: 1"), "{sign_ups}");
    let logins = chart(&root.get_html("/admin/").await, "authn_login_success");
    assert!(logins.contains("Total: 2, today: 2"), "{logins}");

    // Today is counted anew, and days that are over are not.
    app.register("hedy@example.com").await;
    let key = |day| format!("{}:admin:day:user_created:{day}", app.redis.namespace());
    let mut redis = app.redis.connection();
    let _: () = redis::cmd("SET")
        .arg(key(first))
        .arg(7)
        .query_async(&mut redis)
        .await
        .unwrap();
    let known = app.redis.keys().await;
    assert!(!known.contains(&key(second)), "{known:?}");
    let sign_ups = chart(&root.get_html("/admin/").await, "user_created");
    assert!(sign_ups.contains("Total: 9, today: 2"), "{sign_ups}");

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

#[tokio::test]
async fn the_health_of_each_part_is_told_and_nobody_sees_more_than_they_may() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let html = root.get_html("/admin/").await;
    for (part, well, says) in [
        ("Database", true, "available"),
        ("Redis", true, "available"),
        ("Picture storage", true, "available"),
        ("Mail workers", false, "none is running"),
    ] {
        assert_eq!(health(&html, part), (well, says.to_owned()));
    }
    app.create_staff("staff@example.com", "mails").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    let html = staff.get_html("/admin/").await;
    assert!(
        html.contains("mails failed") && html.contains("Health checks"),
        "{html}"
    );
    for hidden in [
        "ada@example.com",
        "active lockouts",
        "Registrations",
        "Pending approval",
    ] {
        assert!(!html.contains(hidden), "{hidden}: {html}");
    }
}

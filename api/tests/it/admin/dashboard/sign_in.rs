//! Sign-in, session, setup and the preferences of an administrator.

use chrono::TimeDelta;
use latchkey_shared::models::{audit, user::staff};
use reqwest::Method;

use super::{redis_command, unescape};
use crate::support::{
    dashboard::{Dashboard, assert_contains, assert_not_contains, field_value},
    test_app::{PASSWORD, TestApp},
};

/// A4: only active staff sign in; the refusal does not tell why.
#[tokio::test]
async fn sign_in_without_staff_access_returns_same_401() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    app.create_staff("deactivated@example.com", "view_users")
        .await;
    app.deactivate("deactivated@example.com").await;

    let mut responses = Vec::new();
    for (email, password) in [
        ("unknown@example.com", PASSWORD),
        ("root@example.com", "wrong password"),
        ("ada@example.com", PASSWORD),
        ("deactivated@example.com", PASSWORD),
    ] {
        let page = Dashboard::open(&app).await.sign_in(email, password).await;
        assert_eq!(page.status, 401, "{page:?}");
        assert!(page.cookie("latchkey_admin").is_none(), "{page:?}");
        let csrf = field_value(&page.html, "csrf");
        responses.push(page.html.replace(email, "…").replace(&csrf, "…"));
    }
    assert!(
        responses.iter().all(|response| *response == responses[0]),
        "{responses:?}"
    );

    let page = Dashboard::open(&app)
        .await
        .sign_in("ROOT@example.com", PASSWORD)
        .await;
    assert_eq!((page.status.as_u16(), page.location()), (303, "/admin/"));
    let events = audit::list(&app.database.db, audit::Filter::default(), 10)
        .await
        .unwrap();
    assert_eq!(events[0].event, "authn_login_success");
    assert_eq!(events[0].detail.as_deref(), Some("dashboard"));
    assert!(
        events
            .iter()
            .any(|event| event.detail.as_deref() == Some("not_staff"))
    );
}

/// A4: each sign-in gets a new cookie that scripts and other sites cannot use.
#[tokio::test]
async fn sign_in_sets_new_protected_session_cookie() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let dashboard = Dashboard::open(&app).await;
    let first = dashboard.sign_in("root@example.com", PASSWORD).await;
    let first = first.cookie("latchkey_admin").unwrap();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert_contains(&first, attribute);
    }
    assert_not_contains(&first, "Expires");
    assert_not_contains(&first, "Max-Age");
    let again = Dashboard::signed_in(&app, "root@example.com").await;
    let second = again.sign_in("root@example.com", PASSWORD).await;
    let second = second.cookie("latchkey_admin").unwrap();
    assert_ne!(first, second, "each sign-in has a new session name");
    let name = second.split(['=', ';']).nth(1).unwrap();
    assert!(
        !app.redis.dump().await.contains(name),
        "Redis stores only the hash"
    );

    let https = TestApp::with(&[("PUBLIC_URL", "https://accounts.example.com")]).await;
    let page = https
        .http
        .get(format!("{}/admin/login/", https.base))
        .send()
        .await
        .unwrap();
    let cookie = page.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.starts_with("__Host-latchkey_visitor=") && cookie.contains("Secure"),
        "{cookie}"
    );
}

/// Administrators return to the page that they asked for. Links to other sites are ignored.
#[tokio::test]
async fn sign_in_returns_only_to_dashboard_pages() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    for (requested, target) in [
        (
            "/admin/users/?q=ada&sort=name",
            "/admin/users/?q=ada&sort=name",
        ),
        ("//evil.example", "/admin/"),
        ("https://evil.example/admin/", "/admin/"),
        ("/\\evil.example", "/admin/"),
        ("/admin/..//evil.example", "/admin/"),
        ("/docs", "/admin/"),
    ] {
        let visitor = Dashboard::open(&app).await;
        let next: String = form_urlencoded::byte_serialize(requested.as_bytes()).collect();
        let html = visitor
            .get_html(&format!("/admin/login/?next={next}"))
            .await;
        let shown = unescape(&field_value(&html, "next"));
        assert_eq!(shown, target, "{requested}");
        let fields = [
            ("email", "root@example.com"),
            ("password", PASSWORD),
            ("next", requested),
        ];
        let page = visitor.post("/admin/login/", &fields).await;
        assert_eq!(
            (page.status.as_u16(), page.location()),
            (303, target),
            "{requested}"
        );
    }
    // A page that was requested without a session.
    let visitor = Dashboard::open(&app).await;
    let page = visitor.get("/admin/users/?q=ada&sort=name").await;
    let html = visitor.get_html(page.location()).await;
    assert_eq!(
        unescape(&field_value(&html, "next")),
        "/admin/users/?q=ada&sort=name"
    );
    assert_not_contains(&html, "Your session ended");
    // The page of a form that was sent after the session had ended.
    for (referer, next) in [("/admin/users/7/", "/admin/users/7/"), ("/docs", "/admin/")] {
        let request = visitor
            .post_request("/admin/users/7/")
            .header("referer", format!("{}{referer}", app.base))
            .form(&[("csrf", visitor.csrf.as_str()), ("username", "Ada")]);
        let page = visitor.send(request).await;
        let html = visitor.get_html(page.location()).await;
        assert_eq!(field_value(&html, "next"), next);
        assert_contains(&html, "Your session ended before your last change");
    }
}

/// A4: a session ends after `ADMIN_IDLE_SECONDS` without use and after `ADMIN_SESSION_SECONDS` in any case.
#[tokio::test]
async fn dashboard_session_ends_when_idle_or_expired() {
    let app = TestApp::with(&[
        ("ADMIN_IDLE_SECONDS", "600"),
        ("ADMIN_SESSION_SECONDS", "3600"),
    ])
    .await;
    let root = Dashboard::superuser(&app).await;

    // Redis expires idle sessions by its own clock, which the test cannot advance.
    let key = app
        .redis
        .keys()
        .await
        .into_iter()
        .find(|key| key.contains(":admin:session:"))
        .unwrap();
    let left: i64 = redis_command(&app, &["TTL", &key]).await;
    assert!((500..=600).contains(&left), "after the sign-in: {left}");
    let _: () = redis_command(&app, &["EXPIRE", &key, "100"]).await;
    root.get_html("/admin/").await;
    let left: i64 = redis_command(&app, &["TTL", &key]).await;
    assert!((500..=600).contains(&left), "after a request: {left}");
    let _: () = redis_command(&app, &["DEL", &key]).await;
    assert_eq!(root.get("/admin/").await.status, 303);

    let root = Dashboard::signed_in(&app, "root@example.com").await;
    app.advance_clock(TimeDelta::seconds(3599));
    root.get_html("/admin/").await;
    app.advance_clock(TimeDelta::seconds(2));
    assert_eq!(root.get("/admin/").await.status, 303);
}

/// A4: a password reset, a logout from all devices, a demotion and a deactivation end the session.
#[tokio::test]
async fn ending_logins_ends_dashboard_session() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.create_superuser("second@example.com").await;
    let email = "second@example.com";

    // A password reset.
    let signed_in = Dashboard::signed_in(&app, email).await;
    let (token, code) = app.request_reset(email).await;
    app.check_otp(&token, &code).await;
    app.reset_password(&token, PASSWORD).await;
    assert_eq!(signed_in.get("/admin/").await.status, 303);

    // A logout from all devices, by the API and in the dashboard.
    let signed_in = Dashboard::signed_in(&app, email).await;
    let tokens = app.login(email, PASSWORD).await;
    let everywhere = app
        .request(Method::POST, "/auth/logout_all/")
        .bearer_auth(&tokens.access);
    assert_eq!(app.send(everywhere).await.status, 204);
    assert_eq!(signed_in.get("/admin/").await.status, 303);
    let signed_in = Dashboard::signed_in(&app, email).await;
    let tokens = app.login(email, PASSWORD).await;
    signed_in
        .post("/admin/logout/", &[("everywhere", "yes")])
        .await;
    assert_eq!(signed_in.get("/admin/").await.status, 303);
    assert_eq!(app.get_user(&tokens.access).await.status, 401);

    // Signing out ends only this session.
    let (one, two) = (
        Dashboard::signed_in(&app, email).await,
        Dashboard::signed_in(&app, email).await,
    );
    one.post("/admin/logout/", &[]).await;
    assert_eq!(one.get("/admin/").await.status, 303);
    two.get_html("/admin/").await;

    // Demotion and deactivation.
    let seen = app.user(email).await;
    let change = staff::Change {
        is_staff: Some(false),
        ..staff::Change::default()
    };
    staff::change(&app.database.db, &seen, change, app.clock.now())
        .await
        .unwrap();
    assert_eq!(two.get("/admin/").await.status, 403);
    app.deactivate(email).await;
    assert_eq!(two.get("/admin/").await.status, 303);
}

/// A4: an attacker cannot guess passwords in the dashboard faster than by the API.
#[tokio::test]
async fn sign_in_failures_lock_out_like_logins() {
    let app = TestApp::with_lockout_after(3).await;
    app.create_superuser("root@example.com").await;
    let visitor = Dashboard::open(&app).await;
    for _ in 0..3 {
        let page = visitor.sign_in("root@example.com", "wrong password").await;
        assert_eq!(page.status, 401);
    }
    let page = visitor.sign_in("root@example.com", PASSWORD).await;
    assert_eq!(
        page.status, 429,
        "the lockout also refuses the right password"
    );
    assert!(page.cookie("latchkey_admin").is_none());
}

/// Ending all sessions requires a session; htmx follows the redirect as a whole page.
#[tokio::test]
async fn logout_everywhere_without_session_requires_sign_in() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let tokens = app.login("root@example.com", PASSWORD).await;
    // The session expires.
    for key in app.redis.keys().await {
        if key.contains(":admin:session:") {
            let _: () = redis_command(&app, &["DEL", &key]).await;
        }
    }
    let page = root.post("/admin/logout/", &[("everywhere", "yes")]).await;
    assert!(
        page.location().starts_with("/admin/login/?next="),
        "{page:?}"
    );
    assert_eq!(app.get_user(&tokens.access).await.status, 200);
    // `HX-Redirect` makes htmx load the sign-in page instead of inserting it.
    let request = app
        .request(Method::GET, "/admin/users/")
        .header("hx-request", "true");
    let page = root.send(request).await;
    assert_eq!(page.status, 204);
    assert!(
        page.headers["hx-redirect"]
            .to_str()
            .unwrap()
            .starts_with("/admin/login/")
    );
}

/// The first administrator is created once, by a link that only the log shows.
#[tokio::test]
async fn setup_link_creates_one_administrator() {
    let app = TestApp::new().await;
    let start = || async {
        let mut program = app.process(&["serve"]);
        program.wait_for_line("Listening on").await;
        program.terminate().await;
        program.lines().join("\n")
    };
    let link = |log: &str| {
        log.split_whitespace()
            .find_map(|word| word.split_once("/admin/setup/"))
            .map(|(_, token)| format!("/admin/setup/{token}"))
    };
    let path = link(&start().await).expect("a link in the log");
    assert_eq!(
        link(&start().await).as_ref(),
        Some(&path),
        "every replica logs the same link"
    );

    let visitor = Dashboard::open(&app).await;
    assert_eq!(visitor.get("/admin/setup/0123456789/").await.status, 404);
    visitor.get_html(&path).await;
    let form = |email, again| {
        [
            ("email", email),
            ("username", "Root"),
            ("password", PASSWORD),
            ("password_again", again),
        ]
    };
    let page = visitor.post(&path, &form("root@example.com", "no")).await;
    assert_eq!(page.status, 400);
    assert_contains(&page.html, "do not match");
    assert_contains(&page.html, "root@example.com");
    let (one, two) = (
        form("root@example.com", PASSWORD),
        form("thief@example.com", PASSWORD),
    );
    let (one, two) = tokio::join!(visitor.post(&path, &one), visitor.post(&path, &two));
    let created = [&one, &two]
        .iter()
        .filter(|page| page.status == 303)
        .count();
    assert_eq!(created, 1, "{one:?} {two:?}");
    assert_eq!(staff::count_superusers(&app.database.db).await.unwrap(), 1);
    assert_eq!(visitor.get(&path).await.status, 404, "it works once");
    assert_eq!(
        link(&start().await),
        None,
        "no link once an administrator exists"
    );
}

/// Administrators change their password; that ends their other sessions.
#[tokio::test]
async fn own_password_change_requires_current_password() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let other = Dashboard::signed_in(&app, "root@example.com").await;
    let form = |current, new, again| {
        [
            ("password", current),
            ("new_password", new),
            ("password_again", again),
        ]
    };
    let good = "another quiet morning";
    for (fields, error) in [
        (
            form("wrong password", good, good),
            "current password is wrong",
        ),
        (form(PASSWORD, good, "something else"), "do not match"),
        (form(PASSWORD, "short", "short"), "At least 8"),
    ] {
        let page = root.post("/admin/account/", &fields).await;
        assert_eq!(page.status, 400, "{page:?}");
        assert_contains(&page.html, error);
        assert!(!page.html.contains(good), "the page repeats no password");
    }
    let message = root
        .submit("/admin/account/", &form(PASSWORD, good, good))
        .await;
    assert_eq!(message, "Your password has been changed.");
    assert_eq!(other.get("/admin/").await.status, 303);
}

/// Administrators choose language and theme; Arabic pages are right to left.
#[tokio::test]
async fn language_and_theme_preferences_are_kept() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let fields = [
        ("language", "ar"),
        ("theme", "dark"),
        ("back", "/admin/users/"),
    ];
    let page = root.post("/admin/preferences/", &fields).await;
    assert_eq!(page.location(), "/admin/users/");
    let html = root.get_html("/admin/users/").await;
    assert_contains(
        &html,
        "<html lang=\"ar\" dir=\"rtl\" data-bs-theme=\"dark\">",
    );
    let fields = [
        ("language", "en"),
        ("theme", "system"),
        ("back", "//evil.example"),
    ];
    let page = root.post("/admin/preferences/", &fields).await;
    assert_eq!(page.location(), "/admin/");
    let html = root.get_html("/admin/").await;
    assert_contains(&html, "<html lang=\"en\" dir=\"ltr\">");
    let request = app
        .request(Method::GET, "/admin/login/")
        .header("accept-language", "fr, ar;q=0.8");
    // Without a saved preference, the language follows the browser's `Accept-Language`.
    let html = Dashboard::open(&app).await.send(request).await.html;
    assert_contains(&html, "<html lang=\"ar\"");
}

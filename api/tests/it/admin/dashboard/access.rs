//! The dashboard's door: who gets in, for how long, and what its pages and forms keep out.

use chrono::TimeDelta;
use latchkey_shared::models::{audit, mail, user::staff};
use latchkey_testing::Process;
use reqwest::Method;

use crate::{
    support::dashboard::{Dashboard, field_value},
    support::test_app::{PASSWORD, TestApp},
};

/// A mail that is not there.
const NO_MAIL: &str = "00000000-0000-0000-0000-000000000000";

const PAGES: [&str; 10] = [
    "/admin/",
    "/admin/users/",
    "/admin/users/1/",
    "/admin/users/export/",
    "/admin/resets/",
    "/admin/limits/",
    "/admin/mails/",
    "/admin/mails/00000000-0000-0000-0000-000000000000/",
    "/admin/audit/",
    "/admin/account/",
];

/// Every form, with something that it would change.
const FORMS: [(&str, &[(&str, &str)]); 11] = [
    ("/admin/setup/0123456789/", &[("email", "eve@example.com")]),
    ("/admin/login/", &[]),
    ("/admin/logout/", &[]),
    ("/admin/preferences/", &[]),
    ("/admin/account/", &[]),
    ("/admin/users/bulk/", &[("id", "2"), ("act", "activate")]),
    ("/admin/users/2/", &[("username", "Somebody else")]),
    ("/admin/users/2/sessions/", &[]),
    ("/admin/mails/00000000-0000-0000-0000-000000000000/", &[]),
    ("/admin/limits/release/", &[]),
    ("/admin/audit/verify/", &[]),
];

#[tokio::test]
async fn only_staff_sign_in_and_everybody_else_gets_one_answer() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    app.create_staff("shut@example.com", "view_users").await;
    app.deactivate("shut@example.com").await;

    let mut answers = Vec::new();
    for (email, password) in [
        ("nobody@example.com", PASSWORD),
        ("root@example.com", "not the password"),
        ("ada@example.com", PASSWORD),
        ("shut@example.com", PASSWORD),
    ] {
        let page = Dashboard::open(&app).await.sign_in(email, password).await;
        assert_eq!(page.status, 401, "{page:?}");
        assert!(page.cookie("latchkey_admin").is_none(), "{page:?}");
        let csrf = field_value(&page.html, "csrf");
        answers.push(page.html.replace(email, "…").replace(&csrf, "…"));
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
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
            .any(|event| event.detail.as_deref() == Some("not staff"))
    );
}

#[tokio::test]
async fn a_sign_in_has_a_new_cookie_that_neither_scripts_nor_other_sites_get() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let dashboard = Dashboard::open(&app).await;
    let first = dashboard.sign_in("root@example.com", PASSWORD).await;
    let first = first.cookie("latchkey_admin").unwrap();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(first.contains(attribute), "{first}");
    }
    assert!(
        !first.contains("Expires") && !first.contains("Max-Age"),
        "{first}"
    );
    let again = Dashboard::signed_in(&app, "root@example.com").await;
    let second = again.sign_in("root@example.com", PASSWORD).await;
    let second = second.cookie("latchkey_admin").unwrap();
    assert_ne!(first, second, "a name of its own for each sign-in");
    let name = second.split(['=', ';']).nth(1).unwrap();
    assert!(
        !app.redis.dump().await.contains(name),
        "Redis knows only the hash"
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

#[tokio::test]
async fn a_form_without_the_token_of_its_browser_changes_nothing() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let other = Dashboard::signed_in(&app, "root@example.com").await;

    for (path, fields) in FORMS {
        for (token, site) in [
            (String::new(), "same-origin"),
            (other.csrf.clone(), "same-origin"),
            (root.csrf.clone(), "cross-site"),
            (root.csrf.clone(), "same-site"),
        ] {
            let mut fields = fields.to_vec();
            fields.push(("csrf", &token));
            let request = root
                .post_request(path)
                .header("sec-fetch-site", site)
                .form(&fields);
            let page = root.send(request).await;
            assert_eq!(page.status, 403, "{path} {site}: {page:?}");
        }
    }
    let ada = app.user("ada@example.com").await;
    assert!(!ada.is_activated);
    assert_eq!(ada.username.as_str(), "Ada");
    // With its own token the same form does something.
    root.submit("/admin/users/bulk/", FORMS[5].1).await;
    assert!(app.user("ada@example.com").await.is_activated);
}

#[tokio::test]
async fn nothing_but_the_sign_in_is_seen_without_a_sign_in() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let visitor = Dashboard::open(&app).await;
    for path in PAGES {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 303, "{path}: {page:?}");
        assert!(page.location().starts_with("/admin/login/?next=%2Fadmin"));
    }
    for (path, fields) in FORMS.into_iter().skip(4) {
        let page = visitor.post(path, fields).await;
        assert_eq!(page.status, 303, "{path}: {page:?}");
        assert!(page.location().starts_with("/admin/login/"), "{page:?}");
    }
    // Neither is a token of the API a sign-in, nor the cookie one for the API.
    let tokens = app.login("root@example.com", PASSWORD).await;
    let page = visitor
        .send(
            app.request(Method::GET, "/admin/")
                .bearer_auth(&tokens.access),
        )
        .await;
    assert_eq!(page.status, 303);
    let page = visitor
        .send(
            app.request(Method::GET, "/admin/")
                .header("cookie", format!("latchkey_admin={}", tokens.access)),
        )
        .await;
    assert_eq!(page.status, 303);
}

#[tokio::test]
async fn each_page_asks_for_its_own_permission() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let newest = mail::list(&app.database.db, None, 1).await.unwrap();
    let mail = format!("/admin/mails/{}/", newest[0].id);
    let mail = mail.as_str();
    for (rights, seen) in [
        ("", vec!["/admin/", "/admin/account/"]),
        (
            "view_users",
            vec![
                "/admin/",
                "/admin/users/",
                "/admin/users/1/",
                "/admin/users/export/",
                "/admin/resets/",
                "/admin/limits/",
                "/admin/account/",
            ],
        ),
        (
            "mails",
            vec!["/admin/", "/admin/mails/", mail, "/admin/account/"],
        ),
        ("audit", vec!["/admin/", "/admin/audit/", "/admin/account/"]),
    ] {
        let email = format!("staff-{rights}@example.com");
        app.create_staff(&email, rights).await;
        let staff = Dashboard::signed_in(&app, &email).await;
        let home = staff.get_html("/admin/").await;
        for path in PAGES {
            let path = if path.contains(NO_MAIL) { mail } else { path };
            let page = staff.get(path).await;
            assert_eq!(page.headers["cache-control"], "no-store", "{path}");
            let expected = if seen.contains(&path) { 200 } else { 403 };
            assert_eq!(page.status, expected, "{rights}: {path}");
            let is_section = !path.contains("setup")
                && path.matches('/').count() == 3
                && path != "/admin/account/";
            if is_section {
                let link = format!("href=\"{path}\"");
                assert_eq!(home.contains(&link), expected == 200, "{rights}: {path}");
            }
        }
    }
}

#[tokio::test]
async fn each_form_asks_for_its_own_permission() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let ada = app.user("ada@example.com").await;
    let newest = mail::list(&app.database.db, None, 1).await.unwrap();
    let (mail, user) = (
        format!("/admin/mails/{}/", newest[0].id),
        format!("/admin/users/{}/", ada.id),
    );
    let (sessions, id) = (format!("{user}sessions/"), ada.id.to_string());
    let act = |act| vec![("id", id.as_str()), ("act", act), ("confirmed", "yes")];
    let forms = [
        ("mails", mail.as_str(), vec![("act", "cancel")]),
        ("mails", &mail, vec![("act", "retry")]),
        (
            "change_users",
            "/admin/limits/release/",
            vec![("name", "failed_attempts:email:0")],
        ),
        ("change_users", &sessions, vec![("session", NO_MAIL)]),
        ("change_users", &user, vec![("username", "Eve")]),
        ("change_users", "/admin/users/bulk/", act("activate")),
        ("change_users", "/admin/users/bulk/", act("deactivate")),
        ("change_users", "/admin/users/bulk/", act("sign_out")),
        (
            "change_users",
            "/admin/users/bulk/",
            act("request_password_reset"),
        ),
        ("delete_users", "/admin/users/bulk/", act("delete")),
        ("audit", "/admin/audit/verify/", vec![]),
    ];
    let rights = [
        "view_users",
        "change_users",
        "delete_users",
        "mails",
        "audit",
    ];
    for right in rights {
        let (with, others) = (
            format!("{right}@example.com"),
            format!("no-{right}@example.com"),
        );
        app.create_staff(&with, right).await;
        let rest: Vec<_> = rights.into_iter().filter(|it| *it != right).collect();
        app.create_staff(&others, &rest.join(",")).await;
        let others = Dashboard::signed_in(&app, &others).await;
        for (_, path, fields) in forms.iter().filter(|(needed, ..)| *needed == right) {
            let page = others.post(path, fields).await;
            assert_eq!(page.status, 403, "{path} {fields:?} without {right}");
        }
    }
    assert_eq!(app.user("ada@example.com").await, ada);
    assert_eq!(app.get_user(&tokens.access).await.status, 200);
    let kept = mail::find(&app.database.db, newest[0].id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&newest[0]));
    for (right, path, fields) in forms {
        let with = Dashboard::signed_in(&app, &format!("{right}@example.com")).await;
        let page = with.post(path, &fields).await;
        assert_ne!(page.status, 403, "{path} {fields:?} with {right}");
    }
}

#[tokio::test]
async fn whoever_signs_in_goes_on_where_they_wanted_to_and_nowhere_else() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    for (wanted, target) in [
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
        let next: String = form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
        let html = visitor
            .get_html(&format!("/admin/login/?next={next}"))
            .await;
        let shown = field_value(&html, "next").replace("&#38;", "&");
        assert_eq!(shown, target, "{wanted}");
        let fields = [
            ("email", "root@example.com"),
            ("password", PASSWORD),
            ("next", wanted),
        ];
        let page = visitor.post("/admin/login/", &fields).await;
        assert_eq!(
            (page.status.as_u16(), page.location()),
            (303, target),
            "{wanted}"
        );
    }
    // What somebody wants to see without being signed in.
    let visitor = Dashboard::open(&app).await;
    let page = visitor.get("/admin/users/?q=ada&sort=name").await;
    let html = visitor.get_html(page.location()).await;
    assert_eq!(
        field_value(&html, "next").replace("&#38;", "&"),
        "/admin/users/?q=ada&sort=name"
    );
    assert!(!html.contains("Your session ended"), "{html}");
    // And where the form stood that somebody sent after having been signed out.
    for (referer, next) in [("/admin/users/7/", "/admin/users/7/"), ("/docs", "/admin/")] {
        let request = visitor
            .post_request("/admin/users/7/")
            .header("referer", format!("{}{referer}", app.base))
            .form(&[("csrf", visitor.csrf.as_str()), ("username", "Ada")]);
        let page = visitor.send(request).await;
        let html = visitor.get_html(page.location()).await;
        assert_eq!(field_value(&html, "next"), next);
        assert!(
            html.contains("Your session ended before your last change"),
            "{html}"
        );
    }
}

#[tokio::test]
async fn a_file_stays_in_caches_under_its_own_hash_alone() {
    let app = TestApp::new().await;
    let visitor = Dashboard::open(&app).await;
    let html = visitor.get_html("/admin/login/").await;
    let addresses: Vec<_> = html
        .split("\"/admin/assets/")
        .skip(1)
        .map(|rest| format!("/admin/assets/{}", rest.split('"').next().unwrap()))
        .collect();
    assert_eq!(addresses.len(), 4, "{html}");
    for address in addresses {
        let page = visitor.get(&address).await;
        let kept = page.headers["cache-control"].to_str().unwrap();
        assert!(kept.contains("immutable"), "{address}: {kept}");
        // Of a page that another version made.
        let (name, _) = address.split_once('?').unwrap();
        for other in [name.to_owned(), format!("{name}?v=00000000")] {
            let page = visitor.get(&other).await;
            assert_eq!(page.status, 200, "{other}");
            assert_eq!(page.headers["cache-control"], "no-store", "{other}");
        }
    }
}

#[tokio::test]
async fn pages_have_no_inline_script_or_style_and_stand_in_no_frame() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    for path in PAGES
        .into_iter()
        .chain(["/admin/login/", "/admin/nowhere/"])
    {
        if path.contains("export") {
            continue;
        }
        let page = root.get(path).await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        for needed in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(needed), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.headers["cache-control"], "no-store", "{path}");
        assert_eq!(page.headers["x-frame-options"], "DENY", "{path}");
        for inline in [
            "<style",
            " style=",
            " onclick=",
            " onload=",
            "javascript:",
            "hx-on",
        ] {
            assert!(!page.html.contains(inline), "{path}: {inline}");
        }
        for script in page.html.split("<script").skip(1) {
            assert!(
                script.starts_with(" src=\"/admin/assets/"),
                "{path}: {script}"
            );
        }
        assert!(!page.html.contains("src=\"http"), "{path}");
    }
}

#[tokio::test]
async fn a_sign_in_ends_when_it_is_idle_and_at_last_anyway() {
    let app = TestApp::with(&[
        ("ADMIN_IDLE_SECONDS", "600"),
        ("ADMIN_SESSION_SECONDS", "3600"),
    ])
    .await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;

    // Idle time is Redis' own: what is not used for so long is gone there.
    let mut redis = app.redis.connection();
    let key = app
        .redis
        .keys()
        .await
        .into_iter()
        .find(|key| key.contains(":admin:session:"))
        .unwrap();
    let left: i64 = redis::cmd("TTL")
        .arg(&key)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!((500..=600).contains(&left), "from the sign-in on: {left}");
    let _: () = redis::cmd("EXPIRE")
        .arg(&key)
        .arg(100)
        .query_async(&mut redis)
        .await
        .unwrap();
    root.get_html("/admin/").await;
    let left: i64 = redis::cmd("TTL")
        .arg(&key)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!((500..=600).contains(&left), "a click prolongs it: {left}");
    let _: () = redis::cmd("DEL")
        .arg(&key)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(root.get("/admin/").await.status, 303);

    let root = Dashboard::signed_in(&app, "root@example.com").await;
    app.advance_clock(TimeDelta::seconds(3599));
    root.get_html("/admin/").await;
    app.advance_clock(TimeDelta::seconds(2));
    assert_eq!(root.get("/admin/").await.status, 303);
}

#[tokio::test]
async fn whatever_ends_logins_ends_the_dashboard_too() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.create_superuser("second@example.com").await;
    let email = "second@example.com";

    // A reset.
    let signed_in = Dashboard::signed_in(&app, email).await;
    let (token, code) = app.request_reset(email).await;
    app.check_otp(&token, &code).await;
    app.reset_password(&token, PASSWORD).await;
    assert_eq!(signed_in.get("/admin/").await.status, 303);

    // "Log out everywhere" in an app, and on a page.
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

    // Signing out ends this one alone.
    let (one, two) = (
        Dashboard::signed_in(&app, email).await,
        Dashboard::signed_in(&app, email).await,
    );
    one.post("/admin/logout/", &[]).await;
    assert_eq!(one.get("/admin/").await.status, 303);
    two.get_html("/admin/").await;

    // Losing the access, and being shut.
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

#[tokio::test]
async fn sign_ins_are_limited_like_logins() {
    let app = TestApp::with(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "3"),
        ("LIMIT_LOGIN_FAILURES", "100"),
    ])
    .await;
    app.create_superuser("root@example.com").await;
    let visitor = Dashboard::open(&app).await;
    for _ in 0..3 {
        let page = visitor.sign_in("root@example.com", "wrong password").await;
        assert_eq!(page.status, 401);
    }
    let page = visitor.sign_in("root@example.com", PASSWORD).await;
    assert_eq!(page.status, 429, "the right password waits, too");
    assert!(page.cookie("latchkey_admin").is_none());
}

#[tokio::test]
async fn the_own_password_is_changed_by_whoever_knows_it() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let other = Dashboard::signed_in(&app, "root@example.com").await;
    let form = |now, new, again| {
        [
            ("password", now),
            ("new_password", new),
            ("password_again", again),
        ]
    };
    let good = "another quiet morning";
    for (fields, says) in [
        (
            form("wrong password", good, good),
            "current password is wrong",
        ),
        (form(PASSWORD, good, "something else"), "do not match"),
        (form(PASSWORD, "short", "short"), "At least 8"),
    ] {
        let page = root.post("/admin/account/", &fields).await;
        assert_eq!(page.status, 400, "{page:?}");
        assert!(page.html.contains(says), "{says}: {}", page.html);
        assert!(!page.html.contains(good), "no password is shown again");
    }
    let done = root
        .submit("/admin/account/", &form(PASSWORD, good, good))
        .await;
    assert_eq!(done, "Your password has been changed.");
    assert_eq!(other.get("/admin/").await.status, 303);
}

#[tokio::test]
async fn arabic_reads_from_right_to_left_and_themes_are_kept() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let fields = [
        ("language", "ar"),
        ("theme", "dark"),
        ("back", "/admin/users/"),
    ];
    let page = root.post("/admin/preferences/", &fields).await;
    assert_eq!(page.location(), "/admin/users/");
    let html = root.get_html("/admin/users/").await;
    assert!(
        html.contains("<html lang=\"ar\" dir=\"rtl\" data-theme=\"dark\">"),
        "{html}"
    );
    let fields = [
        ("language", "en"),
        ("theme", "system"),
        ("back", "//evil.example"),
    ];
    let page = root.post("/admin/preferences/", &fields).await;
    assert_eq!(page.location(), "/admin/");
    let html = root.get_html("/admin/").await;
    assert!(html.contains("<html lang=\"en\" dir=\"ltr\">"), "{html}");
    let wished = app
        .request(Method::GET, "/admin/login/")
        .header("accept-language", "fr, ar;q=0.8");
    // Without a saved preference, the language follows the browser's `Accept-Language`.
    let html = Dashboard::open(&app).await.send(wished).await.html;
    assert!(html.contains("<html lang=\"ar\""), "{html}");
}

#[tokio::test]
async fn the_set_up_link_makes_one_administrator_once() {
    let app = TestApp::new().await;
    let mut variables = app.variables.clone();
    variables.insert("BIND".to_owned(), "127.0.0.1:0".to_owned());
    let start = || async {
        let mut program =
            Process::spawn(env!("CARGO_BIN_EXE_latchkey-api"), &["serve"], &variables);
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
        "every replica writes the same"
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
    assert!(page.html.contains("do not match") && page.html.contains("root@example.com"));
    let (one, two) = (
        form("root@example.com", PASSWORD),
        form("thief@example.com", PASSWORD),
    );
    let (one, two) = tokio::join!(visitor.post(&path, &one), visitor.post(&path, &two));
    let made = [&one, &two]
        .iter()
        .filter(|page| page.status == 303)
        .count();
    assert_eq!(made, 1, "{one:?} {two:?}");
    assert_eq!(staff::count_superusers(&app.database.db).await.unwrap(), 1);
    assert_eq!(visitor.get(&path).await.status, 404, "it works once");
    assert_eq!(link(&start().await), None, "nobody needs one any more");
}

#[tokio::test]
async fn whoever_is_not_signed_in_any_more_has_to_sign_in_to_end_the_other_sessions() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let tokens = app.login("root@example.com", PASSWORD).await;
    // Idle for too long.
    for key in app.redis.keys().await {
        if key.contains(":admin:session:") {
            let mut redis = app.redis.connection();
            let _: () = redis::cmd("DEL")
                .arg(&key)
                .query_async(&mut redis)
                .await
                .unwrap();
        }
    }
    let page = root.post("/admin/logout/", &[("everywhere", "yes")]).await;
    assert!(
        page.location().starts_with("/admin/login/?next="),
        "{page:?}"
    );
    assert_eq!(app.get_user(&tokens.access).await.status, 200);
    // htmx is told to go there, not to put the page where it asked for a part of one.
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

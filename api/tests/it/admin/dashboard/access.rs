//! Permissions, CSRF tokens and response headers of the pages.

use std::collections::BTreeSet;

use latchkey_shared::models::mail;
use reqwest::Method;

use super::newest_mail;
use crate::support::{
    api_tokens::create_api_token,
    dashboard::{Dashboard, assert_contains, assert_not_contains},
    test_app::{PASSWORD, TestApp},
};

/// The id of a mail that does not exist.
const NO_MAIL: &str = "00000000-0000-0000-0000-000000000000";

const PAGES: [&str; 16] = [
    "/admin/",
    "/admin/users/",
    "/admin/users/1/",
    "/admin/users/add/",
    "/admin/users/export/",
    "/admin/resets/",
    "/admin/limits/",
    "/admin/roles/",
    "/admin/roles/add/",
    "/admin/mails/",
    "/admin/mails/00000000-0000-0000-0000-000000000000/",
    "/admin/mails/00000000-0000-0000-0000-000000000000/preview/",
    "/admin/audit/",
    "/admin/account/",
    "/admin/tokens/",
    "/admin/tokens/add/",
];

/// Every form with fields that would change something.
const FORMS: [(&str, &[(&str, &str)]); 19] = [
    ("/admin/setup/0123456789/", &[("email", "eve@example.com")]),
    ("/admin/login/", &[]),
    ("/admin/forgot/", &[("email", "root@example.com")]),
    ("/admin/reset/", &[]),
    ("/admin/logout/", &[]),
    ("/admin/preferences/", &[]),
    ("/admin/account/", &[]),
    (
        "/admin/tokens/add/",
        &[
            ("name", "Eve"),
            ("days", "30"),
            ("password", PASSWORD),
            ("view_users", "on"),
        ],
    ),
    (
        "/admin/tokens/00000000-0000-0000-0000-000000000000/revoke/",
        &[("confirmed", "yes")],
    ),
    ("/admin/users/bulk/", &[("id", "2"), ("act", "activate")]),
    (
        "/admin/users/add/",
        &[
            ("email", "eve@example.com"),
            ("username", "Eve"),
            ("access", "none"),
        ],
    ),
    ("/admin/users/2/", &[("username", "Eve")]),
    ("/admin/users/2/sessions/", &[]),
    ("/admin/mails/00000000-0000-0000-0000-000000000000/", &[]),
    ("/admin/limits/release/", &[]),
    ("/admin/roles/add/", &[("name", "Eve")]),
    ("/admin/roles/1/", &[("name", "Eve")]),
    ("/admin/roles/1/delete/", &[("confirmed", "yes")]),
    ("/admin/audit/verify/", &[]),
];

/// A4: other sites cannot submit forms for an administrator.
#[tokio::test]
async fn form_without_csrf_token_returns_403() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.register("ada@example.com").await;
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
    // The browser's own token is accepted.
    root.submit("/admin/users/bulk/", FORMS[9].1).await;
    assert!(app.user("ada@example.com").await.is_activated);
}

/// A4, K1: without a session the dashboard shows nothing.
#[tokio::test]
async fn page_without_session_redirects_to_sign_in() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let visitor = Dashboard::open(&app).await;
    for path in PAGES {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 303, "{path}: {page:?}");
        assert!(page.location().starts_with("/admin/login/?next=%2Fadmin"));
    }
    for (path, fields) in FORMS.into_iter().skip(6) {
        let page = visitor.post(path, fields).await;
        assert_eq!(page.status, 303, "{path}: {page:?}");
        assert!(page.location().starts_with("/admin/login/"), "{page:?}");
    }
    // Neither an access token nor an API token is a session, as a bearer token or as the cookie.
    let (_, api_token) = create_api_token(&app, "root@example.com", "view_users").await;
    let tokens = app.login("root@example.com", PASSWORD).await;
    let request = || app.request(Method::GET, "/admin/users/");
    for token in [tokens.access, api_token.access] {
        let cookie = format!("latchkey_admin={token}");
        for request in [
            request().bearer_auth(&token),
            request().header("cookie", cookie),
        ] {
            assert_eq!(visitor.send(request).await.status, 303);
        }
    }
}

/// A4: staff see only the pages and links that their permissions allow.
#[tokio::test]
async fn page_without_permission_returns_403() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let mail = format!("/admin/mails/{}/", newest_mail(&app).await.id);
    let mail = mail.as_str();
    for (permissions, allowed) in [
        ("", vec!["/admin/", "/admin/account/"]),
        (
            "view_users",
            vec![
                "/admin/",
                "/admin/users/",
                "/admin/users/1/",
                "/admin/resets/",
                "/admin/limits/",
                "/admin/account/",
            ],
        ),
        (
            "add_users",
            vec![
                "/admin/",
                "/admin/users/",
                "/admin/users/1/",
                "/admin/users/add/",
                "/admin/resets/",
                "/admin/limits/",
                "/admin/account/",
            ],
        ),
        (
            "export_users",
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
        let email = format!("staff-{permissions}@example.com");
        app.create_staff(&email, permissions).await;
        let staff = Dashboard::signed_in(&app, &email).await;
        let home = staff.get_html("/admin/").await;
        for path in PAGES {
            let path = if path.contains(NO_MAIL) { mail } else { path };
            let page = staff.get(path).await;
            assert_eq!(page.headers["cache-control"], "no-store", "{path}");
            let is_allowed = allowed.contains(&path) || path.starts_with("/admin/tokens/");
            let expected = if is_allowed { 200 } else { 403 };
            assert_eq!(page.status, expected, "{permissions}: {path}");
            let is_section = !path.contains("setup")
                && path.matches('/').count() == 3
                && !["/admin/account/", "/admin/tokens/"].contains(&path);
            if is_section {
                let link = format!("href=\"{path}\"");
                assert_eq!(
                    home.contains(&link),
                    expected == 200,
                    "{permissions}: {path}"
                );
            }
        }
    }
}

/// A4: staff submit only the forms that their permissions allow.
#[tokio::test]
async fn form_without_permission_returns_403() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let ada = app.user("ada@example.com").await;
    let newest = newest_mail(&app).await;
    let (mail, user) = (
        format!("/admin/mails/{}/", newest.id),
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
        ("add_users", "/admin/users/bulk/", act("invite")),
        (
            "add_users",
            "/admin/users/add/",
            vec![
                ("email", "eve@example.com"),
                ("username", "Eve"),
                ("access", "none"),
            ],
        ),
        ("delete_users", "/admin/users/bulk/", act("delete")),
        ("audit", "/admin/audit/verify/", vec![]),
    ];
    let permissions = [
        "view_users",
        "add_users",
        "change_users",
        "delete_users",
        "mails",
        "audit",
    ];
    for permission in permissions {
        let (with, others) = (
            format!("{permission}@example.com"),
            format!("no-{permission}@example.com"),
        );
        app.create_staff(&with, permission).await;
        let rest: Vec<_> = permissions
            .into_iter()
            .filter(|it| *it != permission)
            .collect();
        app.create_staff(&others, &rest.join(",")).await;
        let others = Dashboard::signed_in(&app, &others).await;
        for (_, path, fields) in forms.iter().filter(|(needed, ..)| *needed == permission) {
            let page = others.post(path, fields).await;
            assert_eq!(page.status, 403, "{path} {fields:?} without {permission}");
        }
    }
    assert_eq!(app.user("ada@example.com").await, ada);
    assert_eq!(app.get_user(&tokens.access).await.status, 200);
    let kept = mail::find(&app.database.db, newest.id).await.unwrap();
    assert_eq!(kept, Some(newest));
    for (permission, path, fields) in forms {
        let with = Dashboard::signed_in(&app, &format!("{permission}@example.com")).await;
        let page = with.post(path, &fields).await;
        assert_ne!(page.status, 403, "{path} {fields:?} with {permission}");
    }
}

/// A4: pages show staff no links and buttons that would be refused.
#[tokio::test]
async fn pages_show_only_permitted_links_and_buttons() {
    let app = TestApp::with_lockout_after(2).await;
    app.create_superuser("root@example.com").await;
    for _ in 0..3 {
        app.try_login("root@example.com", "wrong password").await;
    }
    app.create_staff("staff@example.com", "change_users").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    let html = staff.get_html("/admin/limits/").await;
    assert_contains(&html, "failed logins");
    assert_not_contains(&html, "limits/release");
    let id = app.user("root@example.com").await.id;
    let html = staff.get_html(&format!("/admin/users/{id}/")).await;
    assert_contains(&html, "Locked out");
    assert_not_contains(&html, "limits/release");
    app.create_staff("exporter@example.com", "export_users")
        .await;
    let exporter = Dashboard::signed_in(&app, "exporter@example.com").await;
    for (dashboard, may_export) in [(&staff, false), (&exporter, true)] {
        let html = dashboard.get_html("/admin/users/").await;
        assert_eq!(html.contains("/admin/users/export/"), may_export);
    }
    app.create_staff("mailer@example.com", "mails").await;
    let mailer = Dashboard::signed_in(&app, "mailer@example.com").await;
    let newest = newest_mail(&app).await;
    let html = mailer
        .get_html(&format!("/admin/mails/{}/", newest.id))
        .await;
    assert!(
        newest.user_id.is_some() && !html.contains("/admin/users/"),
        "{html}"
    );
}

/// A4: injected markup runs no script, and other sites cannot frame a page.
#[tokio::test]
async fn pages_have_strict_csp_and_no_inline_script() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
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
            assert_contains(policy, needed);
        }
        assert_not_contains(policy, "unsafe");
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
            assert_not_contains(&page.html, inline);
        }
        for script in page.html.split("<script").skip(1) {
            assert!(
                script.starts_with(" src=\"/admin/assets/"),
                "{path}: {script}"
            );
        }
        assert_not_contains(&page.html, "src=\"http");
    }
}

/// Browsers cache assets for good, and load new ones after an update.
#[tokio::test]
async fn assets_are_cached_only_under_their_hash() {
    let app = TestApp::new().await;
    let visitor = Dashboard::open(&app).await;
    let html = visitor.get_html("/admin/login/").await;
    let addresses: Vec<_> = html
        .split("\"/admin/assets/")
        .skip(1)
        .map(|rest| format!("/admin/assets/{}", rest.split('"').next().unwrap()))
        .collect();
    let names: BTreeSet<_> = addresses
        .iter()
        .filter_map(|path| path.split('?').next())
        .collect();
    assert_eq!(names.len(), 6, "{html}");
    for address in addresses {
        let address = address.split('#').next().unwrap().to_owned();
        let page = visitor.get(&address).await;
        let cache_control = page.headers["cache-control"].to_str().unwrap();
        assert_contains(cache_control, "immutable");
        // A page of another version links another hash or none.
        let (name, _) = address.split_once('?').unwrap();
        for other in [name.to_owned(), format!("{name}?v=00000000")] {
            let page = visitor.get(&other).await;
            assert_eq!(page.status, 200, "{other}");
            assert_eq!(page.headers["cache-control"], "no-store", "{other}");
        }
    }
}

/// Browsers get compressed assets; other clients get them as they are.
#[tokio::test]
async fn assets_are_compressed_for_clients_that_accept_gzip() {
    let app = TestApp::new().await;
    let visitor = Dashboard::open(&app).await;
    for name in ["tabler.min.css", "tabler.rtl.min.css", "icons.svg"] {
        let path = format!("/admin/assets/{name}");
        let file = format!("{}/assets/{name}", env!("CARGO_MANIFEST_DIR"));
        let original = std::fs::read_to_string(file).unwrap();
        let plain = visitor.get(&path).await;
        assert!(!plain.headers.contains_key("content-encoding"), "{name}");
        assert_eq!(plain.headers["vary"], "Accept-Encoding", "{name}");
        assert!(plain.html == original, "{name}");

        let request = app.request(reqwest::Method::GET, &path);
        let request = request.header("accept-encoding", "gzip, deflate, br");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], "gzip", "{name}");
        let compressed = response.bytes().await.unwrap();
        assert!(compressed.len() * 3 < original.len(), "{name}");
        let mut text = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&compressed[..]);
        std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
        assert!(text == original, "{name}");
    }
}

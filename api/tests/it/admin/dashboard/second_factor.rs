//! The second factor in the dashboard: sign-in, the security page, `ADMIN_SECOND_FACTOR` and its removal by staff (F7, F8).

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    authenticator::Authenticator,
    dashboard::{Dashboard, assert_contains, assert_not_contains, field_value},
    test_app::{PASSWORD, TestApp},
};

const ROOT: &str = "root@example.com";
const ADA: &str = "ada@example.com";
const SECURITY: &str = "/admin/account/security/";

/// Returns the text between a mark and the next tag.
fn text_after<'a>(html: &'a str, mark: &str) -> &'a str {
    let (_, rest) = html
        .split_once(mark)
        .unwrap_or_else(|| panic!("no {mark} in {html}"));
    rest.split('<').next().unwrap()
}

/// Sets up an authenticator app on the security page.
async fn enrol(app: &TestApp, dashboard: &Dashboard) -> Authenticator {
    let totp = format!("{SECURITY}totp/");
    let page = dashboard.post(&totp, &[("password", PASSWORD)]).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert_contains(&page.html, "src=\"data:image/svg+xml;base64,");
    let secret = text_after(&page.html, "class=\"totp-secret\" dir=\"ltr\">");
    let mut phone = Authenticator::new(secret);

    let confirm = format!("{SECURITY}totp/confirm/");
    let wrong = dashboard.post(&confirm, &[("code", "000000")]).await;
    assert_eq!(wrong.status, 400);
    assert_contains(&wrong.html, "The code is wrong or was used before.");
    assert_contains(&wrong.html, secret);
    let page = dashboard
        .post(&confirm, &[("code", &phone.code(app))])
        .await;
    assert_eq!(page.status, 200, "{page:?}");
    let codes = page.html.split("<li><code>").skip(1);
    phone.recovery_codes = codes
        .map(|code| code.split('<').next().unwrap().to_owned())
        .collect();
    assert_eq!(phone.recovery_codes.len(), 10);
    phone
}

/// Enters the password, and then a code.
async fn sign_in(app: &TestApp, email: &str, code: &str) -> Dashboard {
    let mut dashboard = Dashboard::open(app).await;
    let page = dashboard.sign_in(email, PASSWORD).await;
    assert_eq!(page.location(), "/admin/login/code/?next=%2Fadmin%2F");
    assert_eq!(page.cookie("latchkey_admin"), None);
    let page = dashboard.get(page.location()).await;
    assert_contains(&page.html, "Enter the code");
    let page = dashboard
        .post("/admin/login/code/", &[("code", code), ("next", "/admin/")])
        .await;
    assert_eq!(page.status, 303, "{page:?}");
    assert_eq!(page.location(), "/admin/");
    dashboard.csrf = field_value(&dashboard.get_html("/admin/account/").await, "csrf");
    dashboard
}

/// F7: staff set up an app on the security page, and sign in with its codes and with recovery codes.
#[tokio::test]
async fn dashboard_sign_in_asks_for_second_factor() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    assert_contains(
        &root.get_html(SECURITY).await,
        "Set up an authenticator app",
    );
    let phone = enrol(&app, &root).await;
    let page = root.get_html(SECURITY).await;
    assert_contains(&page, "On since");
    assert_not_contains(&page, &phone.recovery_codes[0]);

    let visitor = Dashboard::open(&app).await;
    visitor.sign_in(ROOT, PASSWORD).await;
    assert_eq!(visitor.get("/admin/users/").await.status, 303);
    let wrong = visitor
        .post("/admin/login/code/", &[("code", "000000")])
        .await;
    assert_eq!(wrong.status, 400);
    assert_eq!(visitor.get("/admin/users/").await.status, 303);

    sign_in(&app, ROOT, &phone.next_code(&app)).await;
    let other = sign_in(&app, ROOT, &phone.recovery_codes[0].to_uppercase()).await;
    let codes = format!("{SECURITY}recovery-codes/");
    let page = other.post(&codes, &[("password", PASSWORD)]).await;
    assert_contains(&page.html, "they are not shown again");
    let flash = other
        .submit(
            &format!("{SECURITY}totp/disable/"),
            &[("password", PASSWORD)],
        )
        .await;
    assert_eq!(flash, "The second factor has been removed.");
    Dashboard::signed_in(&app, ROOT).await;
}

/// F7: an account without access to the dashboard gets none by the second step either.
#[tokio::test]
async fn second_step_refuses_accounts_that_are_not_staff() {
    let app = TestApp::new().await;
    let (_, phone) = app.enrolled_user(ADA).await;
    let challenge = app.challenge(ADA).await;
    let visitor = Dashboard::open(&app).await;
    let page = visitor.sign_in(ADA, PASSWORD).await;
    assert_eq!(page.status, 401, "{page:?}");
    let request = visitor
        .post_request("/admin/login/code/")
        .header("cookie", format!("latchkey_challenge={challenge}"))
        .form(&[
            ("code", phone.next_code(&app).as_str()),
            ("csrf", &visitor.csrf),
        ]);
    let page = visitor.send(request).await;
    assert_eq!(page.cookie("latchkey_admin"), None, "{page:?}");
}

/// F5: a change of the own access asks for a factor again, and returns to the page.
#[tokio::test]
async fn old_session_verifies_factor_before_changes() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let phone = enrol(&app, &root).await;
    app.advance_clock(TimeDelta::minutes(6));
    let disable = format!("{SECURITY}totp/disable/");
    let request = root
        .post_request(&disable)
        .header("referer", format!("{}{SECURITY}", app.base))
        .form(&[("password", PASSWORD), ("csrf", &root.csrf)]);
    let page = root.send(request).await;
    let verify = "/admin/account/verify/?next=%2Fadmin%2Faccount%2Fsecurity%2F&unsaved=yes";
    assert_eq!(page.location(), verify);
    assert_eq!(root.get("/admin/account/email/").await.status, 303);
    assert_contains(
        &root.get_html(page.location()).await,
        "Confirm that it is you",
    );
    let code = phone.code(&app);
    let next = [("code", code.as_str()), ("next", SECURITY)];
    let page = root.post("/admin/account/verify/", &next).await;
    assert_eq!(page.location(), SECURITY);
    let page = root.post(&disable, &[("password", PASSWORD)]).await;
    assert_eq!(page.status, 303, "{page:?}");
}

/// F8: with `ADMIN_SECOND_FACTOR=required`, staff without a factor can only add one, also by `/api/admin/`.
#[tokio::test]
async fn required_factor_blocks_staff_until_enrolment() {
    let app = TestApp::with(&[("ADMIN_SECOND_FACTOR", "required")]).await;
    app.create_superuser(ROOT).await;
    let mut root = Dashboard::open(&app).await;
    assert_eq!(root.sign_in(ROOT, PASSWORD).await.location(), "/admin/");
    for path in [
        "/admin/",
        "/admin/users/",
        "/admin/account/",
        "/admin/audit/",
    ] {
        let page = root.get(path).await;
        assert_eq!(page.status, 303, "{path}");
        assert!(page.location().starts_with(SECURITY), "{path}: {page:?}");
    }
    let access = app.login(ROOT, PASSWORD).await.access;
    let list = || {
        app.request(Method::GET, "/api/admin/users/")
            .bearer_auth(&access)
    };
    let refused = app.send(list()).await;
    refused.assert_problem(403, "second-factor-enrolment-required");

    let page = root.get_html(SECURITY).await;
    assert_contains(&page, "Your administrators require a second factor.");
    root.csrf = field_value(&page, "csrf");
    let phone = enrol(&app, &root).await;
    assert_eq!(root.get("/admin/users/").await.status, 200);
    // The session of the access token has not proved the factor yet.
    app.send(list())
        .await
        .assert_problem(403, "recent-second-factor-required");
    let code = json!({"code": phone.next_code(&app)});
    let verified = app
        .post_as(&access, "/auth/second_factor/verify/", code)
        .await;
    assert_eq!(verified.status, 200, "{verified:?}");
    assert_eq!(app.send(list()).await.status, 200);
}

/// F8: staff with the permission and the own password remove another account's factor, of staff only superusers.
#[tokio::test]
async fn staff_remove_factor_of_another_account() {
    let app = TestApp::new().await;
    app.enrolled_user(ADA).await;
    let id = app.user(ADA).await.id;
    app.create_staff("helper@example.com", "view_users,change_users")
        .await;
    app.create_staff("viewer@example.com", "view_users").await;
    app.create_staff("other@example.com", "view_users").await;
    let other = app.login("other@example.com", PASSWORD).await.access;
    app.enrol(&other).await;
    let path = |id: i64| format!("/api/admin/users/{id}/remove_second_factor/");
    let password = || json!({"password": PASSWORD});

    let viewer = app.login("viewer@example.com", PASSWORD).await.access;
    app.post_as(&viewer, &path(id), password())
        .await
        .assert_problem(403, "not-permitted");
    let helper = app.login("helper@example.com", PASSWORD).await.access;
    let wrong = json!({"password": "a wrong password"});
    app.post_as(&helper, &path(id), wrong)
        .await
        .assert_problem(400, "wrong-password");
    let staff = app.user("other@example.com").await.id;
    app.post_as(&helper, &path(staff), password())
        .await
        .assert_problem(403, "not-permitted");
    let own = app.user("helper@example.com").await.id;
    app.post_as(&helper, &path(own), password())
        .await
        .assert_problem(403, "not-permitted");

    let dashboard = Dashboard::signed_in(&app, "helper@example.com").await;
    let page = dashboard.get_html(&format!("/admin/users/{id}/")).await;
    assert_contains(&page, "Remove second factor");
    let remove = format!("/admin/users/{id}/remove-factor/");
    let wrong = dashboard
        .post(&remove, &[("password", "a wrong password")])
        .await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    let flash = dashboard.submit(&remove, &[("password", PASSWORD)]).await;
    assert_eq!(flash, "The second factor has been removed.");
    assert_eq!(app.try_login(ADA, PASSWORD).await.status, 200);
    app.post_as(&helper, &path(id), password())
        .await
        .assert_problem(409, "no-second-factor");

    let root = Dashboard::superuser(&app).await;
    let flash = root
        .submit(
            &format!("/admin/users/{staff}/remove-factor/"),
            &[("password", PASSWORD)],
        )
        .await;
    assert_eq!(flash, "The second factor has been removed.");
    let subjects: Vec<_> = app
        .mails_to(ADA)
        .await
        .into_iter()
        .map(|mail| mail.subject)
        .collect();
    assert!(subjects.contains(&"Second factor removed from your Latchkey account".to_owned()));
}

/// F8: the command line removes the factor of the last superuser.
#[tokio::test]
async fn command_removes_factor_of_last_superuser() {
    let app = TestApp::new().await;
    app.create_superuser(ROOT).await;
    let access = app.login(ROOT, PASSWORD).await.access;
    app.enrol(&access).await;
    let output = app.run(&["users", "remove-factor", ROOT], 0).await;
    assert_contains(&output, "Removed the second factor of root@example.com.");
    assert_eq!(app.try_login(ROOT, PASSWORD).await.status, 200);
    let output = app.run(&["users", "remove-factor", ROOT], 0).await;
    assert_contains(&output, "has no second factor");
}

//! The dashboard in a real browser: JavaScript, phone, keyboard and accessibility.

use std::time::Duration;

use fantoccini::{Locator, elements::Element, key::Key};
use latchkey_shared::models::{role, user};
use latchkey_testing::WAIT_TIMEOUT;
use serde_json::{Value, json};

use super::newest_mail;
use crate::support::{
    browser::Browser,
    dashboard::{Dashboard, assert_contains},
    test_app::{PASSWORD, TestApp},
};

/// axe-core, which finds accessibility violations (WCAG 2.2 A and AA, and best practices).
const AXE: &str = include_str!("../../../axe.min.js");

const PAGES: [&str; 15] = [
    "/admin/",
    "/admin/users/",
    "/admin/users/2/",
    "/admin/users/add/",
    "/admin/resets/",
    "/admin/limits/",
    "/admin/mails/",
    "/admin/roles/",
    "/admin/roles/1/",
    "/admin/roles/add/",
    "/admin/audit/",
    "/admin/account/",
    "/admin/tokens/",
    "/admin/tokens/add/",
    "/admin/nowhere/",
];

/// The pixels by which the page is wider than the screen.
const OVERFLOW: &str =
    "return document.documentElement.scrollWidth - document.documentElement.clientWidth";

/// Starts an application whose every page has content.
async fn start_with_content() -> TestApp {
    let app = TestApp::with_lockout_after(2).await;
    app.create_superuser("root@example.com").await;
    for i in 1..=6 {
        app.register(&format!("user{i}@example.com")).await;
    }
    let (name, permissions) = ("Support".parse(), "change_users,mails".parse());
    let role = role::insert(&app.database.db, name.unwrap(), permissions.unwrap());
    role.await.unwrap();
    app.activate("user1@example.com").await;
    app.login("user1@example.com", PASSWORD).await;
    app.request_reset("user1@example.com").await;
    for _ in 0..3 {
        app.try_login("user6@example.com", "wrong password").await;
    }
    app
}

async fn sign_in(browser: &Browser, app: &TestApp) {
    open(browser, app, "/admin/").await;
    fill(browser, "[name=email]", "root@example.com").await;
    fill(browser, "[name=password]", PASSWORD).await;
    browser.click("main button").await;
    browser.find("header.sidebar").await;
}

async fn open(browser: &Browser, app: &TestApp, path: &str) {
    let url = format!("{}{path}", app.base);
    browser.client.goto(&url).await.unwrap();
}

/// Replaces the text of a field.
async fn fill(browser: &Browser, css: &str, text: &str) {
    let field = browser.find(css).await;
    field.clear().await.unwrap();
    field.send_keys(text).await.unwrap();
}

/// Clicks by script, which works without scrolling to the element.
async fn click_by_script(browser: &Browser, css: &str) {
    browser.find(css).await;
    run(
        browser,
        &format!("document.querySelector(\"{css}\").click()"),
    )
    .await;
}

async fn press(browser: &Browser, keys: &str) {
    let focused: Element = browser.client.active_element().await.unwrap();
    focused.send_keys(keys).await.unwrap();
}

async fn run(browser: &Browser, script: &str) -> Value {
    browser.client.execute(script, vec![]).await.unwrap()
}

/// Waits until a JavaScript expression is true.
async fn wait_for(browser: &Browser, script: &str) {
    let deadline = tokio::time::Instant::now() + WAIT_TIMEOUT;
    while run(browser, &format!("return Boolean({script})")).await != true {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{script}: {}",
            browser.client.source().await.unwrap()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn wait_for_text(browser: &Browser, text: &str) {
    let script = format!("document.body.textContent.includes('{text}')");
    wait_for(browser, &script).await;
}

async fn wait_for_flash(browser: &Browser, text: &str) {
    let script = format!("document.querySelector('.flash')?.textContent.includes('{text}')");
    wait_for(browser, &script).await;
}

async fn wait_for_rows(browser: &Browser, count: usize) {
    let script = format!("document.querySelectorAll('#results tbody tr').length === {count}");
    wait_for(browser, &script).await;
}

/// Closes the browser and asserts that its pages sent requests only to the application.
async fn close_without_foreign_requests(browser: Browser, app: &TestApp) {
    let urls = browser.close().await;
    let foreign: Vec<_> = urls
        .iter()
        .filter(|url| !url.starts_with(&app.base) && !url.starts_with("data:"))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

/// The options of Chrome that emulate a phone.
fn phone() -> Value {
    json!({"mobileEmulation": {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 1.0}}})
}

/// Waits until the page's URL contains `part`.
async fn wait_for_url(browser: &Browser, part: &str) {
    let deadline = tokio::time::Instant::now() + WAIT_TIMEOUT;
    loop {
        let url = browser.client.current_url().await.unwrap();
        if url.as_str().contains(part) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{url}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns a script that tells whether an element is visible.
fn is_visible(css: &str) -> String {
    format!("return document.querySelector(\"{css}\").getClientRects().length > 0")
}

/// Sets a preference, `language` or `theme`, and waits for the new page.
async fn prefer(browser: &Browser, name: &str, value: &str) {
    run(browser, "window.before = true").await;
    let option = format!(".preferences select[name={name}] option[value={value}]");
    browser.click(&option).await;
    browser.click(".preferences button").await;
    wait_for(
        browser,
        "!window.before && document.querySelector('.preferences')",
    )
    .await;
}

/// The accessibility violations that axe-core finds in the page.
async fn violations(browser: &Browser) -> Value {
    run(browser, AXE).await;
    let script = "const done = arguments[0]; axe.run().then(found => done(found.violations.map(it => \
                  it.id + ': ' + it.nodes.map(node => node.html + ' ' + node.failureSummary).join(' | '))))";
    browser.client.execute_async(script, vec![]).await.unwrap()
}

async fn assert_accessible(browser: &Browser, page: &str) {
    assert_eq!(violations(browser).await, json!([]), "{page}");
}

/// Asserts that a page is accessible, fits the screen, and has targets of at least 24 by 24 pixels (WCAG 2.2, 2.5.8).
async fn assert_page_fits(browser: &Browser, page: &str) {
    assert_accessible(browser, page).await;
    assert_eq!(
        run(browser, OVERFLOW).await,
        0,
        "{page}: wider than the screen"
    );
    let small = "return [...document.querySelectorAll('button, input:not([type=hidden]), select, summary, nav a, [role=button]')]\
                 .filter(it => { const box = it.getBoundingClientRect(); \
                 return box.width > 1 && (box.height < 24 || box.width < 24) }).map(it => it.outerHTML)";
    assert_eq!(run(browser, small).await, json!([]), "{page}: too small");
}

/// Checks the pages that the forms of API tokens lead to.
async fn assert_token_pages_fit(browser: &Browser, app: &TestApp, mode: &str) {
    let submit = "form.new-token button[type=submit]";
    open(browser, app, "/admin/tokens/add/").await;
    click_by_script(browser, submit).await;
    browser.find("#e-name").await;
    assert_page_fits(browser, &format!("a new API token with errors, {mode}")).await;

    fill(browser, "#f-name", &format!("Nightly export, {mode}")).await;
    fill(browser, "#f-password", PASSWORD).await;
    click_by_script(browser, "[name=mails]").await;
    click_by_script(browser, submit).await;
    browser.find("#token").await;
    assert_page_fits(browser, &format!("a created API token, {mode}")).await;

    open(browser, app, "/admin/tokens/").await;
    assert_page_fits(browser, &format!("the list of API tokens, {mode}")).await;
    click_by_script(browser, "main form[action$='/revoke/'] button").await;
    browser.find("[name=confirmed]").await;
    assert_page_fits(browser, &format!("a revocation, {mode}")).await;
}

/// Checks every page, and the pages that only a form leads to. `mode` names the variant in failures.
async fn assert_all_pages_fit(browser: &Browser, app: &TestApp, mode: &str) {
    let mail = format!("/admin/mails/{}/", newest_mail(app).await.id);
    for path in PAGES.into_iter().chain([mail.as_str()]) {
        open(browser, app, path).await;
        let is_dashboard_page = run(
            browser,
            "return Boolean(document.querySelector('header.sidebar'))",
        )
        .await;
        assert_eq!(
            is_dashboard_page,
            path != "/admin/nowhere/",
            "{path}, {mode}"
        );
        assert_page_fits(browser, &format!("{path}, {mode}")).await;
    }

    open(browser, app, "/admin/audit/").await;
    click_by_script(browser, "form[action='/admin/audit/verify/'] button").await;
    browser.find("p.good[role=status]").await;
    assert_page_fits(browser, &format!("the verified log, {mode}")).await;
    open(browser, app, "/admin/audit/?user=x").await;
    browser.find("#e-user").await;
    assert_page_fits(browser, &format!("an invalid filter, {mode}")).await;

    open(browser, app, "/admin/users/?q=user4").await;
    click_by_script(browser, "#results tbody input[name=id]").await;
    click_by_script(browser, "button[value=delete]").await;
    browser.find("[name=confirmed]").await;
    assert_page_fits(browser, &format!("a confirmation, {mode}")).await;

    open(browser, app, "/admin/users/add/").await;
    let password_is_visible = is_visible("#f-password");
    assert_eq!(run(browser, &password_is_visible).await, false);
    click_by_script(browser, "[name=access][value=password]").await;
    assert_eq!(run(browser, &password_is_visible).await, true);
    click_by_script(browser, "#add button[type=submit]").await;
    browser.find("#e-password").await;
    assert_page_fits(browser, &format!("a new user with errors, {mode}")).await;

    open(browser, app, "/admin/roles/1/").await;
    click_by_script(browser, "main form[action$='/delete/'] button").await;
    browser.find("[name=confirmed]").await;
    assert_page_fits(browser, &format!("a deletion of a role, {mode}")).await;

    assert_token_pages_fit(browser, app, mode).await;

    let user = app.user("user5@example.com").await;
    open(browser, app, &format!("/admin/users/{}/", user.id)).await;
    fill(browser, "[name=phoneNumber]", "12").await;
    click_by_script(browser, "#edit button[type=submit]").await;
    browser.find("#e-phoneNumber").await;
    assert_page_fits(browser, &format!("an invalid field, {mode}")).await;
    fill(browser, "[name=phoneNumber]", "").await;
    let change = user::profile::ProfileChange {
        username: Some(format!("Before {mode}").parse().unwrap()),
        ..user::profile::ProfileChange::default()
    };
    user::profile::change(&app.database.db, user, change, app.clock.now())
        .await
        .unwrap();
    click_by_script(browser, "#edit button[type=submit]").await;
    browser.find("div.error li").await;
    assert_page_fits(browser, &format!("a conflict, {mode}")).await;
}

/// With JavaScript, administrators filter while they type and activate all results at once.
#[tokio::test(flavor = "multi_thread")]
async fn browser_searches_and_activates_without_page_load() {
    let app = start_with_content().await;
    let browser = Browser::start().await;
    sign_in(&browser, &app).await;

    // The search updates the list while the user types, without loading the page.
    browser
        .click("header.sidebar a[href='/admin/users/']")
        .await;
    browser.find("#results").await;
    run(&browser, "window.loaded = true").await;
    fill(&browser, "#q", "user2").await;
    wait_for_rows(&browser, 1).await;
    assert_eq!(run(&browser, "return window.loaded").await, true);
    wait_for(&browser, "location.search.includes('q=user2')").await;
    // A tab keeps the search text, and the search that is still delayed does not replace the list again.
    let type_and_click = "document.addEventListener('htmx:beforeRequest', event => window.skipped ||= event.defaultPrevented); \
                          const q = document.getElementById('q'); q.value = 'user'; \
                          q.dispatchEvent(new Event('input', {bubbles: true})); \
                          document.querySelector('a[data-status=pending_approval]').click()";
    run(&browser, type_and_click).await;
    wait_for_rows(&browser, 5).await;
    wait_for(&browser, "window.skipped").await;
    let current = "document.querySelector('a[data-status][aria-current]').dataset.status";
    wait_for(&browser, &format!("{current} === 'pending_approval'")).await;
    assert_eq!(run(&browser, "return window.loaded").await, true);

    // Selects all rows of the page.
    browser.click("[data-all]").await;
    wait_for(
        &browser,
        "document.querySelector('[data-selected]').textContent === '5 selected'",
    )
    .await;
    browser.click("button[value=activate]").await;
    wait_for_flash(&browser, "(5)").await;
    for i in 1..=6 {
        let user = app.user(&format!("user{i}@example.com")).await;
        assert!(user.is_activated, "{i}");
    }
    wait_for_text(&browser, "No users match").await;
    close_without_foreign_requests(browser, &app).await;
}

/// Typing replaces the history entry and a filter adds one, so that going back restores the list before the filter. A search that is
/// sent while another one runs logs no error.
#[tokio::test(flavor = "multi_thread")]
async fn browser_search_survives_going_back_and_enter() {
    let app = start_with_content().await;
    let browser = Browser::start().await;
    sign_in(&browser, &app).await;
    open(&browser, &app, "/admin/users/?sort=email").await;
    let length = run(&browser, "return history.length").await;
    let record = "window.errors = []; console.error = (...texts) => errors.push(texts.join(' '));\
                  addEventListener('unhandledrejection', event => errors.push(String(event.reason)));\
                  document.addEventListener('htmx:beforeSend', () => document.getElementById('filter').requestSubmit(), {once: true})";
    run(&browser, record).await;
    fill(&browser, "#q", "user").await;
    wait_for_rows(&browser, 6).await;
    wait_for(&browser, "location.search.includes('q=user')").await;
    fill(&browser, "#q", "user2").await;
    wait_for_rows(&browser, 1).await;
    wait_for(&browser, "location.search.includes('q=user2')").await;
    assert_eq!(run(&browser, "return errors").await, json!([]));
    // The submission added an entry, and typing did not.
    let added = json!(length.as_u64().unwrap() + 1);
    assert_eq!(run(&browser, "return history.length").await, added);

    browser.click("#filter summary").await;
    browser.click("[name=gender] option[value=male]").await;
    wait_for_text(&browser, "No users match").await;
    run(&browser, "window.before = true; history.back()").await;
    wait_for(
        &browser,
        "!window.before && document.querySelector('#results tbody')",
    )
    .await;
    wait_for_rows(&browser, 1).await;
    let fields = "const fields = document.getElementById('filter').elements; \
                  return [fields.q.value, fields.gender.value, fields.sort.value]";
    assert_eq!(run(&browser, fields).await, json!(["user2", "", "email"]));

    // The user's page leads back to the same list.
    browser.click("#results tbody a").await;
    browser.find("#edit").await;
    browser.click(".breadcrumb a[href*='/admin/users/']").await;
    wait_for_url(&browser, "q=user2").await;
    wait_for_rows(&browser, 1).await;
    browser.close().await;
}

/// With JavaScript, administrators correct a form, resolve an edit conflict, delete an account and sign out.
#[tokio::test(flavor = "multi_thread")]
async fn browser_edits_through_conflict_and_deletes() {
    let app = start_with_content().await;
    let browser = Browser::start().await;
    sign_in(&browser, &app).await;

    // An invalid field has an error and the focus; the input stays.
    let id = app.user("user3@example.com").await.id;
    open(&browser, &app, &format!("/admin/users/{id}/")).await;
    fill(&browser, "[name=username]", "Grace").await;
    fill(&browser, "[name=phoneNumber]", "12").await;
    browser.click("#edit button[type=submit]").await;
    browser.find("#e-phoneNumber").await;
    let username = "return document.querySelector('[name=username]').value";
    assert_eq!(run(&browser, username).await, "Grace");
    wait_for(&browser, "document.activeElement.name === 'phoneNumber'").await;
    assert_accessible(&browser, "a form with an invalid field").await;

    // Another administrator saves first.
    fill(&browser, "[name=phoneNumber]", "").await;
    let other = Dashboard::signed_in(&app, "root@example.com").await;
    let version = app.user("user3@example.com").await.version.to_string();
    let theirs = [
        ("version", version.as_str()),
        ("email", "user3@example.com"),
        ("username", "Theirs"),
        ("status", "active"),
    ];
    other.submit(&format!("/admin/users/{id}/"), &theirs).await;
    browser.click("#edit button[type=submit]").await;
    wait_for_text(&browser, "has changed since you opened it").await;
    assert_eq!(run(&browser, username).await, "Grace");
    assert_accessible(&browser, "a conflict").await;
    browser.click("#edit button[type=submit]").await;
    wait_for_flash(&browser, "Saved.").await;
    assert_eq!(
        app.user("user3@example.com").await.username.as_str(),
        "Grace"
    );

    // A deletion requires confirmation.
    browser.click("button[value=delete]").await;
    wait_for(&browser, "document.querySelector('[name=confirmed]')").await;
    assert_accessible(&browser, "a confirmation").await;
    browser.click("main button.btn-danger").await;
    wait_for_flash(&browser, "Deleted.").await;

    browser.click("header.sidebar form button").await;
    browser.find("[name=password]").await;
    close_without_foreign_requests(browser, &app).await;
}

/// With JavaScript, actions appear with a selection. Those without effect on the selected accounts are disabled.
#[tokio::test(flavor = "multi_thread")]
async fn browser_selects_range_and_offers_effective_actions() {
    let app = start_with_content().await;
    let browser = Browser::start().await;
    sign_in(&browser, &app).await;
    browser.client.set_window_size(1280, 800).await.unwrap();
    open(&browser, &app, "/admin/users/?sort=email").await;
    let top = "return document.querySelector('#results tbody tr').getBoundingClientRect().top";
    let top = run(&browser, top).await.as_f64().unwrap();
    assert!(top < 300.0, "the first row is at {top}");
    let bar_is_visible = is_visible(".bulk-bar");
    assert_eq!(run(&browser, &bar_is_visible).await, false);

    // The first account is the only one that is activated.
    browser.click("#results tbody input[name=id]").await;
    assert_eq!(run(&browser, &bar_is_visible).await, true);
    let is_disabled = "return document.querySelector('button[value=activate]').disabled";
    assert_eq!(run(&browser, is_disabled).await, true);
    let shift_click = "document.querySelectorAll('#results tbody input[name=id]')[3]\
                       .dispatchEvent(new MouseEvent('click', {bubbles: true, shiftKey: true}))";
    run(&browser, shift_click).await;
    let text = "return document.querySelector('[data-selected]').textContent";
    assert_eq!(run(&browser, text).await, "4 selected");
    assert_eq!(run(&browser, is_disabled).await, false);
    assert_accessible(&browser, "a selection").await;
    browser.click("[data-clear]").await;
    assert_eq!(run(&browser, &bar_is_visible).await, false);
    browser.close().await;
}

/// With JavaScript, a page with unsaved changes asks before another page replaces it.
#[tokio::test(flavor = "multi_thread")]
async fn browser_asks_before_unsaved_changes_are_lost() {
    let app = start_with_content().await;
    let browser = Browser::start().await;
    sign_in(&browser, &app).await;
    let path = format!("/admin/users/{}/", app.user("user3@example.com").await.id);
    open(&browser, &app, &path).await;
    assert_eq!(run(&browser, &is_visible(".unsaved")).await, false);
    fill(&browser, "[name=username]", "Grace").await;
    assert_eq!(run(&browser, &is_visible(".unsaved")).await, true);
    browser.click("header a[href='/admin/users/']").await;
    let question = browser.client.get_alert_text().await.unwrap();
    assert_contains(&question, "lose your changes");
    browser.client.dismiss_alert().await.unwrap();
    let username = "return document.querySelector('[name=username]').value";
    assert_eq!(run(&browser, username).await, "Grace");
    browser.click("#edit button[type=submit]").await;
    wait_for_flash(&browser, "Saved.").await;
    browser.click("header a[href='/admin/users/']").await;
    browser.find("#results").await;
    browser.close().await;
}

/// axe-core finds no violation on any page, in light and dark, left to right and right to left.
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_accessible_in_light_dark_and_arabic() {
    let app = start_with_content().await;
    let browser = Browser::start().await;
    open(&browser, &app, "/admin/").await;
    assert_accessible(&browser, "sign-in").await;
    // The check works: it finds a picture without a description.
    run(
        &browser,
        "document.querySelector('main').append(new Image())",
    )
    .await;
    let found = violations(&browser).await.to_string();
    assert_contains(&found, "image-alt");
    sign_in(&browser, &app).await;
    assert_all_pages_fit(&browser, &app, "light").await;
    open(&browser, &app, "/admin/").await;
    prefer(&browser, "theme", "dark").await;
    assert_all_pages_fit(&browser, &app, "dark").await;
    open(&browser, &app, "/admin/").await;
    prefer(&browser, "language", "ar").await;
    assert_eq!(run(&browser, "return document.dir").await, "rtl");
    assert_all_pages_fit(&browser, &app, "Arabic, dark").await;
    browser.close().await;
}

/// The faintest colour that the start accepts is readable on all pages, in light and dark.
#[tokio::test(flavor = "multi_thread")]
async fn pages_with_faintest_brand_color_are_accessible() {
    let app = TestApp::with(&[("BRAND_COLOR", "717171")]).await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    let browser = Browser::start().await;
    sign_in(&browser, &app).await;
    for theme in ["light", "dark"] {
        open(&browser, &app, "/admin/").await;
        prefer(&browser, "theme", theme).await;
        let color = "return getComputedStyle(document.body).getPropertyValue('--tblr-primary')";
        assert_eq!(run(&browser, color).await, "#717171");
        for path in PAGES {
            open(&browser, &app, path).await;
            assert_accessible(&browser, &format!("{path}, {theme}")).await;
        }
        open(&browser, &app, "/admin/users/?q=ada").await;
        browser.click("#results tbody input[name=id]").await;
        assert_accessible(&browser, &format!("a selection, {theme}")).await;
    }
    browser.close().await;
}

/// Every page fits a phone, and the first user is on the first screen.
#[tokio::test(flavor = "multi_thread")]
async fn pages_fit_phone_in_both_directions() {
    let app = start_with_content().await;
    let browser = Browser::with(phone()).await;
    sign_in(&browser, &app).await;
    assert_eq!(run(&browser, "return innerWidth").await, 390);
    assert_all_pages_fit(&browser, &app, "phone").await;
    // Actions and filters leave room for the first user.
    open(&browser, &app, "/admin/users/").await;
    let top = "return document.querySelector('#results tbody tr').getBoundingClientRect().top";
    let top = run(&browser, top).await.as_f64().unwrap();
    assert!(top < 500.0, "{top}");
    browser.click("#filter summary").await;
    browser.click("[name=gender] option[value=male]").await;
    wait_for_text(&browser, "No users match").await;
    let count = "return document.querySelector('[data-filter-count]:not([hidden])').textContent";
    assert_eq!(run(&browser, count).await, "1");
    // The counts of all users would contradict the filtered list.
    wait_for(
        &browser,
        "document.querySelector('[data-status] .badge').hidden",
    )
    .await;
    // The menu is a drawer.
    assert_eq!(run(&browser, &is_visible("header nav")).await, false);
    browser.click("#menu").await;
    browser.click("header a[href='/admin/resets/']").await;
    wait_for_url(&browser, "/admin/resets/").await;
    wait_for(
        &browser,
        &format!("!({})", is_visible("header nav").replace("return ", "")),
    )
    .await;
    open(&browser, &app, "/admin/").await;
    prefer(&browser, "language", "ar").await;
    assert_all_pages_fit(&browser, &app, "phone, Arabic").await;
    browser.close().await;
}

/// Long names and emails do not make a page wider than the screen.
#[tokio::test(flavor = "multi_thread")]
async fn pages_with_long_names_fit_every_width() {
    let app = start_with_content().await;
    let email = format!("{}@{}.example.com", "e".repeat(40), "m".repeat(40));
    let body = json!({
        "email": email,
        "username": "W".repeat(45),
        "password": PASSWORD,
    });
    assert_eq!(app.post("/api/register/", body).await.status, 201);
    let browser = Browser::start().await;
    sign_in(&browser, &app).await;
    let id = app.user(&email).await.id;
    for width in [400, 600, 769, 800, 1024, 1280] {
        browser.client.set_window_size(width, 1000).await.unwrap();
        for path in [
            "/admin/",
            "/admin/users/",
            &format!("/admin/users/{id}/"),
            "/admin/audit/",
            "/admin/mails/",
        ] {
            open(&browser, &app, path).await;
            assert_eq!(run(&browser, OVERFLOW).await, 0, "{path} at {width}");
        }
    }
    browser.close().await;
}

/// The setup page and the page without permission are accessible on a phone, too.
#[tokio::test(flavor = "multi_thread")]
async fn setup_and_403_pages_are_accessible_on_phone() {
    let browser = Browser::with(phone()).await;
    let app = TestApp::new().await;
    let mut program = app.process(&["serve"]);
    program.wait_for_line("Listening on").await;
    let log = program.lines().join("\n");
    program.terminate().await;
    let (_, token) = log.split_once("/admin/setup/").unwrap();
    let path = format!("/admin/setup/{}/", token.split('/').next().unwrap());
    for language in ["en", "ar"] {
        open(&browser, &app, &path).await;
        prefer(&browser, "language", language).await;
        assert_page_fits(&browser, &format!("setup, {language}")).await;
        fill(&browser, "[name=email]", "root@example").await;
        click_by_script(&browser, "main button").await;
        browser.find("#e-password").await;
        assert_page_fits(&browser, &format!("setup with invalid fields, {language}")).await;
        open(&browser, &app, "/admin/forgot/").await;
        assert_page_fits(&browser, &format!("forgotten password, {language}")).await;
        fill(&browser, "[name=email]", "root@example.com").await;
        click_by_script(&browser, "main button").await;
        browser.find("[name=otp]").await;
        assert_page_fits(&browser, &format!("password reset, {language}")).await;
        click_by_script(&browser, "main button").await;
        browser.find("#e-otp").await;
        assert_page_fits(&browser, &format!("invalid code, {language}")).await;
    }
    app.create_staff("staff@example.com", "").await;
    open(&browser, &app, "/admin/users/").await;
    fill(&browser, "[name=email]", "staff@example.com").await;
    fill(&browser, "[name=password]", PASSWORD).await;
    click_by_script(&browser, "main button").await;
    wait_for(
        &browser,
        "location.pathname === '/admin/users/' && document.querySelector('main code')",
    )
    .await;
    assert_page_fits(&browser, "403").await;
    browser.close().await;
}

/// Administrators sign in and activate an account without a mouse.
#[tokio::test(flavor = "multi_thread")]
async fn dashboard_works_by_keyboard_alone() {
    let app = start_with_content().await;
    let browser = Browser::start().await;
    open(&browser, &app, "/admin/").await;
    // The first field of the sign-in page has the focus.
    press(&browser, "root@example.com").await;
    press(&browser, &Key::Tab.to_string()).await;
    press(&browser, PASSWORD).await;
    press(&browser, &Key::Enter.to_string()).await;
    browser.find("header.sidebar").await;
    // The first link skips the navigation.
    press(&browser, &Key::Tab.to_string()).await;
    assert_eq!(
        run(&browser, "return document.activeElement.className").await,
        "skip"
    );
    press(&browser, &Key::Enter.to_string()).await;
    wait_for(&browser, "document.activeElement.id === 'main'").await;
    // Tabs to the first "Activate", whose focus is visible.
    for _ in 0..8 {
        press(&browser, &Key::Tab.to_string()).await;
        if run(&browser, "return document.activeElement.value").await == "activate" {
            break;
        }
    }
    let focus_is_visible = "const style = getComputedStyle(document.activeElement); \
                return style.boxShadow !== 'none' || style.outlineStyle !== 'none'";
    assert_eq!(run(&browser, focus_is_visible).await, true);
    press(&browser, &Key::Enter.to_string()).await;
    wait_for_flash(&browser, "Activated.").await;
    assert!(app.user("user2@example.com").await.is_activated);
    browser.close().await;
}

/// Administrators search, activate and edit with JavaScript disabled.
#[tokio::test(flavor = "multi_thread")]
async fn dashboard_works_without_javascript() {
    let app = start_with_content().await;
    let no_javascript =
        json!({"prefs": {"profile.managed_default_content_settings.javascript": 2}});
    let browser = Browser::with(no_javascript).await;
    open(&browser, &app, "/admin/").await;
    fill(&browser, "[name=email]", "root@example.com").await;
    fill(&browser, "[name=password]", PASSWORD).await;
    browser.click("main button").await;
    browser
        .click("header.sidebar a[href='/admin/users/']")
        .await;
    fill(&browser, "#q", "user2").await;
    browser.click("#filter button").await;
    wait_for_url(&browser, "q=user2").await;
    browser.find("footer").await;
    let rows = browser
        .client
        .find_all(Locator::Css("#results tbody tr"))
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert!(
        browser
            .find(".bulk-bar")
            .await
            .is_displayed()
            .await
            .unwrap()
    );
    browser.click("#results tbody input[name=id]").await;
    browser.click("button[value=activate]").await;
    browser.find(".flash").await;
    assert!(app.user("user2@example.com").await.is_activated);
    browser.click("#results tbody a").await;
    fill(&browser, "[name=username]", "Grace").await;
    browser.click("#edit button[type=submit]").await;
    browser.find(".flash").await;
    assert_eq!(
        app.user("user2@example.com").await.username.as_str(),
        "Grace"
    );
    browser.close().await;
}

/// Without JavaScript, the pages follow the system's theme until the administrator chooses one.
#[tokio::test(flavor = "multi_thread")]
async fn system_theme_applies_without_javascript() {
    let app = TestApp::new().await;
    let mut backgrounds = Vec::new();
    for (arguments, theme) in [
        (json!([]), "system"),
        (json!(["--force-dark-mode"]), "system"),
        (json!(["--force-dark-mode"]), "light"),
        (json!([]), "dark"),
    ] {
        let browser = Browser::with(json!({
            "args": arguments,
            "prefs": {"profile.managed_default_content_settings.javascript": 2},
        }))
        .await;
        open(&browser, &app, "/admin/login/").await;
        let mut css = ".card".to_owned();
        if theme != "system" {
            let option = format!(".preferences select[name=theme] option[value={theme}]");
            browser.click(&option).await;
            browser.click(".preferences button").await;
            css = format!("[data-bs-theme={theme}] .card");
        }
        let card = browser.find(&css).await;
        backgrounds.push(card.css_value("background-color").await.unwrap());
        browser.close().await;
    }
    let [light, dark, chosen_light, chosen_dark] = &backgrounds[..] else {
        panic!("{backgrounds:?}");
    };
    assert_ne!(light, dark);
    assert_eq!((light, dark), (chosen_light, chosen_dark));
}

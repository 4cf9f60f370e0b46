//! The dashboard in a real browser: with JavaScript, on a phone, by keyboard, and as axe-core sees it.

use std::time::Duration;

use fantoccini::{Locator, elements::Element, key::Key};
use latchkey_shared::models::{mail, user};
use latchkey_testing::{PATIENCE, Process};
use serde_json::{Value, json};

use crate::{
    openapi::swagger_ui::Browser,
    support::test_app::{PASSWORD, TestApp},
};

/// Finds what people with disabilities would stumble over (WCAG 2.2 A and AA, and best practices).
const AXE: &str = include_str!("../../../axe.min.js");

const PAGES: [&str; 9] = [
    "/admin/",
    "/admin/users/",
    "/admin/users/2/",
    "/admin/resets/",
    "/admin/limits/",
    "/admin/mails/",
    "/admin/audit/",
    "/admin/account/",
    "/admin/nowhere/",
];

/// A app with something on every page.
async fn start() -> TestApp {
    let app = TestApp::with(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "2"),
        ("LIMIT_LOGIN_FAILURES", "100"),
    ])
    .await;
    app.create_superuser("root@example.com").await;
    for i in 1..=6 {
        app.register(&format!("user{i}@example.com")).await;
    }
    app.activate("user1@example.com").await;
    app.login("user1@example.com", PASSWORD).await;
    app.request_reset("user1@example.com").await;
    for _ in 0..3 {
        app.try_login("user6@example.com", "wrong password").await;
    }
    app
}

async fn sign_in(browser: &Browser, app: &TestApp) {
    go(browser, app, "/admin/").await;
    fill(browser, "[name=email]", "root@example.com").await;
    fill(browser, "[name=password]", PASSWORD).await;
    browser.click("main button").await;
    browser.find("header.top").await;
}

async fn go(browser: &Browser, app: &TestApp, path: &str) {
    let url = format!("{}{path}", app.base);
    browser.client.goto(&url).await.unwrap();
}

/// Puts a text in the place of what is in a field.
async fn fill(browser: &Browser, css: &str, text: &str) {
    let field = browser.find(css).await;
    field.clear().await.unwrap();
    field.send_keys(text).await.unwrap();
}

async fn run(browser: &Browser, script: &str) -> Value {
    browser.client.execute(script, vec![]).await.unwrap()
}

/// Waits until the page says so.
async fn wait_for(browser: &Browser, script: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while run(browser, &format!("return Boolean({script})")).await != true {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{script}: {}",
            browser.client.source().await.unwrap()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the page is one whose address contains this.
async fn wait_for_address(browser: &Browser, part: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let address = browser.client.current_url().await.unwrap();
        if address.as_str().contains(part) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{address}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Checks that axe-core finds nothing.
async fn is_accessible(browser: &Browser, what: &str) {
    assert_eq!(barriers(browser).await, json!([]), "{what}");
}

async fn barriers(browser: &Browser) -> Value {
    run(browser, AXE).await;
    let script = "const done = arguments[0]; axe.run().then(found => done(found.violations.map(it => \
                  it.id + ': ' + it.nodes.map(node => node.html + ' ' + node.failureSummary).join(' | '))))";
    browser.client.execute_async(script, vec![]).await.unwrap()
}

/// Every page that is reached by its address, the others by what leads to them.
async fn looks_right_everywhere(browser: &Browser, app: &TestApp, how: &str) {
    let newest = mail::list(&app.database.db, None, 1).await.unwrap();
    let mail = format!("/admin/mails/{}/", newest[0].id);
    for path in PAGES.into_iter().chain([mail.as_str()]) {
        go(browser, app, path).await;
        let is_found = run(
            browser,
            "return Boolean(document.querySelector('header.top'))",
        )
        .await;
        assert_eq!(is_found, path != "/admin/nowhere/", "{path}, {how}");
        looks_right(browser, &format!("{path}, {how}")).await;
    }

    go(browser, app, "/admin/audit/").await;
    act(browser, "form[action='/admin/audit/verify/'] button").await;
    browser.find("p.good[role=status]").await;
    looks_right(browser, &format!("the chain, {how}")).await;
    go(browser, app, "/admin/audit/?user=nobody").await;
    browser.find("#e-user").await;
    looks_right(browser, &format!("a filter that is not understood, {how}")).await;

    go(browser, app, "/admin/users/?q=user4").await;
    act(browser, "#results tbody input[name=id]").await;
    act(browser, "button[value=delete]").await;
    browser.find("[name=confirmed]").await;
    looks_right(browser, &format!("a question, {how}")).await;

    let user = app.user("user5@example.com").await;
    go(browser, app, &format!("/admin/users/{}/", user.id)).await;
    fill(browser, "[name=phoneNumber]", "12").await;
    act(browser, "#edit button[type=submit]").await;
    browser.find("#e-phoneNumber").await;
    looks_right(browser, &format!("a bad field, {how}")).await;
    fill(browser, "[name=phoneNumber]", "").await;
    let change = user::profile::ProfileChange {
        username: Some(format!("Before {how}").parse().unwrap()),
        ..user::profile::ProfileChange::default()
    };
    user::profile::change(&app.database.db, user, change, app.clock.now())
        .await
        .unwrap();
    act(browser, "#edit button[type=submit]").await;
    browser.find("div.error li").await;
    looks_right(browser, &format!("a conflict, {how}")).await;
}

/// Clicks where the page is, whether or not it has to be scrolled there first.
async fn act(browser: &Browser, css: &str) {
    browser.find(css).await;
    run(
        browser,
        &format!("document.querySelector(\"{css}\").click()"),
    )
    .await;
}

/// Nothing that people with disabilities stumble over, nothing too wide, nothing too small to be touched (WCAG 2.2, 2.5.8).
async fn looks_right(browser: &Browser, what: &str) {
    is_accessible(browser, what).await;
    let wider =
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(
        run(browser, wider).await,
        0,
        "{what}: wider than the screen"
    );
    let small = "return [...document.querySelectorAll('button, input:not([type=hidden]), select, summary, nav a, [role=button]')]\
                 .filter(it => { const box = it.getBoundingClientRect(); \
                 return box.width > 1 && (box.height < 24 || box.width < 24) }).map(it => it.outerHTML)";
    assert_eq!(run(browser, small).await, json!([]), "{what}: too small");
}

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

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_searches_filters_activates_and_edits() {
    let app = start().await;
    let browser = Browser::start().await;
    sign_in(&browser, &app).await;

    // Search as one types: the list changes, the page does not.
    browser.click("header.top a[href='/admin/users/']").await;
    browser.find("#results").await;
    run(&browser, "window.same = true").await;
    fill(&browser, "#q", "user2").await;
    wait_for(
        &browser,
        "document.querySelectorAll('#results tbody tr').length === 1",
    )
    .await;
    assert_eq!(run(&browser, "return window.same").await, true);
    wait_for(&browser, "location.search.includes('q=user2')").await;
    fill(&browser, "#q", "user").await;
    browser.click("[name=activated] option[value=no]").await;
    wait_for(
        &browser,
        "document.querySelectorAll('#results tbody tr').length === 5",
    )
    .await;

    // All on the page at once.
    browser.click("[data-all]").await;
    wait_for(
        &browser,
        "document.querySelector('[data-selected]').textContent === 'Selected: 5'",
    )
    .await;
    browser.click("button[value=activate]").await;
    wait_for(
        &browser,
        "document.querySelector('.flash')?.textContent.includes('(5)')",
    )
    .await;
    for i in 1..=6 {
        let user = app.user(&format!("user{i}@example.com")).await;
        assert!(user.is_activated, "{i}");
    }
    wait_for(
        &browser,
        "document.body.textContent.includes('No users match')",
    )
    .await;

    // A bad field: it is named, and what was entered stays.
    let id = app.user("user3@example.com").await.id;
    go(&browser, &app, &format!("/admin/users/{id}/")).await;
    fill(&browser, "[name=username]", "Grace").await;
    fill(&browser, "[name=phoneNumber]", "12").await;
    browser.click("#edit button[type=submit]").await;
    browser.find("#e-phoneNumber").await;
    let field = "return document.querySelector('[name=username]').value";
    assert_eq!(run(&browser, field).await, "Grace");
    wait_for(&browser, "document.activeElement.name === 'phoneNumber'").await;
    is_accessible(&browser, "a form with a bad field").await;

    // Another administrator saves first.
    fill(&browser, "[name=phoneNumber]", "").await;
    let other = crate::support::dashboard::Dashboard::signed_in(&app, "root@example.com").await;
    let version = app.user("user3@example.com").await.version.to_string();
    let theirs = [
        ("version", version.as_str()),
        ("email", "user3@example.com"),
        ("username", "Theirs"),
        ("is_activated", "on"),
        ("is_active", "on"),
    ];
    other.submit(&format!("/admin/users/{id}/"), &theirs).await;
    browser.click("#edit button[type=submit]").await;
    wait_for(
        &browser,
        "document.body.textContent.includes('has changed since you opened it')",
    )
    .await;
    assert_eq!(run(&browser, field).await, "Grace");
    is_accessible(&browser, "a conflict").await;
    browser.click("#edit button[type=submit]").await;
    wait_for(
        &browser,
        "document.querySelector('.flash')?.textContent === 'Saved.'",
    )
    .await;
    assert_eq!(
        app.user("user3@example.com").await.username.as_str(),
        "Grace"
    );

    // What cannot be taken back is asked about.
    browser.click("button[value=delete]").await;
    wait_for(&browser, "document.querySelector('[name=confirmed]')").await;
    is_accessible(&browser, "a question").await;
    browser.click("main button.danger").await;
    wait_for(
        &browser,
        "document.querySelector('.flash')?.textContent === 'Deleted.'",
    )
    .await;

    browser.click("header.top form button").await;
    browser.find("[name=password]").await;
    let asked = browser.close().await;
    let elsewhere: Vec<_> = asked
        .iter()
        .filter(|url| !url.starts_with(&app.base) && !url.starts_with("data:"))
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_has_a_barrier_light_dark_or_from_right_to_left() {
    let app = start().await;
    let browser = Browser::start().await;
    go(&browser, &app, "/admin/").await;
    is_accessible(&browser, "the sign-in").await;
    // The check itself: a picture that nobody describes is found.
    run(
        &browser,
        "document.querySelector('main').append(new Image())",
    )
    .await;
    let found = barriers(&browser).await.to_string();
    assert!(found.contains("image-alt"), "{found}");
    sign_in(&browser, &app).await;
    looks_right_everywhere(&browser, &app, "light").await;
    go(&browser, &app, "/admin/").await;
    prefer(&browser, "theme", "dark").await;
    looks_right_everywhere(&browser, &app, "dark").await;
    go(&browser, &app, "/admin/").await;
    prefer(&browser, "language", "ar").await;
    assert_eq!(run(&browser, "return document.dir").await, "rtl");
    looks_right_everywhere(&browser, &app, "Arabic, dark").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_a_phone() {
    let app = start().await;
    let phone = json!({"mobileEmulation": {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 1.0}}});
    let browser = Browser::with(phone).await;
    sign_in(&browser, &app).await;
    assert_eq!(run(&browser, "return innerWidth").await, 390);
    looks_right_everywhere(&browser, &app, "phone").await;
    // The first account is on the first screen, whatever could be done to it and by whatever it could be found.
    go(&browser, &app, "/admin/users/").await;
    let top = "return document.querySelector('#results tbody tr').getBoundingClientRect().top";
    let top = run(&browser, top).await.as_f64().unwrap();
    assert!(top < 500.0, "{top}");
    browser.click("#filter summary").await;
    browser.click("[name=active] option[value=no]").await;
    wait_for(
        &browser,
        "document.body.textContent.includes('No users match')",
    )
    .await;
    go(&browser, &app, "/admin/").await;
    prefer(&browser, "language", "ar").await;
    looks_right_everywhere(&browser, &app, "phone, Arabic").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_names_fit_screens_between_phone_and_desk() {
    let app = start().await;
    let body = json!({
        "email": format!("{}@{}.example.com", "e".repeat(40), "m".repeat(40)),
        "username": "W".repeat(45),
        "password": PASSWORD,
    });
    assert_eq!(app.post("/api/register/", body).await.status, 201);
    let browser = Browser::start().await;
    sign_in(&browser, &app).await;
    let id = app
        .user(&format!(
            "{}@{}.example.com",
            "e".repeat(40),
            "m".repeat(40)
        ))
        .await
        .id;
    for width in [400, 600, 769, 800, 1024, 1280] {
        browser.client.set_window_size(width, 1000).await.unwrap();
        for path in [
            "/admin/",
            "/admin/users/",
            &format!("/admin/users/{id}/"),
            "/admin/audit/",
            "/admin/mails/",
        ] {
            go(&browser, &app, path).await;
            let wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(run(&browser, wider).await, 0, "{path} at {width}");
        }
    }
    browser.close().await;
}

/// A page that nobody but who is let in sees, and that of whoever may not.
#[tokio::test(flavor = "multi_thread")]
async fn the_set_up_and_a_refusal_have_no_barrier_on_a_phone_either() {
    let phone = json!({"mobileEmulation": {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 1.0}}});
    let browser = Browser::with(phone).await;
    let app = TestApp::new().await;
    let mut variables = app.variables.clone();
    variables.insert("BIND".to_owned(), "127.0.0.1:0".to_owned());
    let mut program = Process::spawn(env!("CARGO_BIN_EXE_latchkey-api"), &["serve"], &variables);
    program.wait_for_line("Listening on").await;
    let log = program.lines().join("\n");
    program.terminate().await;
    let (_, token) = log.split_once("/admin/setup/").unwrap();
    let path = format!("/admin/setup/{}/", token.split('/').next().unwrap());
    for language in ["en", "ar"] {
        go(&browser, &app, &path).await;
        prefer(&browser, "language", language).await;
        looks_right(&browser, &format!("set-up, {language}")).await;
        fill(&browser, "[name=email]", "root@example").await;
        act(&browser, "main button").await;
        browser.find("#e-password").await;
        looks_right(&browser, &format!("set-up with bad fields, {language}")).await;
    }
    app.create_staff("staff@example.com", "").await;
    go(&browser, &app, "/admin/users/").await;
    fill(&browser, "[name=email]", "staff@example.com").await;
    fill(&browser, "[name=password]", PASSWORD).await;
    act(&browser, "main button").await;
    wait_for(
        &browser,
        "location.pathname === '/admin/users/' && document.querySelector('main code')",
    )
    .await;
    looks_right(&browser, "403").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_done_by_keyboard_alone() {
    let app = start().await;
    let browser = Browser::start().await;
    go(&browser, &app, "/admin/").await;
    // The sign-in page begins in its first field.
    press(&browser, "root@example.com").await;
    press(&browser, &Key::Tab.to_string()).await;
    press(&browser, PASSWORD).await;
    press(&browser, &Key::Enter.to_string()).await;
    browser.find("header.top").await;
    // Past the frame.
    press(&browser, &Key::Tab.to_string()).await;
    assert_eq!(
        run(&browser, "return document.activeElement.className").await,
        "skip"
    );
    press(&browser, &Key::Enter.to_string()).await;
    wait_for(&browser, "document.activeElement.id === 'main'").await;
    // To the first "Activate", whose focus is seen.
    for _ in 0..4 {
        press(&browser, &Key::Tab.to_string()).await;
        if run(&browser, "return document.activeElement.value").await == "activate" {
            break;
        }
    }
    let seen = "const style = getComputedStyle(document.activeElement); \
                return style.boxShadow !== 'none' || style.outlineStyle !== 'none'";
    assert_eq!(run(&browser, seen).await, true);
    press(&browser, &Key::Enter.to_string()).await;
    wait_for(
        &browser,
        "document.querySelector('.flash')?.textContent === 'Activated.'",
    )
    .await;
    assert!(app.user("user2@example.com").await.is_activated);
    browser.close().await;
}

async fn press(browser: &Browser, keys: &str) {
    let focused: Element = browser.client.active_element().await.unwrap();
    focused.send_keys(keys).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_without_javascript() {
    let app = start().await;
    let none = json!({"prefs": {"profile.managed_default_content_settings.javascript": 2}});
    let browser = Browser::with(none).await;
    go(&browser, &app, "/admin/").await;
    fill(&browser, "[name=email]", "root@example.com").await;
    fill(&browser, "[name=password]", PASSWORD).await;
    browser.click("main button").await;
    browser.click("header.top a[href='/admin/users/']").await;
    fill(&browser, "#q", "user2").await;
    browser.click("#filter button").await;
    wait_for_address(&browser, "q=user2").await;
    browser.find("footer").await;
    let rows = browser
        .client
        .find_all(Locator::Css("#results tbody tr"))
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
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

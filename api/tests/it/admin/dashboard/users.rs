//! The list of users: what is found, in which order, and page after page.

use latchkey_shared::models::user::{
    self,
    search::{self, Filter, PageRequest, Sort},
};

use crate::{
    support::dashboard::Dashboard,
    support::test_app::{PASSWORD, TestApp},
};

/// A app with so many accounts, some of each kind.
pub(crate) async fn crowd(many: usize) -> TestApp {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    for i in 0..many {
        let email = format!("user{i}@example.com");
        let username = ["Ada Lovelace", "grace hopper", "عمر منصور", "ÉMILE_ZOLA"][i % 4];
        let gender = ["male", "female", ""][i % 3];
        let body = serde_json::json!({
            "email": email,
            "username": username,
            "password": PASSWORD,
            "phoneNumber": format!("+2010012345{i:02}"),
            "gender": gender,
        });
        assert_eq!(app.post("/api/register/", body).await.status, 201);
        if i % 2 == 0 {
            app.activate(&email).await;
            app.login(&email, PASSWORD).await;
            app.advance_clock(chrono::TimeDelta::seconds(1));
        }
    }
    app
}

async fn all(app: &TestApp, filter: &Filter, sort: Sort) -> Vec<user::Model> {
    search::page(&app.database.db, filter, sort, &PageRequest::First, 1_000)
        .await
        .unwrap()
        .rows
}

#[tokio::test]
async fn page_after_page_gives_everybody_once_in_every_order_and_back_again() {
    let app = crowd(17).await;
    let db = &app.database.db;
    for by in ["joined", "email", "name", "last_login"] {
        for sign in ["", "-"] {
            let sort: Sort = format!("{sign}{by}").parse().unwrap();
            let everybody = all(&app, &Filter::default(), sort).await;
            assert_eq!(everybody.len(), 18);
            let (mut forwards, mut pages, mut part) = (Vec::new(), Vec::new(), PageRequest::First);
            loop {
                let page = search::page(db, &Filter::default(), sort, &part, 5)
                    .await
                    .unwrap();
                forwards.extend(page.rows.clone());
                // What travels in a link is what comes back.
                let next = page
                    .after
                    .as_ref()
                    .map(|place| place.to_string().parse().unwrap());
                pages.push(page);
                let Some(next) = next else { break };
                part = PageRequest::After(next);
            }
            assert_eq!(forwards, everybody, "{sort}");
            assert_eq!(pages.len(), 4);
            assert!(pages[0].before.is_none());
            for i in (1..pages.len()).rev() {
                let part = PageRequest::Before(pages[i].before.clone().unwrap());
                let page = search::page(db, &Filter::default(), sort, &part, 5)
                    .await
                    .unwrap();
                assert_eq!(page.rows, pages[i - 1].rows, "{sort}: page {i}");
                assert_eq!(page.before.is_some(), i > 1, "{sort}: page {i}");
                assert!(page.after.is_some());
            }
        }
    }
    let names: Vec<_> = all(&app, &Filter::default(), "name".parse().unwrap())
        .await
        .iter()
        .map(|user| user.username.to_string())
        .collect();
    assert!(
        names[0].starts_with("Ada") && names[6].starts_with("grace"),
        "{names:?}"
    );
}

#[tokio::test]
async fn words_are_found_in_name_address_and_number_and_mean_themselves() {
    let app = crowd(8).await;
    for (text, found) in [
        ("LOVELACE", 2),
        ("hopper user1@", 1),
        ("hopper user0@", 0),
        ("@EXAMPLE.com", 9),
        ("منصور", 2),
        ("ÉMILE", 2),
        ("+201001234503", 1),
        ("12345", 8),
        ("e_z", 2),
        ("a_e", 0),
        ("us", 8),
        ("GR", 2),
        ("er", 0),
        ("us Lovelace", 2),
        ("%", 0),
        ("\\", 0),
        ("' OR 1=1 --", 0),
    ] {
        let filter = Filter {
            text: Some(text.to_owned()),
            ..Filter::default()
        };
        let rows = all(&app, &filter, Sort::default()).await;
        assert_eq!(rows.len(), found, "{text}");
        let count = search::count(&app.database.db, &filter).await.unwrap();
        assert_eq!(count, i64::try_from(found).unwrap(), "{text}");
    }
}

#[tokio::test]
async fn whoever_was_renamed_or_deleted_is_not_found_by_what_they_were_called() {
    let app = crowd(3).await;
    let found = async |text: &str| {
        let filter = Filter {
            text: Some(text.to_owned()),
            ..Filter::default()
        };
        all(&app, &filter, Sort::default()).await.len()
    };
    assert_eq!(found("hopper").await, 1);
    let user = app.user("user1@example.com").await;
    let change = user::profile::ProfileChange {
        username: Some("Somebody Else".parse().unwrap()),
        ..user::profile::ProfileChange::default()
    };
    let db = &app.database.db;
    user::profile::change(db, user.clone(), change, app.clock.now())
        .await
        .unwrap();
    assert_eq!((found("hopper").await, found("somebody").await), (0, 1));
    user::staff::delete(db, user.id).await.unwrap();
    assert_eq!((found("somebody").await, found("user1").await), (0, 0));
    assert_eq!(found("example").await, 3);
}

#[tokio::test]
async fn filters_and_their_counts_agree() {
    let app = crowd(12).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    for (query, found, option) in [
        ("activated=no", 6, "No (6)"),
        (
            "activated=pending_approval",
            6,
            "selected>Pending approval (6)",
        ),
        (
            "activated=pending_approval&active=no",
            0,
            "selected>Pending approval (6)",
        ),
        (
            "activated=pending_approval&sort=joined",
            6,
            "aria-current=\"true\">Pending approval (6)",
        ),
        ("activated=yes", 7, "Yes (7)"),
        ("active=no", 0, "Deactivated (0)"),
        ("staff=yes", 1, "Yes (1)"),
        ("gender=male", 4, "Male (4)"),
        ("gender=none", 5, "Not specified (5)"),
        ("joined=7", 13, "Last 7 days (13)"),
        ("gender=female&activated=yes", 2, "Female (4)"),
    ] {
        let html = root.get_html(&format!("/admin/users/?{query}")).await;
        let says = format!("Results: <strong>{found}</strong>");
        assert!(html.contains(&says), "{query}: {html}");
        assert!(html.contains(option), "{query}: {option}");
        let own = usize::from(html.contains("<bdi dir=\"ltr\">root@example.com<"));
        assert_eq!(html.matches("name=\"id\"").count(), found - own, "{query}");
    }
    app.advance_clock(chrono::TimeDelta::days(8));
    let html = root.get("/admin/users/?joined=7").await;
    assert_eq!(html.status, 303, "signed out by then");
}

#[tokio::test]
async fn htmx_gets_the_results_alone_and_a_browser_the_whole() {
    let app = crowd(2).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let whole = root.get_html("/admin/users/?q=user1").await;
    let request = app
        .request(reqwest::Method::GET, "/admin/users/?q=user1")
        .header("hx-request", "true")
        .header("hx-target", "results");
    let part = root.send(request).await;
    assert_eq!(part.status, 200);
    assert!(
        part.html.trim_start().starts_with("<div id=\"results\">"),
        "{}",
        part.html
    );
    assert!(
        whole.contains(part.html.trim()),
        "the whole page embeds the part"
    );
    assert!(
        part.headers["vary"]
            .to_str()
            .unwrap()
            .contains("HX-Request")
    );
}

#[tokio::test]
async fn the_export_is_the_filter_and_holds_no_formula() {
    let app = crowd(4).await;
    let body = serde_json::json!({"email": "evil@example.com", "username": "=HYPERLINK(\"x\")", "password": PASSWORD});
    assert_eq!(app.post("/api/register/", body).await.status, 201);
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let csv = root
        .get_html("/admin/users/export/?activated=no&sort=email")
        .await;
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 4, "{csv}");
    assert!(
        lines[0].starts_with("\u{feff}id,email,username,phoneNumber"),
        "{csv}"
    );
    assert!(
        lines[1].contains("evil@example.com,\"'=HYPERLINK(\"\"x\"\")\""),
        "{csv}"
    );
    assert!(lines[2].contains("user1@example.com") && lines[3].contains("user3@example.com"));
    let log = root.get_html("/admin/audit/?event=authz_admin").await;
    assert!(log.contains("exported users"), "{log}");
}

//! The lists: search, filters, order, paging and export.

use std::collections::BTreeSet;

use latchkey_shared::{
    database,
    models::{
        audit, mail,
        user::{
            self, NewUser,
            search::{self, Filter, PageRequest, Sort},
        },
    },
};

use super::{app_with_users, attribute_values, pager_link, unescape};
use crate::{
    admin::admin_events,
    support::{
        dashboard::{Dashboard, assert_contains},
        test_app::{PASSWORD, TestApp},
    },
};

async fn all_users(app: &TestApp, filter: &Filter, sort: Sort) -> Vec<user::Model> {
    search::page(&app.database.db, filter, sort, &PageRequest::First, 1_000)
        .await
        .unwrap()
        .rows
}

/// Administrators page through every user once, in both directions, and sort by a column.
#[tokio::test]
async fn user_list_links_page_both_ways_in_order() {
    let app = app_with_users(55).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let rows = |html: &str| html.matches("<td role=\"cell\" class=\"user\">").count();
    let emails = |html: &str| attribute_values(html, "class=\"email\">");
    for (sort, column, order) in [
        ("", "Joined", "descending"),
        ("joined", "Joined", "ascending"),
        ("name", "Name", "ascending"),
        ("-name", "Name", "descending"),
        ("email", "Email address", "ascending"),
        ("-last_login", "Last login", "descending"),
    ] {
        let first = root.get_html(&format!("/admin/users/?sort={sort}")).await;
        assert_eq!(rows(&first), 50, "{sort}");
        assert!(pager_link(&first, "prev").is_none(), "{sort}");
        let next = root.get_html(&pager_link(&first, "next").unwrap()).await;
        assert_eq!(rows(&next), 6, "{sort}");
        assert!(pager_link(&next, "next").is_none(), "{sort}");
        let all: BTreeSet<_> = emails(&first).into_iter().chain(emails(&next)).collect();
        assert_eq!(all.len(), 56, "{sort}");
        let back = root.get_html(&pager_link(&next, "prev").unwrap()).await;
        assert_eq!(emails(&back), emails(&first), "{sort}");

        for html in [&first, &next, &back] {
            assert_eq!(html.matches("aria-sort=").count(), 1, "{sort}");
            let (_, head) = html.split_once(&format!("aria-sort=\"{order}\">")).unwrap();
            let head = head.split("</th>").next().unwrap();
            let mut arrows = head.split("<a ").filter(|link| link.contains("#arrow-"));
            let label = arrows.next().unwrap().split('>').nth(1).unwrap();
            assert!(label.starts_with(column), "{sort}: {label}");
            assert!(arrows.next().is_none(), "{sort}: {head}");
        }
        // The link of the sorted column reverses the order.
        let (_, head) = first.split_once("aria-sort=").unwrap();
        let link = head.split("<a ").find(|link| link.contains("#arrow-"));
        let reverse_link = unescape(&attribute_values(link.unwrap(), "href=\"").remove(0));
        let reversed = root.get_html(&reverse_link).await;
        let opposite = if order == "ascending" {
            "descending"
        } else {
            "ascending"
        };
        assert_contains(&reversed, &format!("aria-sort=\"{opposite}\""));
    }
}

/// The columns of the list have a fixed order.
#[tokio::test]
async fn user_list_columns_are_in_fixed_order() {
    let app = app_with_users(0).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let html = root.get_html("/admin/users/").await;
    let (_, head) = html.split_once("<thead").unwrap();
    let head = head.split("</thead>").next().unwrap();
    let mut from = 0;
    for column in [
        "Name",
        "Email address",
        "Status",
        "Access",
        "Joined",
        "Last login",
    ] {
        let position = head[from..].find(&format!(">{column}"));
        from +=
            position.unwrap_or_else(|| panic!("no {column} after the columns before it: {head}"));
    }
}

/// Every mail and every event of the audit log is on one of the pages.
#[tokio::test]
async fn mail_and_audit_lists_page_to_end() {
    let app = app_with_users(55).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    for path in ["/admin/mails/", "/admin/audit/"] {
        let (mut seen, mut page) = (BTreeSet::new(), root.get_html(path).await);
        let (prefix, all) = if path == "/admin/mails/" {
            (
                "<a href=\"/admin/mails/",
                mail::list(&app.database.db, None, 1000)
                    .await
                    .unwrap()
                    .len(),
            )
        } else {
            let all = audit::list(&app.database.db, audit::Filter::default(), 1000);
            ("data-label=\"#\">", all.await.unwrap().len())
        };
        loop {
            let ids: Vec<_> = attribute_values(&page, prefix)
                .into_iter()
                .map(|id| id.split('<').next().unwrap().to_owned())
                .filter(|id| !id.is_empty() && !id.starts_with('?'))
                .collect();
            assert!(ids.len() <= 50 && !ids.is_empty(), "{path}: {page}");
            seen.extend(ids);
            let Some(next) = pager_link(&page, "next") else {
                break;
            };
            page = root.get_html(&next).await;
            assert_contains(&page, ">Newest entries</a>");
        }
        assert_eq!(seen.len(), all, "{path}");
    }
}

/// Every user is on one page, in each order and both directions.
#[tokio::test]
async fn user_search_pages_both_ways_in_order() {
    let app = app_with_users(17).await;
    let db = &app.database.db;
    for by in ["joined", "email", "name", "last_login"] {
        for sign in ["", "-"] {
            let sort: Sort = format!("{sign}{by}").parse().unwrap();
            let everyone = all_users(&app, &Filter::default(), sort).await;
            assert_eq!(everyone.len(), 18);
            let (mut forwards, mut pages, mut request) =
                (Vec::new(), Vec::new(), PageRequest::First);
            loop {
                let page = search::page(db, &Filter::default(), sort, &request, 5)
                    .await
                    .unwrap();
                forwards.extend(page.rows.clone());
                // Cursors survive the round trip through a link.
                let next = page
                    .after
                    .as_ref()
                    .map(|cursor| cursor.to_string().parse().unwrap());
                pages.push(page);
                let Some(next) = next else { break };
                request = PageRequest::After(next);
            }
            assert_eq!(forwards, everyone, "{sort}");
            assert_eq!(pages.len(), 4);
            assert!(pages[0].before.is_none());
            for i in (1..pages.len()).rev() {
                let request = PageRequest::Before(pages[i].before.clone().unwrap());
                let page = search::page(db, &Filter::default(), sort, &request, 5)
                    .await
                    .unwrap();
                assert_eq!(page.rows, pages[i - 1].rows, "{sort}: page {i}");
                assert_eq!(page.before.is_some(), i > 1, "{sort}: page {i}");
                assert!(page.after.is_some());
            }
        }
    }
    let names: Vec<_> = all_users(&app, &Filter::default(), "name".parse().unwrap())
        .await
        .iter()
        .map(|user| user.username.to_string())
        .collect();
    assert!(
        names[0].starts_with("Ada") && names[6].starts_with("grace"),
        "{names:?}"
    );
}

/// Administrators find accounts by words of name, email and phone number; wildcards have no meaning.
#[tokio::test]
async fn user_search_matches_words_literally() {
    let app = app_with_users(8).await;
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
        let rows = all_users(&app, &filter, Sort::default()).await;
        assert_eq!(rows.len(), found, "{text}");
        let count = search::count(&app.database.db, &filter).await.unwrap();
        assert_eq!(count, i64::try_from(found).unwrap(), "{text}");
    }
}

/// Administrators find a name without its accents and in each spelling of its Arabic letters.
#[tokio::test]
async fn user_search_folds_accents_and_arabic_letters() {
    let app = TestApp::new().await;
    for (i, name) in [
        "Jörg Müller",
        "Jorg Muller",
        "أحمد مصطفى",
        "احمد مصطفي",
        "فاطمة",
    ]
    .into_iter()
    .enumerate()
    {
        let body = serde_json::json!({
            "email": format!("user{i}@example.com"), "username": name, "password": PASSWORD, "phoneNumber": "+201001234567",
        });
        assert_eq!(app.post("/api/register/", body).await.status, 201);
    }
    for (text, found) in [
        ("müller", 2),
        ("muller", 2),
        ("MU\u{308}LLER jorg", 2),
        ("jö", 2),
        ("jo", 2),
        ("أحمد", 2),
        ("احمد", 2),
        ("إحمد مصطفى", 2),
        ("أح", 2),
        ("فاطمه", 1),
        ("فَاطِمَة", 1),
        ("+٢٠١٠٠", 5),
        ("\u{301}", 5),
        ("mueller", 0),
    ] {
        let filter = Filter {
            text: Some(text.to_owned()),
            ..Filter::default()
        };
        let rows = all_users(&app, &filter, Sort::default()).await;
        assert_eq!(rows.len(), found, "{text}");
    }
}

/// The search finds no account by a former name, and no deleted account.
#[tokio::test]
async fn user_search_forgets_old_and_deleted_names() {
    let app = app_with_users(3).await;
    let found = async |text: &str| {
        let filter = Filter {
            text: Some(text.to_owned()),
            ..Filter::default()
        };
        all_users(&app, &filter, Sort::default()).await.len()
    };
    assert_eq!(found("hopper").await, 1);
    let user = app.user("user1@example.com").await;
    let change = user::profile::ProfileChange {
        username: Some("Another Name".parse().unwrap()),
        ..user::profile::ProfileChange::default()
    };
    let db = &app.database.db;
    user::profile::change(db, user.clone(), change, app.clock.now())
        .await
        .unwrap();
    assert_eq!((found("hopper").await, found("another").await), (0, 1));
    user::staff::delete(db, user.id).await.unwrap();
    assert_eq!((found("another").await, found("user1").await), (0, 0));
    assert_eq!(found("example").await, 3);
}

/// Each filter shows how many users it finds, unless another filter is in use.
#[tokio::test]
async fn user_filters_match_their_counts() {
    let app = app_with_users(12).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    for (query, found, option) in [
        (
            "status=pending_approval",
            6,
            "aria-current=\"true\">Pending approval <span class=\"badge\">6<",
        ),
        (
            "status=active",
            7,
            "aria-current=\"true\">Active <span class=\"badge\">7<",
        ),
        (
            "status=deactivated",
            0,
            "aria-current=\"true\">Deactivated <span class=\"badge\">0<",
        ),
        (
            "",
            13,
            "aria-current=\"true\">All <span class=\"badge\">13<",
        ),
        ("staff=yes", 1, "selected>Staff (1)"),
        ("gender=male", 4, "Male (4)"),
        ("gender=none", 5, "Not specified (5)"),
        ("joined=7", 13, "Last 7 days (13)"),
        ("gender=female&status=active", 2, "selected>Female<"),
    ] {
        let html = root.get_html(&format!("/admin/users/?{query}")).await;
        let results = format!("Results: <strong>{found}</strong>");
        assert_contains(&html, &results);
        assert_contains(&html, option);
        let own = usize::from(html.contains(">root@example.com<"));
        assert_eq!(html.matches("name=\"id\"").count(), found - own, "{query}");
    }
    app.advance_clock(chrono::TimeDelta::days(8));
    let html = root.get("/admin/users/?joined=7").await;
    assert_eq!(html.status, 303, "the session has expired");
}

/// Administrators filter superusers, and reach the accounts of each status with one click.
#[tokio::test]
async fn user_list_filters_superusers_and_links_each_status() {
    let app = app_with_users(3).await;
    app.create_staff("staff@example.com", "view_users").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let html = root.get_html("/admin/users/?staff=superuser").await;
    assert_contains(&html, "Results: <strong>1</strong>");
    assert_contains(&html, "selected>Superuser (1)");
    // A tab keeps the other filters, and hides the count of all accounts with its status.
    for (label, query) in [
        (
            "Pending approval",
            "status=pending_approval&#38;staff=superuser",
        ),
        ("Active", "status=active&#38;staff=superuser"),
        ("Deactivated", "status=deactivated&#38;staff=superuser"),
    ] {
        let link = format!("href=\"/admin/users/?{query}\">{label} <span class=\"badge\" hidden>");
        assert_contains(&html, &link);
    }
    let all = "href=\"/admin/users/?staff=superuser\" aria-current=\"true\">All <span class=\"badge\" hidden>";
    assert_contains(&html, all);
}

/// Each account has one status: that of its tab. A lockout is a flag beside it.
#[tokio::test]
async fn user_list_shows_one_status_and_lockout_flag() {
    let app = TestApp::with_lockout_after(2).await;
    let root = Dashboard::superuser(&app).await;
    for name in ["pending", "active", "locked", "deactivated"] {
        app.register(&format!("{name}@example.com")).await;
    }
    for name in ["active", "locked", "deactivated"] {
        app.activate(&format!("{name}@example.com")).await;
    }
    let deactivated = app.user("deactivated@example.com").await.id;
    let confirmed = [("confirmed", "yes")];
    root.bulk("deactivate", &[deactivated], &confirmed).await;
    for _ in 0..3 {
        app.try_login("locked@example.com", "wrong password").await;
    }
    let html = root.get_html("/admin/users/").await;
    let rows: Vec<_> = html.split("<tr role=\"row\">").skip(2).collect();
    assert_eq!(rows.len(), 5);
    for (name, status) in [
        ("pending", "Pending approval"),
        ("active", "Active"),
        ("locked", "Active"),
        ("deactivated", "Deactivated"),
    ] {
        let email = format!(">{name}@example.com<");
        let row = rows.iter().find(|row| row.contains(&email)).unwrap();
        assert_eq!(row.matches("class=\"state ").count(), 1, "{row}");
        assert_contains(row, &format!("\">{status}</span>"));
        assert_eq!(row.contains("Locked out"), name == "locked", "{row}");
    }
    let html = root.get_html("/admin/users/?status=active").await;
    assert_contains(&html, ">locked@example.com<");
    assert!(!html.contains(">deactivated@example.com<"), "{html}");
}

/// Each filter in use has a link that removes it and keeps the others.
#[tokio::test]
async fn user_list_filter_chip_removes_one_filter() {
    let app = app_with_users(6).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let page = "/admin/users/?q=user&status=active&gender=male&joined=7";
    let html = root.get_html(page).await;
    let chips = |html: &str| -> Vec<(String, String)> {
        html.split("<a class=\"chip\" ")
            .skip(1)
            .map(|chip| {
                let value = |name| attribute_values(chip, name).remove(0);
                (value("aria-label=\""), unescape(&value("href=\"")))
            })
            .collect()
    };
    let found = chips(&html);
    let labels: Vec<_> = found.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "Remove filter: Search: user",
            "Remove filter: Gender: Male",
            "Remove filter: Joined: Last 7 days"
        ]
    );
    let link = "/admin/users/?q=user&status=active&joined=7";
    assert_eq!(found[1].1, link);
    let rest = chips(&root.get_html(link).await);
    assert_eq!(rest.len(), 2, "{rest:?}");
}

/// htmx requests get only the part of the page that changes.
#[tokio::test]
async fn user_list_htmx_request_returns_only_results() {
    let app = app_with_users(2).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let page = root.get_html("/admin/users/?q=user1").await;
    let request = app
        .request(reqwest::Method::GET, "/admin/users/?q=user1")
        .header("hx-request", "true")
        .header("hx-target", "results");
    let results = root.send(request).await;
    assert_eq!(results.status, 200);
    assert!(
        results
            .html
            .trim_start()
            .starts_with("<div id=\"results\">"),
        "{}",
        results.html
    );
    assert!(
        page.contains(results.html.trim()),
        "the page contains the same results"
    );
    assert!(
        results.headers["vary"]
            .to_str()
            .unwrap()
            .contains("HX-Request")
    );
}

/// A4: the export contains the filtered users. Spreadsheets run none of its cells as a formula.
#[tokio::test]
async fn user_export_applies_filter_and_escapes_formulas() {
    let app = app_with_users(4).await;
    let body = serde_json::json!({"email": "evil@example.com", "username": "=HYPERLINK(\"x\")", "password": PASSWORD});
    assert_eq!(app.post("/api/register/", body).await.status, 201);
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let csv = root
        .get_html("/admin/users/export/?status=pending_approval&sort=email")
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
    assert_contains(&log, "exported users");
}

/// A4: an export of more than 1000 users is complete. Its event has the number of users and the filter.
#[tokio::test]
async fn user_export_is_complete_and_audited() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let transaction = database::begin(&app.database.db).await.unwrap();
    for i in 0..1001 {
        let new = NewUser {
            phone_number: Some(format!("+2010{i:08}").parse().unwrap()),
            pending_email_verification: false,
            is_superuser: false,
            is_activated: false,
            ..NewUser::superuser(
                format!("user{i}@example.com").parse().unwrap(),
                "Ada".parse().unwrap(),
                "none".to_owned(),
            )
        };
        user::insert(&transaction, new, app.clock.now())
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let page = root
        .get("/admin/users/export/?q=ada&status=pending_approval&sort=name")
        .await;
    assert_eq!(page.headers["cache-control"], "no-store");
    let lines: Vec<_> = page.html.lines().collect();
    assert_eq!(lines.len(), 1002);
    let emails: BTreeSet<_> = lines.iter().map(|line| line.split(',').nth(1)).collect();
    assert_eq!(emails.len(), 1002);
    // With spaces, spreadsheets read a number as text and keep all digits.
    assert!(lines[1].contains(",+20 1"), "{}", lines[1]);
    let events = admin_events(&app).await;
    let detail = events[0].detail.as_deref().unwrap();
    assert!(
        detail.starts_with("exported users: 1001, text: "),
        "{detail}"
    );
    assert!(
        detail.ends_with(", pending: true, pending_email_verification: false")
            && !detail.contains("text: ada"),
        "{detail}"
    );
}

//! Lists and pages of the dashboard as a browser without JavaScript walks through them.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use latchkey_shared::models::{
    audit, mail,
    user::{self, NewUser},
};
use latchkey_testing::Fault;

use crate::{
    admin::dashboard::users::crowd,
    support::dashboard::{Dashboard, field_value},
    support::test_app::{PASSWORD, TestApp},
};

/// Where a link of a pager leads.
fn link(html: &str, rel: &str) -> Option<String> {
    let (_, rest) = html.split_once(&format!("rel=\"{rel}\" href=\""))?;
    Some(address(rest.split('"').next().unwrap()))
}

/// An address as it stands in a page.
fn address(html: &str) -> String {
    html.replace("&amp;", "&").replace("&#38;", "&")
}

/// What stands in each row: the text from one mark to the next quotation mark.
fn each(html: &str, mark: &str) -> Vec<String> {
    html.split(mark)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// A section of a page.
fn section(html: &str, name: &str) -> String {
    let (_, rest) = html
        .split_once(&format!("<h2 id=\"{name}\">"))
        .unwrap_or_else(|| panic!("no section {name} in {html}"));
    rest.split("</section>").next().unwrap().to_owned()
}

async fn admin_events(app: &TestApp) -> Vec<audit::Model> {
    let filter = audit::Filter {
        event: Some("authz_admin".to_owned()),
        ..audit::Filter::default()
    };
    audit::list(&app.database.db, filter, 100).await.unwrap()
}

#[tokio::test]
async fn the_links_of_a_list_lead_through_everybody_and_back_in_every_order() {
    let app = crowd(55).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let rows = |html: &str| {
        each(html, "<td role=\"cell\" class=\"user\" data-label=\"Name\"><span class=\"initial\" aria-hidden=\"true\">").len()
    };
    let people = |html: &str| each(html, "class=\"plain\"><bdi dir=\"ltr\">");
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
        assert!(link(&first, "prev").is_none(), "{sort}");
        let next = root.get_html(&link(&first, "next").unwrap()).await;
        assert_eq!(rows(&next), 6, "{sort}");
        assert!(link(&next, "next").is_none(), "{sort}");
        let all: BTreeSet<_> = people(&first).into_iter().chain(people(&next)).collect();
        assert_eq!(all.len(), 56, "{sort}");
        let back = root.get_html(&link(&next, "prev").unwrap()).await;
        assert_eq!(people(&back), people(&first), "{sort}");

        for html in [&first, &next, &back] {
            assert_eq!(html.matches("aria-sort=").count(), 1, "{sort}");
            let (_, head) = html.split_once(&format!("aria-sort=\"{order}\">")).unwrap();
            let label = head.split('>').nth(1).unwrap();
            assert!(label.starts_with(column), "{sort}: {label}");
        }
        // The column that the list is sorted by turns it round.
        let (_, head) = first.split_once("aria-sort=").unwrap();
        let turned = address(&each(head, "href=\"").remove(0));
        let turned = root.get_html(&turned).await;
        let other = if order == "ascending" {
            "descending"
        } else {
            "ascending"
        };
        assert!(turned.contains(&format!("aria-sort=\"{other}\"")), "{sort}");
    }
    let html = root.get_html("/admin/users/").await;
    let (_, head) = html.split_once("<thead").unwrap();
    let head = head.split("</thead>").next().unwrap();
    let mut from = 0;
    for column in [
        "Name",
        "Email address",
        "Activated",
        "Active",
        "Staff",
        "Joined",
        "Last login",
    ] {
        let place = head[from..].find(&format!(">{column}"));
        from += place.unwrap_or_else(|| panic!("{column} in its place: {head}"));
    }

    // The other lists go on from their last row.
    for path in ["/admin/mails/", "/admin/audit/"] {
        let (mut seen, mut page) = (BTreeSet::new(), root.get_html(path).await);
        let (mark, all) = if path == "/admin/mails/" {
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
            let ids: Vec<_> = each(&page, mark)
                .into_iter()
                .map(|id| id.split('<').next().unwrap().to_owned())
                .filter(|id| !id.is_empty() && !id.starts_with('?'))
                .collect();
            assert!(ids.len() <= 50 && !ids.is_empty(), "{path}: {page}");
            seen.extend(ids);
            let Some(next) = link(&page, "next") else {
                break;
            };
            page = root.get_html(&next).await;
            assert!(page.contains(">Newest entries</a>"), "{path}: {page}");
        }
        assert_eq!(seen.len(), all, "{path}");
    }
}

#[tokio::test]
async fn an_export_goes_on_past_a_thousand_rows_and_is_noted_with_number_and_filter() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let transaction = latchkey_shared::database::begin(&app.database.db)
        .await
        .unwrap();
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
        .get("/admin/users/export/?q=ada&activated=pending_approval&sort=name")
        .await;
    assert_eq!(page.headers["cache-control"], "no-store");
    let lines: Vec<_> = page.html.lines().collect();
    assert_eq!(lines.len(), 1002);
    let everybody: BTreeSet<_> = lines.iter().map(|line| line.split(',').nth(1)).collect();
    assert_eq!(everybody.len(), 1002);
    // Of a number a spreadsheet would keep some digits.
    assert!(lines[1].contains(",'+2010"), "{}", lines[1]);
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

#[tokio::test]
async fn superusers_are_a_filter_and_what_is_looked_for_often_is_one_click_away() {
    let app = crowd(3).await;
    app.create_staff("staff@example.com", "view_users").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let html = root.get_html("/admin/users/?staff=superuser").await;
    assert!(html.contains("Results: <strong>1</strong>"), "{html}");
    assert!(
        html.contains("<option value=\"superuser\" selected>Superuser (1)"),
        "{html}"
    );
    for (kind, query) in [
        ("All users", ""),
        (
            "Pending approval (1)",
            "activated=pending_approval&amp;sort=joined",
        ),
        ("Deactivated (0)", "active=no"),
        ("Staff (2)", "staff=yes"),
    ] {
        assert!(
            html.contains(&format!(
                "href=\"/admin/users/?{}\">{kind}",
                query.replace("&amp;", "&#38;")
            )),
            "{kind}: {html}"
        );
    }
    assert!(
        html.contains("aria-current=\"true\">Superuser (1)"),
        "{html}"
    );
}

#[tokio::test]
async fn who_may_not_be_acted_on_has_no_box_and_what_is_refused_keeps_the_choice() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.create_staff("staff@example.com", "change_users,delete_users")
        .await;
    app.register("ada@example.com").await;
    app.register("grace@example.com").await;
    let id = async |email: &str| app.user(email).await.id.to_string();
    let (ada, grace) = (id("ada@example.com").await, id("grace@example.com").await);
    let boxes = |html: &str| each(html, "name=\"id\" value=\"");
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    let html = staff.get_html("/admin/users/?sort=joined").await;
    assert!(html.contains("root@example.com") && html.contains("staff@example.com"));
    assert_eq!(boxes(&html), [ada.clone(), grace.clone()]);
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let staffs = id("staff@example.com").await;
    let html = root.get_html("/admin/users/?sort=joined").await;
    assert_eq!(
        boxes(&html),
        [staffs, ada.clone(), grace.clone()],
        "all but the own"
    );

    // Meanwhile one of them has become staff.
    let change = user::staff::Change {
        is_staff: Some(true),
        ..user::staff::Change::default()
    };
    let seen = app.user("grace@example.com").await;
    user::staff::change(&app.database.db, &seen, change, app.clock.now())
        .await
        .unwrap();
    let back = ("back", "/admin/users/?q=example&sort=joined");
    for act in ["activate", "sign_out", "deactivate", "delete"] {
        let fields = [
            ("id", ada.as_str()),
            ("id", grace.as_str()),
            ("act", act),
            back,
        ];
        let page = staff.post("/admin/users/bulk/", &fields).await;
        assert_eq!(page.status, 403, "{act}");
        assert!(
            page.html.contains("does not have permission"),
            "{act}: {}",
            page.html
        );
        assert_eq!(boxes(&page.html), [ada.as_str()], "{act}");
        assert!(
            page.html.contains("ada@example.com\" checked>"),
            "{act}: {}",
            page.html
        );
        assert_eq!(field_value(&page.html, "q"), "example", "{act}");
        // Whoever submits it again submits what can be done.
        assert_eq!(
            field_value(&page.html, "back"),
            back.1.replace('&', "&#38;"),
            "{act}"
        );
    }
    assert!(!app.user("ada@example.com").await.is_activated);
    // The own account among them is no reason to ask first.
    let own = id("root@example.com").await;
    let fields = [
        ("id", ada.as_str()),
        ("id", own.as_str()),
        ("act", "delete"),
        back,
    ];
    let page = root.post("/admin/users/bulk/", &fields).await;
    assert_eq!(page.status, 409);
    assert!(
        page.html.contains("ada@example.com\" checked>"),
        "{}",
        page.html
    );
}

#[tokio::test]
async fn a_question_about_deleting_says_what_goes_with_the_accounts() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    app.login("ada@example.com", PASSWORD).await;
    app.request_reset("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let id = app.user("ada@example.com").await.id.to_string();
    let page = root
        .post("/admin/users/bulk/", &[("id", &id), ("act", "delete")])
        .await;
    let says = "active sessions (2), password resets (1), pictures (0).";
    assert!(page.html.contains(says), "{}", page.html);
}

#[tokio::test]
async fn a_form_that_changes_nothing_is_no_event_and_no_new_version() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let ada = app.user("ada@example.com").await;
    let version = ada.version.to_string();
    let fields = [
        ("version", version.as_str()),
        ("email", "ada@example.com"),
        ("username", "Ada"),
        ("phoneNumber", ""),
        ("dateBirth", ""),
        ("gender", ""),
        ("is_active", "on"),
    ];
    let path = format!("/admin/users/{}/", ada.id);
    assert_eq!(root.submit(&path, &fields).await, "Saved.");
    assert_eq!(app.user("ada@example.com").await, ada);
    assert_eq!(admin_events(&app).await, []);
}

#[tokio::test]
async fn a_form_with_a_bad_field_keeps_the_wish_to_remove_the_picture() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let mut body = crate::support::test_app::registration("ada@example.com");
    body["image"] =
        crate::accounts::pictures::data_url(&crate::accounts::pictures::png(8, 8)).into();
    assert_eq!(app.post("/api/register/", body).await.status, 201);
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let ada = app.user("ada@example.com").await;
    let version = ada.version.to_string();
    let fields = [
        ("version", version.as_str()),
        ("email", "ada@example.com"),
        ("username", "Ada"),
        ("phoneNumber", "12"),
        ("image_clear", "on"),
    ];
    let page = root
        .post(&format!("/admin/users/{}/", ada.id), &fields)
        .await;
    assert_eq!(page.status, 400);
    assert!(
        page.html
            .contains("name=\"image_clear\" value=\"on\" checked"),
        "{}",
        page.html
    );
}

#[tokio::test]
async fn a_conflict_on_the_own_account_names_only_what_its_form_shows() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let id = app.user("root@example.com").await.id;
    let fields = [
        ("version", "0"),
        ("email", "root@example.com"),
        ("username", "Mine"),
        ("is_activated", "on"),
    ];
    let page = root.post(&format!("/admin/users/{id}/"), &fields).await;
    assert_eq!(page.status, 409, "{page:?}");
    assert!(
        page.html.contains("<li>Name: <bdi>Ada</bdi></li></ul>"),
        "{}",
        page.html
    );
}

#[tokio::test]
async fn a_page_of_an_account_tells_its_mails_of_every_address_and_its_history_with_names() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let tokens = app.logged_in_user("ada@example.com").await;
    app.request_reset("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let text = id.to_string();
    root.submit("/admin/users/bulk/", &[("id", &text), ("act", "sign_out")])
        .await;
    let tokens = if app.get_user(&tokens.access).await.status == 200 {
        tokens
    } else {
        app.login("ada@example.com", PASSWORD).await
    };
    let change = serde_json::json!({"email": "countess@example.com"});
    assert_eq!(app.patch_user(&tokens.access, change).await.status, 200);
    // Somebody else takes the old address.
    app.register("ada@example.com").await;

    let html = root.get_html(&format!("/admin/users/{id}/")).await;
    let mails = section(&html, "h-mails");
    for kind in ["Welcome", "Reset code"] {
        assert_eq!(
            mails.matches(&format!(">{kind}</a>")).count(),
            1,
            "{kind}: {mails}"
        );
    }
    let history = section(&html, "h-audit");
    for event in ["user_created", "authn_login_success", "authz_admin"] {
        assert!(
            history.contains(&format!("<code dir=\"ltr\">{event}</code>")),
            "{history}"
        );
    }
    let root_id = app.user("root@example.com").await.id;
    let actor = format!(
        "<a href=\"/admin/users/{root_id}/\"><bdi>Ada</bdi></a> <bdi dir=\"ltr\">user {root_id}</bdi>"
    );
    assert!(
        history.contains("all sessions ended") && history.contains(&actor),
        "{history}"
    );
    assert!(history.contains("sessions: 1 → 0"), "{history}");
    // And whoever may see neither sees neither.
    app.create_staff("staff@example.com", "view_users").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    let html = staff.get_html(&format!("/admin/users/{id}/")).await;
    assert!(
        !html.contains("h-mails") && !html.contains("h-audit"),
        "{html}"
    );
}

#[tokio::test]
async fn mails_that_failed_or_expired_say_why_and_the_failed_one_is_sent_again() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let somebody = app.logged_in_user("ada@example.com").await;
    drop(somebody);
    app.deliver_all().await;
    app.sink.set_fault(Fault::ReplyFirst(1, 550));
    app.register("grace@example.com").await;
    app.deliver_all().await;
    app.sink.set_fault(Fault::Refuse);
    let body = serde_json::json!({"email": "ada@example.com"});
    app.post("/auth/email_request/", body).await;
    app.deliver_all().await;
    app.advance_clock(TimeDelta::minutes(30));
    app.deliver_all().await;
    app.sink.set_fault(Fault::None);

    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let one = async |state: &str| {
        let html = root.get_html(&format!("/admin/mails/?state={state}")).await;
        let ids = each(&html, "<a href=\"/admin/mails/");
        let ids: Vec<_> = ids.into_iter().filter(|id| id.len() > 30).collect();
        assert_eq!(ids.len(), 1, "{state}: {html}");
        (html, format!("/admin/mails/{}", ids[0]))
    };
    let (list, failed) = one("failed").await;
    assert!(list.contains("permanent error (550)"), "{list}");
    assert!(
        root.get_html(&failed)
            .await
            .contains("permanent error (550)")
    );
    let (list, expired) = one("expired").await;
    assert!(
        list.contains("expired before delivery; before that: connection: the server closed"),
        "{list}"
    );
    let html = root.get_html(&expired).await;
    assert!(
        !html.contains("value=\"retry\""),
        "a code ends with its reset: {html}"
    );
    assert_eq!(root.post(&expired, &[("act", "retry")]).await.status, 409);

    assert_eq!(
        root.submit(&failed, &[("act", "retry")]).await,
        "The mail is queued again."
    );
    // The digits alone occur by chance in any id.
    let html = root.get_html(&failed).await;
    assert!(!html.contains("permanent error"), "{html}");
    assert_eq!(app.mails_to("grace@example.com").await.len(), 1);
    let events = admin_events(&app).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].changes.as_deref(), Some("state: failed → queued"));
}

/// T5: what staff ask for by mail exceeds no budget, and shows nobody as held.
#[tokio::test]
async fn reset_mails_of_staff_have_a_budget_of_their_own() {
    let app = TestApp::with(&[("LIMIT_MAIL_CAUSE", "3/3600")]).await;
    app.create_superuser("root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let id = app.user("ada@example.com").await.id.to_string();
    let user = format!("/admin/users/{id}/");
    let fields = [
        ("id", id.as_str()),
        ("act", "request_password_reset"),
        ("back", &user),
    ];
    for _ in 0..5 {
        root.submit("/admin/users/bulk/", &fields).await;
    }
    let mails = app.mails_to("ada@example.com").await;
    let asked = mails
        .iter()
        .filter(|mail| mail.subject.starts_with("Please set a new"));
    assert_eq!(asked.count(), 3);
    let list = root.get_html("/admin/mails/?state=suppressed").await;
    assert_eq!(list.matches("LIMIT_MAIL_CAUSE").count(), 2, "{list}");
    let html = root.get_html(&user).await;
    assert!(!html.contains("Locked out until"), "{html}");
    assert_eq!(admin_events(&app).await.len(), 5);
}

#[tokio::test]
async fn the_log_is_asked_by_id_address_actor_and_day_and_says_what_it_does_not_understand() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    app.register("grace@example.com").await;
    let today = app.clock.now().date_naive();
    app.advance_clock(TimeDelta::days(1));
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let text = id.to_string();
    root.submit("/admin/users/bulk/", &[("id", &text), ("act", "activate")])
        .await;
    let rows = |html: &str| html.matches("data-label=\"#\">").count();
    let root_id = app.user("root@example.com").await.id;
    let tomorrow = today.succ_opt().unwrap();
    for (query, found) in [
        (format!("user={id}"), 2),
        ("user=ADA@example.com".to_owned(), 2),
        ("actor=root@example.com&event=authz_admin".to_owned(), 1),
        (format!("actor=user+{root_id}&event=authz_admin"), 1),
        (format!("actor={root_id}&event=authz_admin"), 1),
        ("actor=operator".to_owned(), 0),
        (format!("until={today}"), 3),
        (format!("since={tomorrow}"), 2),
        (format!("since={today}&until={tomorrow}"), 5),
        (format!("since={today}&until={today}&user={id}"), 1),
        ("since=2001-01-01&until=2001-01-02".to_owned(), 0),
        (format!("since={}", tomorrow.succ_opt().unwrap()), 0),
    ] {
        let html = root.get_html(&format!("/admin/audit/?{query}")).await;
        assert_eq!(rows(&html), found, "{query}: {html}");
    }
    for (name, text, says) in [
        ("user", "ada", "Enter an account ID or an email address."),
        (
            "user",
            "nobody@example.com",
            "No account has this email address.",
        ),
        (
            "actor",
            "somebody",
            "Enter an account ID, an email address, operator or anonymous.",
        ),
        ("since", "yesterday", "Enter a date such as"),
        ("until", "2026-02-30", "Enter a date such as"),
    ] {
        let page = root.get(&format!("/admin/audit/?{name}={text}")).await;
        assert_eq!(page.status, 400, "{name}={text}");
        assert_eq!(
            rows(&page.html),
            0,
            "no filter is not every event: {}",
            page.html
        );
        assert!(
            page.html
                .contains(&format!("id=\"e-{name}\" class=\"error\">{says}")),
            "{}",
            page.html
        );
        assert_eq!(field_value(&page.html, name), text);
    }
    let html = root
        .get_html(&format!("/admin/audit/?user={id}&event=authz_admin"))
        .await;
    let actor = format!(
        "<a href=\"/admin/users/{root_id}/\"><bdi>Ada</bdi></a> <small><bdi dir=\"ltr\">user {root_id}</bdi></small>"
    );
    assert!(html.contains(&actor), "{html}");
    // Names are for those who may see accounts.
    app.create_staff("auditor@example.com", "audit").await;
    let auditor = Dashboard::signed_in(&app, "auditor@example.com").await;
    let html = auditor.get_html(&format!("/admin/audit/?user={id}")).await;
    assert!(html.contains(&format!("user {root_id}")), "{html}");
    assert!(
        !html.contains("href=\"/admin/users/") && !html.contains("<bdi>Ada</bdi></a> <small>"),
        "{html}"
    );
}

#[tokio::test]
async fn no_page_has_a_link_or_a_button_that_its_reader_may_not_use() {
    let app = TestApp::with(&[
        ("LIMIT_LOGIN_FREE_FAILURES", "2"),
        ("LIMIT_LOGIN_FAILURES", "100"),
    ])
    .await;
    app.create_superuser("root@example.com").await;
    for _ in 0..3 {
        app.try_login("root@example.com", "wrong password").await;
    }
    app.create_staff("staff@example.com", "change_users").await;
    let staff = Dashboard::signed_in(&app, "staff@example.com").await;
    let html = staff.get_html("/admin/limits/").await;
    assert!(
        html.contains("failed logins") && !html.contains("limits/release"),
        "{html}"
    );
    let id = app.user("root@example.com").await.id;
    let html = staff.get_html(&format!("/admin/users/{id}/")).await;
    assert!(
        html.contains("Locked out") && !html.contains("limits/release"),
        "{html}"
    );
    app.create_staff("mailer@example.com", "mails").await;
    let mailer = Dashboard::signed_in(&app, "mailer@example.com").await;
    let newest = mail::list(&app.database.db, None, 1)
        .await
        .unwrap()
        .remove(0);
    let html = mailer
        .get_html(&format!("/admin/mails/{}/", newest.id))
        .await;
    assert!(
        newest.user_id.is_some() && !html.contains("/admin/users/"),
        "{html}"
    );
}

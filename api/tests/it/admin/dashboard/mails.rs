//! The pages of mails: state, cancellation and retry.

use chrono::TimeDelta;
use latchkey_shared::models::mail::{self, MailState};
use latchkey_testing::Fault;

use super::{attribute_values, newest_mail};
use crate::{
    admin::admin_events,
    support::{
        dashboard::{Dashboard, assert_contains, assert_not_contains},
        test_app::TestApp,
    },
};

/// A4: administrators see mails without their codes, cancel queued ones and retry them.
#[tokio::test]
async fn mail_page_hides_code_and_cancels_or_retries() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.logged_in_user("ada@example.com").await;
    let (_, code) = app.request_reset("ada@example.com").await;
    let newest = newest_mail(&app).await;
    let path = format!("/admin/mails/{}/", newest.id);
    let html = root.get_html(&path).await;
    assert_contains(&html, "······ is your Latchkey code");
    assert_not_contains(&html, &code);
    let page = root.post(&path, &[("act", "retry")]).await;
    assert_eq!(page.status, 409, "a sent mail cannot be retried");

    app.register("grace@example.com").await;
    let queued = newest_mail(&app).await;
    let path = format!("/admin/mails/{}/", queued.id);
    let state = || async {
        mail::find(&app.database.db, queued.id)
            .await
            .unwrap()
            .unwrap()
            .state
    };
    root.submit(&path, &[("act", "cancel")]).await;
    assert_eq!(state().await, MailState::Cancelled);
    assert_eq!(root.post(&path, &[("act", "cancel")]).await.status, 409);
    let html = root
        .get_html("/admin/mails/?state=cancelled&to=GRACE@example.com")
        .await;
    assert_contains(&html, "cancelled by an operator");
    root.submit(&path, &[("act", "retry")]).await;
    assert_eq!(state().await, MailState::Queued);
    assert_eq!(app.mails_to("grace@example.com").await.len(), 1);
    let details: Vec<_> = admin_events(&app)
        .await
        .into_iter()
        .filter_map(|event| event.detail)
        .collect();
    assert!(
        details[0].ends_with("sent again") && details[1].ends_with("cancelled"),
        "{details:?}"
    );
}

/// A4: the HTML part is shown as mail clients display it, in a frame that runs no script and that other sites cannot embed.
#[tokio::test]
async fn mail_preview_shows_html_part_in_sandbox() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.logged_in_user("ada@example.com").await;
    let (_, code) = app.request_reset("ada@example.com").await;
    let path = format!("/admin/mails/{}/", newest_mail(&app).await.id);
    let html = root.get_html(&path).await;
    let frame = format!("<iframe src=\"{path}preview/\" title=\"Preview\" sandbox>");
    assert_contains(&html, &frame);

    let preview = root.get(&format!("{path}preview/")).await;
    assert_eq!(preview.status, 200);
    assert_contains(&preview.html, "<h1");
    assert_contains(&preview.html, "src=\"data:image/png;base64,");
    assert_contains(&preview.html, "······");
    assert_not_contains(&preview.html, &code);
    let header = |name| preview.headers[name].to_str().unwrap();
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(
        policy.ends_with("frame-ancestors 'self'; sandbox"),
        "{policy}"
    );
    assert_eq!(header("x-frame-options"), "SAMEORIGIN");
    assert_eq!(header("cache-control"), "no-store");
}

/// L1: administrators see why a mail failed and retry it; expired codes cannot be retried.
#[tokio::test]
async fn failed_mail_shows_reason_and_is_retried() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.logged_in_user("ada@example.com").await;
    app.deliver_all().await;
    app.sink.set_fault(Fault::RefuseFirst(1, 550));
    app.register("grace@example.com").await;
    app.deliver_all().await;
    app.sink.set_fault(Fault::CloseConnections);
    let body = serde_json::json!({"email": "ada@example.com"});
    app.post("/auth/email_request/", body).await;
    app.deliver_all().await;
    app.advance_clock(TimeDelta::minutes(30));
    app.deliver_all().await;
    app.sink.set_fault(Fault::None);

    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let find_one = async |state: &str| {
        let html = root.get_html(&format!("/admin/mails/?state={state}")).await;
        let ids = attribute_values(&html, "<a href=\"/admin/mails/");
        let ids: Vec<_> = ids.into_iter().filter(|id| id.len() > 30).collect();
        assert_eq!(ids.len(), 1, "{state}: {html}");
        (html, format!("/admin/mails/{}", ids[0]))
    };
    let (list, failed) = find_one("failed").await;
    assert_contains(&list, "permanent error (550)");
    assert_contains(&root.get_html(&failed).await, "permanent error (550)");
    let (list, expired) = find_one("expired").await;
    assert_contains(
        &list,
        "expired before delivery; before that: connection: the server closed",
    );
    let html = root.get_html(&expired).await;
    assert_not_contains(&html, "value=\"retry\"");
    assert_eq!(root.post(&expired, &[("act", "retry")]).await.status, 409);

    assert_eq!(
        root.submit(&failed, &[("act", "retry")]).await,
        "The mail is queued again."
    );
    // Not "550" alone, which ids contain by chance.
    let html = root.get_html(&failed).await;
    assert_not_contains(&html, "permanent error");
    assert_eq!(app.mails_to("grace@example.com").await.len(), 1);
    let events = admin_events(&app).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].changes.as_deref(), Some("state: failed → queued"));
}

/// Administrators send the failed mails of a filter again, after a confirmation. Expired codes and other mails stay as they are.
#[tokio::test]
async fn failed_mails_of_filter_are_retried_after_confirmation() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.logged_in_user("hedy@example.com").await;
    app.deliver_all().await;
    let emails = ["ada@example.com", "grace@example.com", "hedy@example.com"];
    let refused = emails.iter().map(ToString::to_string).collect();
    app.sink.set_fault(Fault::RefuseRecipients(refused, 550));
    app.register("ada@example.com").await;
    app.register("grace@example.com").await;
    let body = serde_json::json!({"email": "hedy@example.com"});
    app.post("/auth/email_request/", body).await;
    app.deliver_all().await;
    app.sink.set_fault(Fault::None);
    app.advance_clock(TimeDelta::minutes(30));

    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let button = "action=\"/admin/mails/retry/\"";
    assert_not_contains(&root.get_html("/admin/mails/").await, button);
    let list = root.get_html("/admin/mails/?state=failed").await;
    assert_contains(&list, button);
    let page = root.post("/admin/mails/retry/", &[]).await;
    assert_contains(&page.html, "Mails to send: <strong>2</strong>");
    let filter = [("to", "ada@example.com"), ("confirmed", "yes")];
    let flash = root.submit("/admin/mails/retry/", &filter).await;
    assert_eq!(flash, "The mails have been queued again.");
    let failed = async || {
        let filter = Some(MailState::Failed);
        mail::list(&app.database.db, filter, 10)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(failed().await, 2, "the other filter and the expired code");
    let confirmed = [("confirmed", "yes")];
    root.submit("/admin/mails/retry/", &confirmed).await;
    assert_eq!(failed().await, 1);
    let page = root.post("/admin/mails/retry/", &confirmed).await;
    assert_eq!(page.status, 409, "nothing is left to retry");
    app.deliver_all().await;
    for email in ["ada@example.com", "grace@example.com"] {
        assert_eq!(app.mails_to(email).await.len(), 1, "{email}");
    }
    let events = admin_events(&app).await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0].detail.as_deref(), Some("mails sent again: 1"));
    let changes = events[0].changes.as_deref().unwrap();
    assert!(
        changes.starts_with("mail ") && changes.ends_with(": failed → queued"),
        "{changes}"
    );
    app.create_staff("clerk@example.com", "view_users").await;
    let clerk = Dashboard::signed_in(&app, "clerk@example.com").await;
    assert_eq!(
        clerk.post("/admin/mails/retry/", &confirmed).await.status,
        403
    );
}

//! `POST /auth/delete_account/`, and the deletion of due accounts.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use latchkey_api::accounts::deletion;
use latchkey_shared::{
    database,
    models::{
        audit::{self, Actor},
        imported_user, mail, password_reset, role, session,
        user::{self, staff},
    },
};
use latchkey_testing::{Mail, wait_until};
use reqwest::Method;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::json;

use crate::{
    accounts::pictures::{data_url, png},
    admin::audit_log::events,
    support::{
        api_tokens::create_api_token,
        dashboard::{Dashboard, assert_contains},
        test_app::{ApiResponse, PASSWORD, TestApp},
    },
};

const ADA: &str = "ada.deleted@example.com";
const WEEK: TimeDelta = TimeDelta::days(7);

async fn request_deletion(app: &TestApp, access: &str, password: &str) -> ApiResponse {
    let request = app.request(Method::POST, "/auth/delete_account/");
    let request = request.bearer_auth(access);
    app.send(request.json(&json!({"password": password}))).await
}

/// Creates an activated account and requests its deletion.
async fn create_deleted(app: &TestApp, email: &str) -> user::Model {
    let tokens = app.logged_in_user(email).await;
    let answer = request_deletion(app, &tokens.access, PASSWORD).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    app.user(email).await
}

async fn exists(app: &TestApp, id: i64) -> bool {
    let found = user::find(&app.database.db, id).await;
    found.unwrap().is_some()
}

/// The number of events of this kind and detail about an account.
async fn count_events(app: &TestApp, user_id: i64, kind: &str, detail: Option<&str>) -> usize {
    let events = events(app).await;
    let matching = events.iter().filter(|event| {
        event.user_id == Some(user_id) && event.event == kind && event.detail.as_deref() == detail
    });
    matching.count()
}

async fn verify_audit_log(app: &TestApp) {
    let key = app.database.keys.audit_key();
    let verified = audit::verify(&app.database.db, &key, None).await;
    verified.unwrap();
}

/// Fills every table with data of an account: profile, picture, role, API token, import, second factor, sessions, requests for codes before and after a
/// worker has found their account, mails, and events by and about it. Returns its access token.
pub(crate) async fn create_full_account(app: &TestApp) -> String {
    let db = &app.database.db;
    app.try_login(ADA, "a wrong password").await;
    let mut body = json!({
        "email": "ada.before@example.com", "username": "Zebulon Deleted", "password": PASSWORD,
        "phoneNumber": "+201005550199", "language": "ar",
    });
    body["image"] = json!(data_url(&png(5, 5)));
    assert_eq!(app.post("/api/register/", body).await.status, 201);
    app.create_superuser("root@example.com").await;
    let root = app.login("root@example.com", PASSWORD).await.access;
    let user = app.user("ada.before@example.com").await;
    let path = format!("/api/admin/users/{}/", user.id);
    let change = json!({"is_activated": true, "email": ADA, "is_staff": true, "permissions": ["view_users"]});
    let request = app.request(Method::PATCH, &path).bearer_auth(&root);
    assert_eq!(app.send(request.json(&change)).await.status, 200);
    // From now on codes go to the new email.
    app.advance_clock(TimeDelta::hours(25));
    let (name, permissions) = ("Support".parse().unwrap(), "mails".parse().unwrap());
    let role = role::insert(db, name, permissions).await.unwrap();
    role::assign_many(db, vec![(user.id, role.id)])
        .await
        .unwrap();
    create_api_token(app, ADA, "view_users").await;
    app.mark_imported(ADA, imported_user::DJANGO).await;
    app.request_reset(ADA).await;
    app.request_reset_token(ADA).await;
    app.try_login(ADA, "a wrong password").await;
    let access = app.login(ADA, PASSWORD).await.access;
    app.enrol(&access).await;
    access
}

/// D1: After the time of grace the account is gone from every table, with its picture, and the audit log is intact. Other accounts
/// keep everything.
#[tokio::test]
async fn deleted_account_leaves_no_trace() {
    let app = TestApp::new().await;
    let (db, access) = (&app.database.db, create_full_account(&app).await);
    let ada = app.user(ADA).await;
    app.logged_in_user("bob.kept@example.com").await;
    app.request_reset("bob.kept@example.com").await;
    let kept = mail::list_about(db, &app.user("bob.kept@example.com").await, 100).await;
    let kept = kept.unwrap();
    assert_eq!(app.pictures().len(), 1);

    let answer = request_deletion(&app, &access, PASSWORD).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    app.advance_clock(WEEK);
    app.delete_due_accounts().await;

    assert!(!exists(&app, ada.id).await);
    assert!(app.pictures().is_empty());
    let sessions = session::Entity::find().filter(session::Column::UserId.eq(ada.id));
    assert!(sessions.all(db).await.unwrap().is_empty());
    let resets = password_reset::Entity::find().all(db).await.unwrap();
    assert!(resets.iter().all(|reset| reset.user_id != Some(ada.id)));
    let imported = imported_user::find_many(db, &[ada.id]).await.unwrap();
    assert!(imported[0].fingerprints.is_empty());
    let last = app.mails_to(ADA).await.pop().unwrap();
    assert!(last.subject.contains("تم حذف حسابك"), "{}", last.subject);
    app.run_housekeeping().await;
    let dump = app.database.dump().await.to_lowercase();
    for value in ["ada.deleted", "ada.before", "zebulon", "+201005550199"] {
        assert!(!dump.contains(value), "{value}: {dump}");
    }
    let found = mail::Entity::find().filter(mail::Column::UserId.eq(ada.id));
    assert!(found.all(db).await.unwrap().is_empty());
    assert!(dump.contains("bob.kept"));
    let bob = app.user("bob.kept@example.com").await;
    assert_eq!(mail::list_about(db, &bob, 100).await.unwrap(), kept);
    assert_eq!(count_events(&app, ada.id, "user_deleted", None).await, 1);
    verify_audit_log(&app).await;
}

/// D1: The email that gets codes is the owner's, too, and events of an earlier owner of an email keep their values.
#[tokio::test]
async fn deletion_covers_confirmed_email_but_no_earlier_owner() {
    let app = TestApp::with(&[("ACCOUNT_DELETION_DAYS", "0")]).await;
    let earlier = app.logged_in_user("shared@example.com").await;
    app.try_login("shared@example.com", "a wrong password")
        .await;
    let id = app.user("shared@example.com").await.id;
    let moved = json!({"email": "moved@example.com"});
    assert_eq!(app.patch_user(&earlier.access, moved).await.status, 200);
    let trusted = user::trust_email(&app.database.db, id, app.clock.now()).await;
    assert!(trusted.unwrap());

    let ada = app.logged_in_user("shared@example.com").await;
    let unconfirmed = json!({"email": "ada.next@example.com"});
    assert_eq!(app.patch_user(&ada.access, unconfirmed).await.status, 200);
    app.request_reset_token("ada.next@example.com").await;
    app.deliver_all().await;
    // No worker has bound this one.
    app.request_reset_token("ada.next@example.com").await;
    let answer = request_deletion(&app, &ada.access, PASSWORD).await;
    assert_eq!(answer.status, 202, "{answer:?}");

    let mail = app.mails_to("shared@example.com").await.pop().unwrap();
    assert!(mail.subject.contains("deleted"), "{}", mail.subject);
    app.run_housekeeping().await;
    let dump = app.database.dump().await.to_lowercase();
    assert!(!dump.contains("ada.next"), "{dump}");
    let export = app.request(Method::GET, "/auth/export/");
    let export = app.send(export.bearer_auth(&earlier.access)).await;
    let activity = export.body["activity"].as_array().unwrap();
    let failed = activity
        .iter()
        .find(|event| event["event"] == "authn_login_fail")
        .unwrap();
    assert_eq!(failed["client_ip"], "127.0.0.1");
}

/// D1: A request ends all sessions and mails the owner when the account will be deleted.
#[tokio::test]
async fn deletion_request_ends_sessions_and_mails_owner() {
    let app = TestApp::with(&[("APP_URL", "https://app.example.com")]).await;
    let here = app.logged_in_user("ada@example.com").await;
    let there = app.login("ada@example.com", PASSWORD).await;

    let answer = request_deletion(&app, &here.access, PASSWORD).await;

    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.keys(), ["deletion_at", "message"]);
    let at: DateTime<Utc> = answer.text("/deletion_at").parse().unwrap();
    assert_eq!(at, app.clock.now() + WEEK);
    for tokens in [&here, &there] {
        app.assert_revoked(tokens).await;
    }
    let user = app.user("ada@example.com").await;
    assert!(user.is_active && user.deletion_at == Some(at));
    let mail = app.mails_to("ada@example.com").await.pop().unwrap();
    let date = at.format("%-d %B %Y").to_string();
    for part in [&mail.text, &mail.html] {
        assert!(part.contains(&date), "{date}: {part}");
        assert!(part.contains("https://app.example.com/login"), "{part}");
    }
    app.advance_clock(WEEK - TimeDelta::seconds(1));
    app.delete_due_accounts().await;
    assert!(exists(&app, user.id).await);
}

/// D1, T1: A wrong password deletes nothing, and counts like one at a password change.
#[tokio::test]
async fn deletion_wrong_password_is_refused_and_limited() {
    let app = TestApp::with(&[("LIMIT_PASSWORD_CHANGE", "2/3600")]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    for _ in 0..2 {
        request_deletion(&app, &tokens.access, "a wrong password")
            .await
            .assert_problem(400, "wrong-password");
    }

    request_deletion(&app, &tokens.access, PASSWORD)
        .await
        .assert_problem(429, "too-many-requests");

    let user = app.user("ada@example.com").await;
    assert_eq!(user.deletion_at, None);
    assert_eq!(app.get_user(&tokens.access).await.status, 200);
    let (kind, detail) = ("authn_password_change_fail", Some("account deletion"));
    assert_eq!(count_events(&app, user.id, kind, detail).await, 2);
}

/// D2: A login within the time of grace keeps the account: by the API, in the dashboard, and after a password reset.
#[tokio::test]
async fn login_cancels_deletion() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    app.create_staff("grace@example.com", "view_users").await;
    for email in ["ada@example.com", "bob@example.com", "eve@example.com"] {
        create_deleted(&app, email).await;
    }
    let grace = app.login("grace@example.com", PASSWORD).await;
    let answer = request_deletion(&app, &grace.access, PASSWORD).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    app.advance_clock(WEEK - TimeDelta::seconds(1));

    app.login("ada@example.com", PASSWORD).await;
    Dashboard::signed_in(&app, "grace@example.com").await;
    app.complete_reset("bob@example.com", "another quiet morning")
        .await;
    app.login("bob@example.com", "another quiet morning").await;
    app.try_login("eve@example.com", "a wrong password").await;

    app.advance_clock(TimeDelta::seconds(1));
    app.delete_due_accounts().await;
    for email in ["ada@example.com", "bob@example.com", "grace@example.com"] {
        let user = app.user(email).await;
        assert_eq!(user.deletion_at, None, "{email}");
        let detail = Some("deletion cancelled");
        assert_eq!(count_events(&app, user.id, "user_updated", detail).await, 1);
    }
    let eve = app.try_login("eve@example.com", PASSWORD).await;
    eve.assert_problem(401, "invalid-credentials");
    for email in ["ada@example.com", "bob@example.com", "grace@example.com"] {
        let mails = app.mails_to(email).await;
        let is_told = |mail: &&Mail| mail.subject.contains("will not be deleted");
        assert_eq!(mails.iter().filter(is_told).count(), 1, "{email}");
    }
    // The notices that had not been delivered are not sent any more.
    for email in ["ada@example.com", "grace@example.com"] {
        let mails = app.mails_to(email).await;
        let mut subjects = mails.iter().map(|mail| &mail.subject);
        assert!(
            !subjects.any(|it| it.contains("will be deleted")),
            "{email}"
        );
    }
}

/// D1: With `ACCOUNT_DELETION_DAYS=0` the account is deleted in the request.
#[tokio::test]
async fn deletion_without_grace_deletes_at_once() {
    let app = TestApp::with(&[("ACCOUNT_DELETION_DAYS", "0")]).await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let picture = json!({"image": data_url(&png(5, 5))});
    app.patch_user(&tokens.access, picture).await;
    let ada = app.user("ada@example.com").await;

    let answer = request_deletion(&app, &tokens.access, PASSWORD).await;

    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(!exists(&app, ada.id).await);
    assert!(app.pictures().is_empty());
    app.assert_revoked(&tokens).await;
    let login = app.try_login("ada@example.com", PASSWORD).await;
    login.assert_problem(401, "invalid-credentials");
    let mails = app.mails_to("ada@example.com").await;
    let subjects: Vec<_> = mails.iter().map(|mail| mail.subject.as_str()).collect();
    assert_eq!(subjects, ["Your Latchkey account was deleted"]);
    app.register("ada@example.com").await;
    assert_ne!(app.user("ada@example.com").await.id, ada.id);
    verify_audit_log(&app).await;
}

/// D3: One superuser stays whose deletion is not scheduled, also if several request theirs at once.
#[tokio::test]
async fn last_superuser_cannot_be_deleted() {
    for days in ["7", "0"] {
        let app = TestApp::with(&[("ACCOUNT_DELETION_DAYS", days)]).await;
        let mut tokens = Vec::new();
        for email in ["root@example.com", "sam@example.com", "tim@example.com"] {
            app.create_superuser(email).await;
            tokens.push(app.login(email, PASSWORD).await.access);
        }

        let requests = tokens
            .iter()
            .map(|access| request_deletion(&app, access, PASSWORD));
        let answers = join_all(requests).await;

        let refused: Vec<_> = answers.iter().filter(|it| it.status != 202).collect();
        assert_eq!(refused.len(), 1, "{answers:?}");
        refused[0].assert_problem(409, "last-superuser");
        let left = staff::count_superusers(&app.database.db).await.unwrap();
        assert_eq!(left, 1);
        app.advance_clock(WEEK);
        app.delete_due_accounts().await;
        let users = user::list(&app.database.db).await.unwrap();
        assert_eq!(users.len(), 1, "{users:?}");
        assert_eq!(users[0].deletion_at, None);
    }
}

/// D3: A superuser whose deletion is scheduled does not count as one that remains.
#[tokio::test]
async fn superuser_with_scheduled_deletion_does_not_count() {
    let app = TestApp::new().await;
    for email in ["root@example.com", "sam@example.com"] {
        app.create_superuser(email).await;
    }
    let tokens = app.login("sam@example.com", PASSWORD).await;
    let answer = request_deletion(&app, &tokens.access, PASSWORD).await;
    assert_eq!(answer.status, 202, "{answer:?}");

    let output = app
        .run(&["users", "deactivate", "root@example.com"], 1)
        .await;

    assert!(output.contains("last superuser"), "{output}");
    assert!(app.user("root@example.com").await.is_active);
}

/// D1: Several servers delete each due account once.
#[tokio::test]
async fn several_servers_delete_each_account_once() {
    let app = TestApp::new().await;
    let mut ids = Vec::new();
    for number in 0..8 {
        let user = create_deleted(&app, &format!("user{number}@example.com")).await;
        ids.push(user.id);
    }
    app.advance_clock(WEEK);
    let servers = join_all((0..3).map(|_| app.another_server())).await;

    let done = join_all(servers.iter().map(deletion::delete_due)).await;

    assert!(done.iter().all(Result::is_ok), "{done:?}");
    for id in ids {
        assert!(!exists(&app, id).await);
        assert_eq!(count_events(&app, id, "user_deleted", None).await, 1);
        let mails = mail::Entity::find().filter(mail::Column::UserId.eq(id));
        assert_eq!(mails.all(&app.database.db).await.unwrap().len(), 1);
    }
    verify_audit_log(&app).await;
}

/// D2: A login that meets the deletion either keeps the account or is refused.
#[tokio::test]
async fn concurrent_login_keeps_account_or_is_refused() {
    let app = TestApp::new().await;
    let mut users = Vec::new();
    for number in 0..8 {
        users.push(create_deleted(&app, &format!("user{number}@example.com")).await);
    }
    app.advance_clock(WEEK);
    let server = app.another_server().await;

    let logins = users
        .iter()
        .map(|user| app.try_login(user.email.as_str(), PASSWORD));
    let (answers, deleted) = tokio::join!(join_all(logins), deletion::delete_due(&server));

    deleted.unwrap();
    for (user, answer) in users.iter().zip(answers) {
        if answer.status == 200 {
            assert_eq!(app.user(user.email.as_str()).await.deletion_at, None);
            let access = answer.text("/token/access");
            assert_eq!(app.get_user(&access).await.status, 200);
        } else {
            answer.assert_problem(401, "invalid-credentials");
            assert!(!exists(&app, user.id).await);
        }
    }
    verify_audit_log(&app).await;
}

/// D1: If a server is killed before it removes the picture of a deleted account, `pictures prune` removes it.
#[tokio::test]
async fn picture_of_interrupted_deletion_is_pruned() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let picture = json!({"image": data_url(&png(5, 5))});
    app.patch_user(&tokens.access, picture).await;
    let (server, ada) = (
        app.another_server().await,
        app.user("ada@example.com").await,
    );
    let transaction = database::begin(&server.db).await.unwrap();
    let event = deletion::event_without_request(Actor::User(ada.id), ada.id);

    let deleted = deletion::delete(&server, &transaction, ada, event, None).await;
    let _never_finished = deleted.unwrap();
    transaction.commit().await.unwrap();

    let file = app.pictures().remove(0);
    let old = SystemTime::now() - Duration::from_hours(25);
    let opened = std::fs::File::options().append(true).open(file).unwrap();
    opened.set_modified(old).unwrap();
    app.run(&["pictures", "prune"], 0).await;
    assert!(app.pictures().is_empty());
}

/// D1: An account goes also while the folder of its picture is missing.
#[tokio::test]
async fn account_is_deleted_while_media_folder_is_missing() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let picture = json!({"image": data_url(&png(5, 5))});
    app.patch_user(&tokens.access, picture).await;
    let ada = app.user("ada@example.com").await;
    request_deletion(&app, &tokens.access, PASSWORD).await;
    app.advance_clock(WEEK);
    let folder = app.media_folder();
    let away = folder.with_extension("away");
    std::fs::rename(folder, &away).unwrap();

    app.delete_due_accounts().await;

    std::fs::rename(&away, folder).unwrap();
    assert!(!exists(&app, ada.id).await);
    assert_eq!(app.pictures().len(), 1);
}

/// D1: The server deletes due accounts while it runs.
#[tokio::test]
async fn running_servers_delete_due_accounts() {
    let app = TestApp::new().await;
    let ada = app.logged_in_user("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let picture = json!({"image": data_url(&png(5, 5))});
    app.patch_user(&ada.access, picture).await;
    let due = app.clock.now() - TimeDelta::days(1);
    let scheduled = user::schedule_deletion(&app.database.db, id, due).await;
    scheduled.unwrap();

    let servers = [app.process(&["serve"]), app.process(&["serve"])];

    wait_until(async || !exists(&app, id).await && app.pictures().is_empty()).await;
    drop(servers);
    assert_eq!(count_events(&app, id, "user_deleted", None).await, 1);
}

/// Staff see when an account will be deleted.
#[tokio::test]
async fn staff_see_when_account_will_be_deleted() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let ada = create_deleted(&app, "ada@example.com").await;

    let html = root.get_html(&format!("/admin/users/{}/", ada.id)).await;

    assert_contains(&html, "The owner asked to delete this account.");
    assert_contains(&html, "requested deletion, due on");
    let access = app.login("root@example.com", PASSWORD).await.access;
    let request = app.request(Method::GET, &format!("/api/admin/users/{}/", ada.id));
    let answer = app.send(request.bearer_auth(access)).await;
    let at: DateTime<Utc> = answer.text("/deletion_at").parse().unwrap();
    assert_eq!(Some(at), ada.deletion_at);
}

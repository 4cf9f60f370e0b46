//! `latchkey-api import django`, with a database that the original made (see `tests/data/original/README.md`).

use std::{
    collections::BTreeMap, fmt::Write as _, fs, os::unix::fs::PermissionsExt as _, path::PathBuf,
};

use latchkey_shared::models::{imported_user, role, user};
use latchkey_testing::TestDatabase;
use sea_orm::{ConnectionTrait as _, EntityTrait as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cli::contains_all,
    support::test_app::{PASSWORD, TestApp},
};

pub(super) const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/original");

/// A copy of the original's SQLite database.
pub(super) struct Original {
    folder: TempDir,
    pub(super) url: String,
}

impl Original {
    pub(super) fn copy() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("original.sqlite3");
        fs::write(&file, fs::read(format!("{DATA}/original.sqlite3")).unwrap()).unwrap();
        let url = format!("sqlite://{}", file.display());
        Self { folder, url }
    }

    pub(super) async fn execute(&self, sql: &str) {
        let db = sea_orm::Database::connect(&self.url).await.unwrap();
        db.execute_unprepared(sql).await.unwrap();
        db.close().await.unwrap();
    }

    pub(super) fn report(&self) -> PathBuf {
        self.folder.path().join("report.jsonl")
    }

    /// Imports with a report. Returns the output.
    pub(super) async fn import(&self, app: &TestApp, more: &[&str]) -> String {
        import(app, &self.url, &self.report(), more).await
    }
}

async fn import(app: &TestApp, url: &str, report: &std::path::Path, more: &[&str]) -> String {
    let (media, report) = (format!("{DATA}/media"), report.to_str().unwrap());
    let mut arguments = vec![
        "import", "django", "--from", url, "--media", &media, "--report", report,
    ];
    arguments.extend(more);
    app.run(&arguments, 0).await
}

/// Imports the original's accounts and pictures.
pub(crate) async fn import_original(app: &TestApp) {
    Original::copy().import(app, &[]).await;
}

/// Returns the password of an account of the original.
pub(crate) fn password_in_original(email: &str) -> String {
    expected()[email]["password"].as_str().unwrap().to_owned()
}

/// Returns the lines of a report by id.
pub(super) fn lines(report: &std::path::Path) -> BTreeMap<i64, Value> {
    let text = fs::read_to_string(report).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| (line["id"].as_i64().unwrap(), line))
        .collect()
}

/// Returns what the fixture expects of each account, by email.
pub(super) fn expected() -> BTreeMap<String, Value> {
    let text = fs::read_to_string(format!("{DATA}/passwords.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(all["users"].clone()).unwrap()
}

/// Returns the fixture's expectation of an account, changed where Latchkey's rules are others.
fn expected_here(mut fixture: Value) -> Value {
    match fixture["id"].as_i64() {
        // The third group has no permission with a counterpart.
        Some(10) => {
            fixture["import"]["reasons"] = json!(["permissions_dropped", "groups_dropped"]);
        }
        // A decomposed letter becomes a composed one, and the email is then that of account 55.
        Some(56) => fixture["import"]["reasons"] = json!(["email_taken"]),
        // No username may change the direction of text.
        Some(84) => {
            fixture["import"]["outcome"] = json!("adjust");
            fixture["import"]["reasons"] = json!(["username_characters_dropped"]);
            let family = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}";
            fixture["import"]["then"]["username"] = json!(format!("{family} evil"));
        }
        _ => {}
    }
    fixture
}

async fn assert_outcomes(app: &TestApp, report: &std::path::Path, in_postgres: bool) {
    let lines = lines(report);
    for (email, fixture) in expected() {
        let fixture = expected_here(fixture);
        let id = fixture["id"].as_i64().unwrap();
        if in_postgres && fixture["in_postgres"] == json!(false) {
            assert!(!lines.contains_key(&id));
            continue;
        }
        let reasons = &fixture["import"]["reasons"];
        match lines.get(&id) {
            Some(line) => {
                assert_eq!(
                    line["outcome"], fixture["import"]["outcome"],
                    "{id} {email}: {line}"
                );
                assert_eq!(&line["reasons"], reasons, "{id} {email}: {line}");
            }
            None => assert_eq!(reasons, &json!([]), "{id} {email} is not in the report"),
        }
        let user = user::find(&app.database.db, id).await.unwrap();
        assert_eq!(
            user.is_some(),
            fixture["import"]["outcome"] != "skip",
            "{id} {email}"
        );
        if let Some(user) = user {
            assert_values(app, &user, &fixture).await;
        }
    }
}

async fn assert_values(app: &TestApp, user: &user::Model, fixture: &Value) {
    let (then, id) = (&fixture["import"]["then"], user.id);
    let optional = |value: Option<String>| json!(value);
    assert_eq!(json!(user.email.as_str()), then["email"], "{id}");
    assert_eq!(json!(user.username.as_str()), then["username"], "{id}");
    assert_eq!(
        optional(user.phone_number.as_ref().map(ToString::to_string)),
        then["phoneNumber"],
        "{id}"
    );
    assert_eq!(
        optional(user.date_birth.map(|date| date.to_string())),
        then["dateBirth"],
        "{id}"
    );
    assert_eq!(
        optional(user.gender.map(|gender| gender.to_string())),
        then["gender"],
        "{id}"
    );
    assert_eq!(user.picture.is_some(), !then["image"].is_null(), "{id}");
    for (name, flag) in [
        ("is_activated", user.is_activated),
        ("is_active", user.is_active),
        ("is_staff", user.is_staff),
        ("is_superuser", user.is_superuser),
    ] {
        assert_eq!(json!(flag), then[name], "{id} {name}");
    }
    let time =
        |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    assert_eq!(json!(time(user.created_at)), then["created_at"], "{id}");
    assert_eq!(
        optional(user.last_login_at.map(time)),
        then["last_login_at"],
        "{id}"
    );
    let roles = role::of_user(&app.database.db, id).await.unwrap();
    let all = roles.iter().fold(user.permissions.clone(), |all, role| {
        all.union(&role.permissions)
    });
    for permission in then["permissions"].as_array().unwrap() {
        assert!(
            all.names().contains(&permission.as_str().unwrap()),
            "{id} {permission}"
        );
    }
    let stored = fixture["stored"].as_str().unwrap();
    let reasons = fixture["import"]["reasons"].to_string();
    if reasons.contains("password") {
        assert!(user.password_hash.starts_with("$argon2id$"), "{id}");
    } else {
        assert!(user.password_hash.starts_with(stored), "{id}");
    }
}

/// Every row of the fixture: its outcome and, if it is imported, every value.
#[tokio::test]
async fn import_gives_every_row_its_outcome() {
    let (app, original) = (TestApp::new().await, Original::copy());

    let output = original.import(&app, &[]).await;

    contains_all(
        &output,
        &["Created 114 account(s)", "20 skipped", "email_taken"],
    );
    assert_outcomes(&app, &original.report(), false).await;
    let report = fs::read_to_string(original.report()).unwrap();
    assert!(!report.contains('$') && !report.contains('@'), "{report}");
    let mode = fs::metadata(original.report())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // Ids of accounts that were deleted in the original are not given again.
    app.register("new@example.com").await;
    assert!(app.user("new@example.com").await.id > 138);
    let roles = role::list(&app.database.db).await.unwrap();
    let names: Vec<_> = roles.iter().map(|role| role.name.to_string()).collect();
    assert_eq!(names, ["Editors", "Support"]);
}

/// The same from PostgreSQL, which has three accounts less.
#[tokio::test]
async fn import_from_postgres_gives_every_row_its_outcome() {
    let (app, source, folder) = (
        TestApp::new().await,
        TestDatabase::postgres().await,
        tempfile::tempdir().unwrap(),
    );
    load_dump(&source).await;
    let report = folder.path().join("report.jsonl");

    let output = import(&app, source.url(), &report, &[]).await;

    contains_all(&output, &["Created 113 account(s)", "18 skipped"]);
    assert_outcomes(&app, &report, true).await;
    app.register("new@example.com").await;
    assert!(app.user("new@example.com").await.id > 138);
}

/// Executes a dump of `pg_dump`: its statements, and its COPY blocks as INSERTs.
async fn load_dump(database: &TestDatabase) {
    let dump = fs::read_to_string(format!("{DATA}/original.postgres.sql")).unwrap();
    let (mut sql, mut lines) = (String::new(), dump.lines());
    while let Some(line) = lines.next() {
        if let Some(copy) = line.strip_prefix("COPY ") {
            let table = copy.trim_end_matches(" FROM stdin;");
            for row in lines.by_ref().take_while(|row| *row != "\\.") {
                let values: Vec<_> = row.split('\t').map(literal).collect();
                writeln!(sql, "INSERT INTO {table} VALUES ({});", values.join(", ")).unwrap();
            }
        } else if !line.starts_with('\\') && !line.starts_with("SELECT pg_catalog.set_config") {
            writeln!(sql, "{line}").unwrap();
        }
    }
    database.db.execute_unprepared(&sql).await.unwrap();
}

/// Returns the SQL literal of a value in COPY's text format.
fn literal(value: &str) -> String {
    if value == "\\N" {
        return "NULL".to_owned();
    }
    let value = value
        .replace("\\r", "\r")
        .replace("\\n", "\n")
        .replace("\\t", "\t");
    format!("'{}'", value.replace("\\\\", "\\").replace('\'', "''"))
}

/// Returns the accounts and imports without what a repeated run draws anew.
async fn state(app: &TestApp) -> (Vec<user::Model>, Vec<imported_user::Model>) {
    let db = &app.database.db;
    let users = user::list(db).await.unwrap();
    (users, imported_user::Entity::find().all(db).await.unwrap())
}

#[tokio::test]
async fn import_dry_run_reports_and_writes_nothing() {
    let (app, original) = (TestApp::new().await, Original::copy());
    let before = app.database.dump().await;

    let output = original.import(&app, &["--dry-run"]).await;

    contains_all(&output, &["Would create 114 account(s)", "20 skipped"]);
    assert_eq!(lines(&original.report()).len(), 63);
    assert_eq!(app.database.dump().await, before);
    assert!(app.pictures().is_empty());
}

/// A repeated run writes nothing, and brings in what changed in the source and not here.
#[tokio::test]
async fn import_again_brings_changes_and_loses_nothing() {
    let (app, original) = (TestApp::new().await, Original::copy());
    original.import(&app, &[]).await;
    let before = app.database.dump().await;
    let output = original.import(&app, &[]).await;
    contains_all(&output, &["Created 0 account(s), changed 0"]);
    assert_eq!(app.database.dump().await, before);

    app.complete_reset("amal.active@example.com", PASSWORD)
        .await;
    app.deactivate("root@example.com").await;
    original
        .execute(
            "UPDATE users_user SET username = 'Changed', password = 'md5$a$b', image = '' WHERE id = 3; \
             UPDATE users_user SET username = 'Root', is_active = 0 WHERE id = 2; \
             UPDATE users_user SET is_activated = 1 WHERE id = 4; \
             UPDATE users_user SET email = 'ok@example.com' WHERE id = 57; \
             DELETE FROM users_user WHERE id = 128",
        )
        .await;
    let here = app.user("amal.active@example.com").await;
    original.import(&app, &[]).await;

    let amal = app.user("amal.active@example.com").await;
    assert_eq!(amal.username.as_str(), "Changed");
    assert_eq!(
        amal.password_hash, here.password_hash,
        "the password set here stays"
    );
    assert_eq!(amal.picture, None);
    assert!(app.user("basil.fresh@example.com").await.is_activated);
    assert_eq!(app.user("ok@example.com").await.id, 57);
    let lines = lines(&original.report());
    assert_eq!(
        lines[&3]["reasons"],
        json!(["password_unusable", "changed_here"])
    );
    assert_eq!(lines[&128]["reasons"], json!(["deleted_in_source"]));
    assert_eq!(app.user("root@example.com").await.username.as_str(), "Root");
}

/// An account that was created or deleted here keeps its state.
#[tokio::test]
async fn import_keeps_accounts_made_or_deleted_here() {
    let (app, original) = (TestApp::new().await, Original::copy());
    app.register("ROOT@example.com").await;
    let root = app.user("root@example.com").await;

    original.import(&app, &[]).await;

    assert_eq!(app.user("root@example.com").await, root);
    let skipped = lines(&original.report());
    assert_eq!(skipped[&root.id]["reasons"], json!(["id_taken"]));
    assert_eq!(skipped[&2]["reasons"], json!(["email_taken"]));
    assert!(user::staff::delete(&app.database.db, 3).await.unwrap());
    original.import(&app, &[]).await;
    assert_eq!(user::find(&app.database.db, 3).await.unwrap(), None);
    assert_eq!(
        lines(&original.report())[&3]["reasons"],
        json!(["deleted_here"])
    );
}

/// A run that is killed leaves whole batches, and the next run completes them.
#[tokio::test]
async fn import_killed_and_repeated_equals_one_run() {
    let (app, once, original) = (TestApp::new().await, TestApp::new().await, Original::copy());
    for copy in 1..25 {
        original
            .execute(&format!(
                "INSERT INTO users_user SELECT id + 1000 * {copy}, last_login, is_superuser, first_name, last_name, is_staff, \
                 is_active, date_joined, 'copy{copy}.' || email, '', username, password, dateBirth, gender, is_activated, phoneNumber \
                 FROM users_user WHERE id < 1000"
            ))
            .await;
    }
    let arguments = ["import", "django", "--from", &original.url];
    let mut killed = app.process(&arguments);
    while user::list(&app.database.db).await.unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    killed.kill().await;

    app.run(&arguments, 0).await;

    once.run(&arguments, 0).await;
    let comparable = async |app: &TestApp| {
        let (users, imported) = state(app).await;
        let users = users.into_iter().map(|mut user| {
            if user.password_hash.starts_with("$argon2id$v=19$m=64,") {
                // Random, as there is no password.
                user.password_hash.clear();
            }
            user
        });
        (users.collect::<Vec<_>>(), imported.len())
    };
    let users = comparable(&app).await;
    assert!(users.1 > 2_000, "{}", users.1);
    assert_eq!(users, comparable(&once).await);
}

/// A changed original may give its columns another meaning.
#[tokio::test]
async fn import_from_unknown_state_is_refused() {
    let (app, original) = (TestApp::new().await, Original::copy());
    let arguments = ["import", "django", "--from", &original.url];
    for (change, expected) in [
        (
            "INSERT INTO django_migrations (app, name, applied) VALUES ('users', '0015_more', '')",
            "users.0015_more",
        ),
        (
            "DELETE FROM django_migrations WHERE name LIKE '0014%'",
            "lacks the migration users.0014_resetpassword_is_checked",
        ),
        (
            "DROP TABLE django_migrations",
            "not a readable database of the original",
        ),
    ] {
        original.execute(change).await;
        let output = app.run(&arguments, 1).await;
        contains_all(&output, &[expected]);
    }
    assert!(user::list(&app.database.db).await.unwrap().is_empty());
}

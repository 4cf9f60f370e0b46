//! `latchkey-api export jsonl`, and the way back by `import jsonl`.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use latchkey_shared::{database, models::user};
use serde_json::{Value, json};

use crate::{
    cli::{
        contains_all,
        import::{DATA, password_in_original},
    },
    support::test_app::{PASSWORD, TestApp},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Returns the lines of an export to standard output.
async fn exported(app: &TestApp) -> Vec<Value> {
    let output = app.run(&["export", "jsonl"], 0).await;
    let lines = output.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// Creates accounts with every field: those of the original, and some that were registered here.
async fn with_accounts() -> TestApp {
    let app = TestApp::with(&[("ACTIVATION", "email")]).await;
    let url = format!("sqlite://{DATA}/original.sqlite3?mode=ro&immutable=1");
    app.run(&["import", "django", "--from", &url], 0).await;
    app.register("pending@example.com").await;
    let body = json!({
        "email": "new@example.com", "username": "New", "password": PASSWORD, "phoneNumber": "+201001234567",
        "gender": "female", "dateBirth": "1990-02-28", "language": "ar-EG",
    });
    app.post("/api/register/", body).await;
    app.activate("new@example.com").await;
    app.create_staff("staff@example.com", "mails,export_users")
        .await;
    app
}

/// Accounts that are exported, and imported into an empty installation, are exported as the same lines again.
#[tokio::test]
async fn export_and_import_give_the_same_lines() {
    let (from, to) = (with_accounts().await, TestApp::new().await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.jsonl");
    let file = path.to_str().unwrap();

    let output = from.run(&["export", "jsonl", file], 0).await;
    contains_all(&output, &["Exported 117 account(s)."]);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let report = folder.path().join("report.jsonl");
    let arguments = [
        "import",
        "jsonl",
        file,
        "--report",
        report.to_str().unwrap(),
    ];
    let output = to.run(&arguments, 0).await;

    contains_all(
        &output,
        &["Created 117 account(s)", "117 imported as they are"],
    );
    let (before, after) = (exported(&from).await, exported(&to).await);
    assert_eq!(before.len(), 117);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    for (email, password) in [
        ("new@example.com", PASSWORD),
        (
            "amal.active@example.com",
            &password_in_original("amal.active@example.com"),
        ),
    ] {
        to.login(email, password).await;
    }
    assert!(
        to.user("pending@example.com")
            .await
            .pending_email_verification
    );
    let log = from.run(&["audit", "list"], 0).await;
    contains_all(&log, &["exported accounts with password hashes"]);
}

/// The export writes more accounts than one page has.
#[tokio::test]
async fn export_writes_every_page() {
    let (from, to) = (TestApp::new().await, TestApp::new().await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.jsonl");
    let line = |id: u32| {
        format!("{{\"id\": {id}, \"email\": \"u{id}@example.com\", \"username\": \"U\"}}\n")
    };
    fs::write(&path, (1..=2_001).map(line).collect::<String>()).unwrap();
    from.run(&["import", "jsonl", path.to_str().unwrap()], 0)
        .await;

    let lines = exported(&from).await;

    let ids: Vec<_> = lines.iter().map(|line| line["id"].as_i64()).collect();
    assert_eq!(ids, (1..=2_001).map(Some).collect::<Vec<_>>());
    let lines = lines.iter().map(|line| format!("{line}\n"));
    fs::write(&path, lines.collect::<String>()).unwrap();
    to.run(&["import", "jsonl", path.to_str().unwrap()], 0)
        .await;
    assert_eq!(exported(&to).await, exported(&from).await);
}

/// An export reads one snapshot, which later changes do not affect.
#[tokio::test]
async fn snapshot_does_not_show_later_changes() {
    let app = TestApp::new().await;
    let db = &app.database.db;
    app.register("ada@example.com").await;

    let snapshot = database::begin_snapshot(db).await.unwrap();
    assert_eq!(user::list_after(&snapshot, 0).await.unwrap().len(), 1);
    app.register("grace@example.com").await;

    assert_eq!(user::list_after(&snapshot, 0).await.unwrap().len(), 1);
    drop(snapshot);
    assert_eq!(user::list_after(db, 0).await.unwrap().len(), 2);
}

/// A file that exists is replaced only if the operator asks for it, and is private then.
#[tokio::test]
async fn export_replaces_file_only_with_overwrite() {
    let app = TestApp::new().await;
    app.register("ada@example.com").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.jsonl");
    let file = path.to_str().unwrap();
    fs::write(&path, "kept\n".repeat(1_000)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();

    let output = app.run(&["export", "jsonl", file], 1).await;
    contains_all(&output, &["exists; --overwrite replaces it"]);
    assert!(fs::read_to_string(&path).unwrap().starts_with("kept"));
    app.run(&["export", "jsonl", file, "--overwrite"], 0).await;

    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("ada@example.com"));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A device or a link must not be replaced by a file.
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    let link = link.to_str().unwrap();
    let output = app.run(&["export", "jsonl", link, "--overwrite"], 1).await;
    contains_all(&output, &["is not a regular file"]);
}

/// Returns the properties of a schema.
fn properties(schema: &Value) -> Vec<&str> {
    let properties = schema["properties"].as_object().unwrap();
    properties.keys().map(String::as_str).collect()
}

/// The schema has the keys of a line. `deploy/checks/test-users-schema` validates lines against it.
#[tokio::test]
async fn schema_has_the_keys_of_a_line() {
    let schema = fs::read_to_string(Path::new(ROOT).join("deploy/docs/users.schema.json"));
    let schema: Value = serde_json::from_str(&schema.unwrap()).unwrap();
    let app = with_accounts().await;
    for line in exported(&app).await {
        let keys = line.as_object().unwrap().keys();
        assert_eq!(keys.collect::<Vec<_>>(), properties(&schema));
        for role in line["roles"].as_array().unwrap() {
            let keys = role.as_object().unwrap().keys();
            let items = &schema["properties"]["roles"]["items"];
            assert_eq!(keys.collect::<Vec<_>>(), properties(items));
        }
    }
}

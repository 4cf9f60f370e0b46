//! `latchkey-api import jsonl`.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use latchkey_shared::{
    models::{imported_user, role, user},
    types::email::Email,
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, sea_query::Expr};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cli::contains_all,
    support::{
        api_tokens::{create_api_token, stored_api_token},
        test_app::{PASSWORD, TestApp},
    },
};

/// Passwords with hashes as other systems write them: argon2id, bcrypt and PBKDF2.
const HASHES: [(&str, &str); 3] = [
    (
        "Invented-argon2-words",
        "$argon2id$v=19$m=102400,t=2,p=8$aFF1V05xU24xU3JDNmE4QUl6MGdLYg$BWHe8J+B7+ap9TDZu4f1spzhQg0nxpkUlLMkJdS5wI4",
    ),
    (
        "Invented-bcrypt-words",
        "$2b$12$beNOw0Zfj8IDq.SN3b5NP.ZqRBMdPJxYRzV70rNgO8Qf.VaYUgMSG",
    ),
    (
        "Invented-260k-words",
        "pbkdf2_sha256$260000$aDSvxDl0fbVkBb7QC2pqDR$hh/LATlUinOf+7yKAvPtymrZmsi2Jt+zLiLHQvY5PjI=",
    ),
];

/// A file of JSON lines and a report.
struct File {
    folder: TempDir,
    path: PathBuf,
}

impl File {
    fn new(lines: &[Value]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.jsonl");
        let file = Self { folder, path };
        file.write(lines);
        file
    }

    fn write(&self, lines: &[Value]) {
        let lines = lines.iter().map(|line| format!("{line}\n"));
        fs::write(&self.path, lines.collect::<String>()).unwrap();
    }

    fn report(&self) -> PathBuf {
        self.folder.path().join("report.jsonl")
    }

    /// Imports with a report. Returns the output.
    async fn import(&self, app: &TestApp, more: &[&str]) -> String {
        let report = self.report();
        let mut arguments = vec!["import", "jsonl", self.path.to_str().unwrap()];
        arguments.extend(["--report", report.to_str().unwrap()]);
        arguments.extend(more);
        app.run(&arguments, 0).await
    }

    /// Returns the lines of the report.
    fn outcomes(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.report()).unwrap();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }
}

fn full_line() -> Value {
    json!({
        "id": 70,
        "email": "Ada@Example.com",
        "username": "Ada Lovelace",
        "phoneNumber": "010 0123 4567",
        "dateBirth": "1990-02-28",
        "gender": "female",
        "language": "ar-eg",
        "language_chosen": true,
        "password": HASHES[0].1,
        "is_activated": true,
        "is_active": true,
        "is_staff": true,
        "permissions": ["mails"],
        "roles": [
            {"name": "Support", "permissions": ["view_users", "change_users"]},
            {"name": "Empty", "permissions": []},
        ],
        "created": "2020-01-02T03:04:05.678901+02:00",
        "last_login": "2021-01-02T03:04:05Z",
    })
}

#[tokio::test]
async fn import_jsonl_imports_every_field() {
    let app = TestApp::new().await;
    let file = File::new(&[full_line(), json!({"email": "grace@example.com"})]);

    let output = file.import(&app, &["--default-region", "EG"]).await;

    contains_all(&output, &["Created 2 account(s)", "2 adjusted, 0 skipped"]);
    assert_eq!(
        file.outcomes(),
        [
            json!({"line": 1, "id": 70, "outcome": "adjust", "reasons": ["phone_normalised"]}),
            json!({"line": 2, "outcome": "adjust", "reasons": ["username_blank"]}),
        ]
    );
    let ada = app.user("ada@example.com").await;
    assert_eq!((ada.id, ada.email.as_str()), (70, "Ada@Example.com"));
    assert_eq!(ada.username.as_str(), "Ada Lovelace");
    assert_eq!(ada.phone_number.unwrap().as_str(), "+201001234567");
    assert_eq!(ada.date_birth.unwrap().to_string(), "1990-02-28");
    assert_eq!(ada.gender.unwrap().to_string(), "female");
    assert_eq!(ada.language.unwrap().as_str(), "ar-EG");
    assert!(ada.language_chosen && ada.is_staff && !ada.is_superuser);
    assert_eq!(ada.permissions.to_string(), "mails");
    assert_eq!(
        ada.created_at.to_rfc3339(),
        "2020-01-02T01:04:05.678901+00:00"
    );
    assert_eq!(
        ada.last_login_at.unwrap().to_rfc3339(),
        "2021-01-02T03:04:05+00:00"
    );
    let roles = role::of_user(&app.database.db, 70).await.unwrap();
    let names: Vec<_> = roles.iter().map(|role| role.name.to_string()).collect();
    assert_eq!(names, ["Empty", "Support"]);
    // Ids of the file come first, so that new accounts never take one.
    let grace = app.user("grace@example.com").await;
    assert_eq!((grace.id, grace.username.as_str()), (71, "grace"));
    assert!(grace.is_active && grace.is_activated && !grace.is_staff);
    assert!(!grace.language_chosen && grace.permissions.names().is_empty());
    app.register("new@example.com").await;
    assert_eq!(app.user("new@example.com").await.id, 72);
    let log = app.run(&["audit", "list"], 0).await;
    contains_all(&log, &["imported accounts"]);
}

/// Owners can log in with hashes of other systems. The first login replaces the hash.
#[tokio::test]
async fn import_jsonl_keeps_passwords() {
    let app = TestApp::new().await;
    let email = |number: usize| format!("user{number}@example.com");
    let line = |number: usize| json!({"email": email(number), "username": "User", "password": HASHES[number].1});
    let file = File::new(&[line(0), line(1), line(2)]);

    file.import(&app, &[]).await;

    assert_eq!(file.outcomes(), [json!(null); 0]);
    for (number, (password, _)) in HASHES.iter().enumerate() {
        let wrong = app.try_login(&email(number), PASSWORD).await;
        assert_eq!(wrong.status, 401);
        app.login(&email(number), password).await;
        let renewed = app.user(&email(number)).await.password_hash;
        assert!(renewed.starts_with("$argon2id$v=19$m=64,"), "{renewed}");
    }
}

/// An account of another installation of Latchkey keeps its password, which was hashed in NFKC.
#[tokio::test]
async fn import_jsonl_keeps_normalized_passwords() {
    let (from, to) = (TestApp::new().await, TestApp::new().await);
    let typed = "\u{fb01}ve velvet harbours";
    let body = json!({"email": "ada@example.com", "username": "Ada", "password": typed});
    from.post("/api/register/", body).await;
    let hash = from.user("ada@example.com").await.password_hash;
    let file =
        File::new(&[json!({"email": "ada@example.com", "username": "Ada", "password": hash})]);

    file.import(&to, &[]).await;

    assert!(
        to.user("ada@example.com")
            .await
            .password_hash
            .ends_with(&hash)
    );
    to.login("ada@example.com", typed).await;
    to.login("ada@example.com", "five velvet harbours").await;
}

/// The input is hostile: each bad line is skipped by its number, and no hash or other value is printed.
#[tokio::test]
async fn import_jsonl_skips_invalid_lines_by_number() {
    let app = TestApp::new().await;
    let secret = "Sup3r-s3cret";
    let file = File::new(&[]);
    let text = [
        format!("{{\"email\": \"a@example.com\", \"password\": \"{secret}\""),
        format!("{{\"email\": \"a@example.com\", \"first_name\": \"{secret}\"}}"),
        format!("{{\"email\": \"a@example.com\", \"is_staff\": \"{secret}\"}}"),
        format!("\"{secret}\""),
        format!("{{\"email\": \"{}\"}}", secret.repeat(2_000)),
        format!("{{\"email\": \"{secret}\"}}"),
        format!("{{\"email\": \"b@example.com\", \"created\": \"{secret}\"}}"),
        String::new(),
        format!(
            "{{\"email\": \"ok@example.com\", \"username\": \"Ok\", \"password\": \"{secret}\", \"language\": \"{secret}\", \
                 \"permissions\": [\"{secret}\"], \"roles\": [{{\"name\": \"Dropped\", \"permissions\": [\"{secret}\"]}}]}}"
        ),
    ];
    fs::write(&file.path, text.join("\n")).unwrap();

    let output = file.import(&app, &[]).await;

    contains_all(
        &output,
        &[
            "line 1: invalid JSON at column",
            "line 2: unknown key first_name",
            "line 3: is_staff: expected true, false or null",
            "line 4: expected a JSON object",
            "line 5: the line has more than 16384 bytes",
            "1 adjusted, 7 skipped",
        ],
    );
    let reasons: Vec<_> = file
        .outcomes()
        .into_iter()
        .map(|line| (line["line"].as_i64().unwrap(), line["reasons"].clone()))
        .collect();
    let invalid = |line| (line, json!(["line_invalid"]));
    let dropped = [
        "permissions_dropped",
        "groups_dropped",
        "password_unusable",
        "language_dropped",
    ];
    assert_eq!(
        reasons,
        [
            invalid(1),
            invalid(2),
            invalid(3),
            invalid(4),
            invalid(5),
            (6, json!(["email_invalid"])),
            (7, json!(["created_at_invalid"])),
            (9, json!(dropped)),
        ]
    );
    let report = fs::read_to_string(file.report()).unwrap();
    assert!(!report.contains(secret) && !output.contains(secret));
    let mode = fs::metadata(file.report()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let accounts = user::list(&app.database.db).await.unwrap();
    assert_eq!(accounts.len(), 1);
    assert!(accounts[0].password_hash.starts_with("$argon2id$"));
}

/// If two lines have the same email, the usable account wins, or else the first line. If two have the same id, the first wins.
#[tokio::test]
async fn import_jsonl_imports_one_of_duplicates() {
    let app = TestApp::new().await;
    app.register("here@example.com").await;
    let here = app.user("here@example.com").await;
    let line = |id: Option<i64>, email: &str, is_active: bool| json!({"id": id, "email": email, "username": "U", "is_active": is_active});
    let file = File::new(&[
        line(None, "ada@example.com", false),
        line(None, "ADA@example.com", true),
        line(Some(90), "one@example.com", true),
        line(Some(90), "two@example.com", true),
        line(None, "Here@example.com", true),
        line(Some(here.id), "three@example.com", true),
        line(None, "two@example.com", true),
    ]);

    file.import(&app, &[]).await;

    let skip =
        |line: i64, reason: &str| json!({"line": line, "outcome": "skip", "reasons": [reason]});
    let with = |mut outcome: Value, more: Value| {
        let more = more.as_object().unwrap().clone();
        outcome.as_object_mut().unwrap().extend(more);
        outcome
    };
    assert_eq!(
        file.outcomes(),
        [
            with(skip(1, "email_taken"), json!({"winner_line": 2})),
            with(skip(4, "id_taken"), json!({"id": 90, "winner_line": 3})),
            with(skip(5, "email_taken"), json!({"winner": here.id})),
            with(skip(6, "id_taken"), json!({"id": here.id})),
        ]
    );
    assert_eq!(
        app.user("ada@example.com").await.email.as_str(),
        "ADA@example.com"
    );
    assert_eq!(app.user("one@example.com").await.id, 90);
    // The line that was skipped takes no email.
    assert_eq!(app.user("two@example.com").await.username.as_str(), "U");
    assert_eq!(app.user("here@example.com").await, here);
}

/// A further run of the same file writes nothing. A run of a changed file imports the changes, except of values changed here.
#[tokio::test]
async fn import_jsonl_again_imports_changes_only() {
    let app = TestApp::new().await;
    let without_id =
        json!({"email": "grace@example.com", "username": "Grace", "password": HASHES[2].1});
    let file = File::new(&[full_line(), without_id]);
    let region = ["--default-region", "EG"];
    file.import(&app, &region).await;
    let before = app.database.dump().await;
    let output = file.import(&app, &region).await;
    contains_all(&output, &["Created 0 account(s), changed 0"]);
    assert_eq!(app.database.dump().await, before);

    let (token, _) = create_api_token(&app, "Ada@Example.com", "mails").await;
    let grace = app.login("grace@example.com", HASHES[2].0).await;
    app.patch_user(&grace.access, json!({"language": "en", "username": "Own"}))
        .await;
    let mut ada = full_line();
    ada["email"] = json!("countess@example.com");
    ada["language"] = json!("en-GB");
    ada["is_active"] = json!(false);
    ada["roles"] = json!([]);
    let grace =
        json!({"email": "GRACE@example.com", "username": "New", "phoneNumber": "+201001234568"});
    file.write(&[grace, ada]);
    let output = file.import(&app, &region).await;

    contains_all(&output, &["Created 0 account(s), changed 2"]);
    let ada = app.user("countess@example.com").await;
    assert_eq!((ada.id, ada.is_active), (70, false));
    assert!(stored_api_token(&app, token.id).await.revoked_at.is_some());
    assert_eq!(ada.language.unwrap().as_str(), "en-GB");
    let roles = role::of_user(&app.database.db, 70).await.unwrap();
    assert!(roles.is_empty());
    let grace = app.user("grace@example.com").await;
    assert_eq!(grace.username.as_str(), "Own");
    assert_eq!(grace.language.unwrap().as_str(), "en");
    assert_eq!(grace.phone_number.unwrap().as_str(), "+201001234568");
    let reasons: Vec<_> = file
        .outcomes()
        .iter()
        .map(|it| it["reasons"].clone())
        .collect();
    assert_eq!(
        reasons,
        [json!(["changed_here"]), json!(["phone_normalised"])]
    );
}

/// The import does not touch an account that was deleted here or came from the Django original.
#[tokio::test]
async fn import_jsonl_leaves_deleted_and_other_accounts() {
    let app = TestApp::new().await;
    let line = |id: i64, email: &str| json!({"id": id, "email": email, "username": "User"});
    let file = File::new(&[line(70, "ada@example.com"), line(71, "grace@example.com")]);
    file.import(&app, &[]).await;
    assert!(user::staff::delete(&app.database.db, 70).await.unwrap());
    imported_user::Entity::update_many()
        .col_expr(imported_user::Column::Source, Expr::value("django"))
        .filter(imported_user::Column::UserId.eq(71))
        .exec(&*app.database.db)
        .await
        .unwrap();
    file.write(&[line(70, "ada@example.com"), line(71, "other@example.com")]);

    file.import(&app, &[]).await;

    let reasons: Vec<_> = file
        .outcomes()
        .iter()
        .map(|it| it["reasons"].clone())
        .collect();
    assert_eq!(reasons, [json!(["deleted_here"]), json!(["id_taken"])]);
    assert_eq!(user::find(&app.database.db, 70).await.unwrap(), None);
    assert_eq!(app.user("grace@example.com").await.id, 71);
}

#[tokio::test]
async fn import_jsonl_dry_run_reports_and_writes_nothing() {
    let app = TestApp::new().await;
    let file = File::new(&[
        full_line(),
        json!({"email": "grace@example.com"}),
        json!({"x": 1}),
    ]);
    let before = app.database.dump().await;

    let output = file.import(&app, &["--dry-run"]).await;

    contains_all(&output, &["Would create 2 account(s)", "1 skipped"]);
    assert_eq!(file.outcomes().len(), 3);
    assert_eq!(app.database.dump().await, before);
}

/// The import reads a pipe like a file, although a pipe cannot be read again.
#[tokio::test]
async fn import_jsonl_reads_pipe() {
    let app = TestApp::new().await;
    let file = File::new(&[full_line(), json!({"email": "grace@example.com"})]);
    let pipe = file.folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let (content, target) = (fs::read(&file.path).unwrap(), pipe.clone());
    let writer = tokio::task::spawn_blocking(move || fs::write(target, content).unwrap());

    let output = app
        .run(&["import", "jsonl", pipe.to_str().unwrap()], 0)
        .await;

    writer.await.unwrap();
    contains_all(&output, &["Created 2 account(s)"]);
    let missing = app.run(&["import", "jsonl", "/missing"], 1).await;
    contains_all(&missing, &["the file: No such file"]);
}

#[tokio::test]
async fn import_jsonl_imports_pictures_below_media() {
    let app = TestApp::new().await;
    let media = tempfile::tempdir().unwrap();
    let picture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/original/outside.png"
    );
    fs::copy(picture, media.path().join("ada.png")).unwrap();
    let line =
        |email: &str, image: &str| json!({"email": email, "username": "User", "image": image});
    let file = File::new(&[
        line("ada@example.com", "ada.png"),
        line("eve@example.com", picture),
        line("mallory@example.com", "../ada.png"),
    ]);

    file.import(&app, &["--media", media.path().to_str().unwrap()])
        .await;

    assert_eq!(app.pictures().len(), 1);
    assert!(app.user("ada@example.com").await.picture.is_some());
    let reasons: Vec<_> = file
        .outcomes()
        .iter()
        .map(|it| it["reasons"].clone())
        .collect();
    let outside = json!(["image_outside_media"]);
    assert_eq!(reasons, [outside.clone(), outside]);
}

/// M2: an account that has taken the email of a line here is not the line's account, whose permissions it would get.
#[tokio::test]
async fn import_jsonl_skips_email_taken_here() {
    let app = TestApp::new().await;
    let eve = json!({"email": "eve@example.com", "username": "Eve"});
    let file = File::new(&[eve]);
    file.import(&app, &[]).await;
    let id = app.user("eve@example.com").await.id;
    let email: Email = "ada@example.com".parse().unwrap();
    user::Entity::update_many()
        .col_expr(user::Column::Email, Expr::value(email.as_str()))
        .col_expr(user::Column::EmailKey, Expr::value(email.key()))
        .filter(user::Column::Id.eq(id))
        .exec(&*app.database.db)
        .await
        .unwrap();

    file.write(&[json!({"email": "ada@example.com", "username": "Ada", "is_staff": true, "is_superuser": true})]);
    file.import(&app, &[]).await;

    assert_eq!(file.outcomes()[0]["reasons"], json!(["email_taken"]));
    let eve = app.user("ada@example.com").await;
    assert_eq!(
        (eve.id, eve.username.as_str(), eve.is_superuser),
        (id, "Eve", false)
    );
}

/// M2: neither an id that this installation has given nor one of another system belongs to the person of a line.
#[tokio::test]
async fn import_jsonl_skips_ids_of_other_persons() {
    let app = TestApp::new().await;
    let file = File::new(&[
        json!({"id": 70, "email": "ada@example.com", "username": "Ada"}),
        json!({"email": "grace@example.com", "username": "Grace"}),
    ]);
    file.import(&app, &[]).await;
    let given = app.user("grace@example.com").await.id;

    file.write(&[
        json!({"id": 70, "email": "bob@example.com", "username": "Bob", "is_superuser": true}),
        json!({"id": given, "email": "carl@example.com", "username": "Grace", "is_superuser": true}),
    ]);
    file.import(&app, &[]).await;

    for outcome in file.outcomes() {
        assert_eq!(outcome["reasons"], json!(["id_taken"]), "{outcome}");
    }
    for email in ["ada@example.com", "grace@example.com"] {
        assert!(!app.user(email).await.is_superuser, "{email}");
    }
    // A person whose name alone is the same as before is still the same person.
    file.write(&[json!({"id": 70, "email": "ada@example.org", "username": "Ada"})]);
    file.import(&app, &[]).await;
    assert_eq!(app.user("ada@example.org").await.id, 70);
}

//! R2: while the database cannot work, requests return 503 with `Retry-After`. Afterwards, no restart is needed.

use std::pin::pin;

use futures_util::future::join_all;
use latchkey_shared::database::{self, Database};
use latchkey_testing::{TestDatabase, TestRedis, wait_until};
use reqwest::Method;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use serde_json::json;
use tokio::time::{Duration, timeout};

use crate::support::test_app::{self, ApiResponse, PASSWORD, TestApp, registration};

#[track_caller]
fn is_unavailable(answer: &ApiResponse) {
    answer.assert_problem(503, "unavailable");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

async fn execute(db: &Database, sql: &str) {
    let transaction = database::begin(db).await.unwrap();
    transaction.execute_unprepared(sql).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Starts an application whose server has connected to PostgreSQL after `setting` was set for the database.
pub(crate) async fn with_setting(setting: &str) -> TestApp {
    let database = TestDatabase::postgres().await;
    test_app::create_signing_key(&database).await;
    set(&database.db, &format!("SET {setting}")).await;
    let db = database.connect().await;
    TestApp::on_database(database, db, TestRedis::create().await, &[]).await
}

/// Changes a default of new connections.
pub(crate) async fn set(db: &Database, change: &str) {
    let sql = format!(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {change}', current_database()); END $$"
    );
    execute(db, &sql).await;
}

/// R2: writes recover after a failover, when open connections lead to a read-only server and new ones to the primary.
#[tokio::test]
async fn postgres_read_only_connections_are_replaced() {
    let app = with_setting("default_transaction_read_only = on").await;
    let body = registration("ada@example.com");
    is_unavailable(&app.post("/api/register/", body.clone()).await);
    let server = app.server_db();
    assert!(server.check_write().await.is_err());

    set(&app.database.db, "RESET default_transaction_read_only").await;

    wait_until(async || app.post("/api/register/", body.clone()).await.status == 201).await;
    wait_until(async || server.check_write().await.is_ok()).await;
}

/// Starts an application whose server connects to PostgreSQL as a role with a connection limit. Returns it with the role.
pub(crate) async fn with_limited_role(limit: usize) -> (TestApp, String) {
    let database = TestDatabase::postgres().await;
    let role = format!("latchkey_limited_{}", uuid::Uuid::now_v7().simple());
    let limited = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'limited' CONNECTION LIMIT {limit}; \
         GRANT pg_read_all_data, pg_write_all_data TO {role}; \
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
    );
    execute(&database.db, &limited).await;
    let mut url = url::Url::parse(database.url()).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("limited")).unwrap();
    let db = database::connect(url.as_str()).await.unwrap();
    let app = TestApp::on_database(database, db, TestRedis::create().await, &[]).await;
    (app, role)
}

/// Drops the role of a test.
pub(crate) async fn drop_role(app: &TestApp, role: &str) {
    let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    execute(&app.database.db, &drop).await;
}

/// R2: all of 40 concurrent logins succeed with two connections, and use more when the limit is lifted.
#[tokio::test]
async fn postgres_refuses_connections_requests_share_open_ones() {
    let (app, role) = with_limited_role(2).await;
    app.logged_in_user("ada@example.com").await;
    let logins =
        |count: usize| join_all((0..count).map(|_| app.try_login("ada@example.com", PASSWORD)));

    for answer in logins(40).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    let unlimited = format!("ALTER ROLE {role} CONNECTION LIMIT -1");
    execute(&app.database.db, &unlimited).await;
    let lock = database::begin(&app.database.db).await.unwrap();
    let users = "LOCK TABLE users IN ACCESS EXCLUSIVE MODE";
    lock.execute_unprepared(users).await.unwrap();
    wait_until(async || {
        // Long enough to open a connection on a busy machine.
        let mut waiting = pin!(logins(6));
        let _ = timeout(Duration::from_secs(1), &mut waiting).await;
        app.database.blocked_statements().await > 2
    })
    .await;
    lock.commit().await.unwrap();
    drop_role(&app, &role).await;
}

/// R2: operators learn which limit to raise.
#[tokio::test]
async fn postgres_without_free_connection_start_names_the_setting() {
    let database = TestDatabase::postgres().await;
    let role = format!("latchkey_refused_{}", uuid::Uuid::now_v7().simple());
    let refused = format!("CREATE ROLE {role} LOGIN PASSWORD 'refused' CONNECTION LIMIT 0");
    execute(&database.db, &refused).await;
    let mut url = url::Url::parse(database.url()).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("refused")).unwrap();

    let error = database::connect(url.as_str()).await.unwrap_err();
    assert!(error.to_string().contains("CONNECTION LIMIT"), "{error}");
    execute(&database.db, &format!("DROP ROLE {role}")).await;
}

/// R2: clients learn that they can retry, and see no database message.
#[tokio::test]
async fn postgres_transient_errors_return_503_with_retry_after() {
    let app = TestApp::on_postgres().await;
    let ada = app.logged_in_user("ada@example.com").await;
    for code in [
        "2200H", "25006", "3F000", "40001", "40P01", "42501", "42703", "42P01", "53100", "53200",
        "53300", "55P03", "57014", "57P01", "58030", "P0001", "P0004", "0A000",
    ] {
        let fail = format!(
            "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'secret words' USING ERRCODE = '{code}'; END $$; \
             CREATE OR REPLACE TRIGGER fail BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION fail()"
        );
        execute(&app.database.db, &fail).await;
        let change = json!({"username": "Grace"});
        let answer = app.patch_user(&ada.access, change.clone()).await;
        is_unavailable(&answer);
        assert!(!answer.body.to_string().contains("secret"), "{answer:?}");
        execute(&app.database.db, "DROP TRIGGER fail ON users").await;
        assert_eq!(app.patch_user(&ada.access, change).await.status, 200);
    }
}

/// R2: after a restore of the rows without the sequence, a registration does not claim to have succeeded.
#[tokio::test]
async fn postgres_sequence_behind_returns_503() {
    let database = TestDatabase::postgres().await;
    let (db, redis) = (database.db.clone(), TestRedis::create().await);
    let app = TestApp::on_database(database, db, redis, &[("REGISTRATION_PRIVACY", "on")]).await;
    app.register("ada@example.com").await;
    let restart = "SELECT setval(pg_get_serial_sequence('users', 'id'), 1, false)";
    execute(&app.database.db, restart).await;

    let eve = registration("eve@example.com");
    is_unavailable(&app.post("/api/register/", eve).await);
    app.register("ada@example.com").await;
    app.register("eve@example.com").await;
    app.user("eve@example.com").await;
}

/// R2: only the index on the email means that the email is taken.
#[tokio::test]
async fn violation_of_other_unique_index_is_an_error() {
    let app = TestApp::with(&[("REGISTRATION_PRIVACY", "on")]).await;
    app.register("ada@example.com").await;
    let index = "CREATE UNIQUE INDEX of_the_operator ON users (username)";
    execute(&app.database.db, index).await;

    let eve = registration("eve@example.com");
    assert_eq!(app.post("/api/register/", eve).await.status, 500);
    app.register("ada@example.com").await;
}

/// R2: clients can retry after a statement or lock timeout.
#[tokio::test]
async fn postgres_statement_timeouts_return_503_with_retry_after() {
    for setting in ["statement_timeout = 500", "lock_timeout = 500"] {
        let app = with_setting(setting).await;
        let ada = app.logged_in_user("ada@example.com").await;
        let lock = database::begin(&app.database.db).await.unwrap();
        let users = "LOCK TABLE users IN SHARE MODE";
        lock.execute_unprepared(users).await.unwrap();

        let change = json!({"username": "Grace"});
        is_unavailable(&app.patch_user(&ada.access, change.clone()).await);
        lock.commit().await.unwrap();
        assert_eq!(app.patch_user(&ada.access, change).await.status, 200);
    }
}

/// R2: the server replaces a read-only connection, so the next request succeeds.
#[tokio::test]
async fn sqlite_read_only_returns_503_and_reopens() {
    let app = TestApp::on_sqlite().await;
    let ada = app.logged_in_user("ada@example.com").await;
    execute(&app.database.db, "PRAGMA query_only = on").await;

    let change = json!({"username": "Grace"});
    is_unavailable(&app.patch_user(&ada.access, change.clone()).await);
    assert_eq!(app.patch_user(&ada.access, change).await.status, 200);
}

/// R2: clients can retry when a constraint of the operator is removed. The log has each remedy once, although the health checks
/// succeed.
#[tokio::test]
async fn postgres_added_constraints_return_503_with_remedy() {
    let database = TestDatabase::postgres().await;
    test_app::create_signing_key(&database).await;
    let (db, redis) = (database.db.clone(), TestRedis::create().await);
    let mut app = TestApp::on_database(database, db, redis, &[]).await;
    let mut process = app.serve().await;
    let body = registration("ada@example.com");
    for (add, remove, remedy) in [
        (
            "ALTER TABLE users ADD dept text NOT NULL",
            "ALTER TABLE users DROP dept",
            "give the column a default",
        ),
        (
            "ALTER TABLE users ADD CONSTRAINT refuse CHECK (email = '')",
            "ALTER TABLE users DROP CONSTRAINT refuse",
            "give the column a default",
        ),
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION refuse()",
            "DROP TRIGGER refuse ON users",
            "raises this exception",
        ),
    ] {
        execute(&app.database.db, add).await;
        for _ in 0..2 {
            is_unavailable(&app.post("/api/register/", body.clone()).await);
        }
        process.wait_for_line(remedy).await;
        execute(&app.database.db, remove).await;
    }
    let lines = process.lines();
    let errors: Vec<_> = lines.iter().filter(|it| it.contains(" ERROR ")).collect();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    let registered = app.post("/api/register/", body).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    process.kill().await;
}

/// R2: the isolation level does not depend on the default of the database.
#[tokio::test]
async fn postgres_transactions_are_read_committed() {
    let app = with_setting("default_transaction_isolation = serializable").await;
    let db = app.server_db();
    let shown = Statement::from_string(DbBackend::Postgres, "SHOW transaction_isolation");
    let shown = db.query_one_raw(shown).await.unwrap().unwrap();
    assert_eq!(
        shown.try_get_by_index::<String>(0).unwrap(),
        "read committed"
    );
    let registered = (0..8).map(|number| {
        let body = registration(&format!("ada{number}@example.com"));
        app.post("/api/register/", body)
    });
    for answer in join_all(registered).await {
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

/// R2: clients can retry when a trigger of the operator is corrected.
#[tokio::test]
async fn sqlite_trigger_exception_returns_503() {
    let app = TestApp::on_sqlite().await;
    let ada = app.logged_in_user("ada@example.com").await;
    let refuse =
        "CREATE TRIGGER fail BEFORE UPDATE ON users BEGIN SELECT RAISE(ABORT, 'secret words'); END";
    execute(&app.database.db, refuse).await;

    let change = json!({"username": "Grace"});
    let answer = app.patch_user(&ada.access, change.clone()).await;
    is_unavailable(&answer);
    assert!(!answer.body.to_string().contains("secret"), "{answer:?}");
    execute(&app.database.db, "DROP TRIGGER fail").await;
    assert_eq!(app.patch_user(&ada.access, change).await.status, 200);
}

/// R2: clients can retry while another program locks the database.
#[tokio::test]
async fn sqlite_locked_returns_503_until_unlocked() {
    let app = TestApp::on_sqlite().await;
    let ada = app.logged_in_user("ada@example.com").await;
    execute(&app.database.db, "PRAGMA busy_timeout = 1").await;
    let other = app.database.connect().await;
    let lock = database::begin(&other).await.unwrap();

    let change = json!({"username": "Grace"});
    is_unavailable(&app.patch_user(&ada.access, change.clone()).await);
    drop(lock);
    wait_until(async || {
        let answer = app.patch_user(&ada.access, change.clone()).await;
        answer.status == 200
    })
    .await;
}

/// R2: after a wrong restore, requests return 503, and the log has the remedy once. They succeed after the right one.
#[tokio::test]
async fn missing_table_or_column_returns_503_and_recovers() {
    for (loss, repair) in [
        (
            "ALTER TABLE users RENAME TO gone",
            "ALTER TABLE gone RENAME TO users",
        ),
        (
            "ALTER TABLE users RENAME COLUMN username TO gone",
            "ALTER TABLE users RENAME COLUMN gone TO username",
        ),
    ] {
        let mut app = TestApp::new().await;
        let mut process = app.serve().await;
        let ada = app.logged_in_user("ada@example.com").await;
        execute(&app.database.db, loss).await;

        for _ in 0..3 {
            is_unavailable(&app.get_user(&ada.access).await);
            is_unavailable(&app.try_login("ada@example.com", PASSWORD).await);
        }
        process.wait_for_line("latchkey-api migrate").await;
        let ready = async || app.send(app.request(Method::GET, "/health/ready")).await;
        wait_until(async || ready().await.text("/database") == "schema incomplete").await;
        assert_eq!(ready().await.status, 503);
        let lines = process.lines();
        let failed = lines.iter().filter(|line| line.contains(" ERROR "));
        assert_eq!(failed.count(), 1, "{lines:#?}");

        execute(&app.database.db, repair).await;
        wait_until(async || ready().await.status == 200).await;
        assert_eq!(app.get_user(&ada.access).await.status, 200);
        process.kill().await;
    }
}

/// R2: operators learn which file is damaged, and the remedy, wherever the damage is.
#[tokio::test]
async fn sqlite_damaged_file_stops_start_with_remedy() {
    let mut app = TestApp::on_sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    // The first bytes of the file, of its schema, and of all pages after the first one.
    for damaged_from in [0, 100, 4096] {
        let path = app.database.damaged_copy(folder.path(), damaged_from).await;
        app.set("DATABASE_URL", &format!("sqlite://{path}"));
        for command in ["serve", "migrate"] {
            let output = app.run(&[command], 1).await;
            for part in [&*path, "DATABASE_URL", "Restore it from a backup"] {
                assert!(output.contains(part), "{part}: {output}");
            }
            assert!(!output.contains("apt-get"), "{output}");
        }
    }
}

//! A separate database for each test: SQLite, or PostgreSQL with `TEST_DATABASE=postgres`.

use std::{fmt::Write as _, fs, path::Path};

use latchkey_migration::Migrator;
use latchkey_shared::{
    config::secret_keys::SecretKeys,
    crypto::data_keys::DataKeys,
    database::{self, Database},
    models::{audit, data_key},
};
use sea_orm::{ConnectionTrait as _, Statement};
use sea_orm_migration::MigratorTrait as _;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::variable;

/// The name of the migrated PostgreSQL template, created once per process. Copying it is faster than the migrations.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// The `SECRET_KEY` of the test databases.
pub const SECRET_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A migrated database, deleted when dropped.
pub struct TestDatabase {
    /// A connection pool.
    pub db: Database,
    /// The data keys, sealed by [`SECRET_KEY`].
    pub keys: DataKeys,
    url: String,
    kind: Kind,
}

enum Kind {
    Sqlite {
        /// Deletes the file when dropped.
        _folder: TempDir,
    },
    Postgres {
        server: String,
        name: String,
    },
}

impl TestDatabase {
    /// Creates a database of the kind that `TEST_DATABASE` names: `sqlite` (default) or `postgres`.
    pub async fn create() -> Self {
        match variable("TEST_DATABASE").as_deref() {
            None | Some("sqlite") => Self::sqlite().await,
            Some("postgres") => Self::postgres().await,
            Some(other) => panic!("TEST_DATABASE is {other:?}: expected sqlite or postgres"),
        }
    }

    /// Creates a SQLite database, for tests whose name begins with `sqlite_`.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("test.db").display());
        let db = connect(&url).await;
        migrate(&db).await;
        Self {
            keys: data_keys(&db).await,
            db,
            url,
            kind: Kind::Sqlite { _folder: folder },
        }
    }

    /// Creates a PostgreSQL database on the server of `TEST_POSTGRES_URL`, for tests whose name begins with `postgres_`.
    pub async fn postgres() -> Self {
        let server = variable("TEST_POSTGRES_URL").expect(
            "TEST_POSTGRES_URL is not set: run deploy/test, or start a PostgreSQL and set it \
             (postgres://postgres@127.0.0.1:5432/postgres)",
        );
        let template = TEMPLATE.get_or_init(|| make_template(&server)).await;
        let name = format!("latchkey_test_{}", Uuid::now_v7().simple());
        run(
            &server,
            &format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await;
        let url = in_server(&server, &name);
        let db = connect(&url).await;
        Self {
            keys: data_keys(&db).await,
            db,
            url,
            kind: Kind::Postgres { server, name },
        }
    }

    /// Returns the value for `DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes a copy of this SQLite database into a folder, overwritten from a position to its end, and returns its path.
    pub async fn damaged_copy(&self, folder: &Path, damaged_from: usize) -> String {
        let path = folder.join(format!("{damaged_from}.db"));
        let path = path.display().to_string();
        let copy = format!("VACUUM INTO '{path}'");
        self.db.execute_unprepared(&copy).await.expect("a copy");
        let mut bytes = fs::read(&path).expect("the copy");
        bytes[damaged_from..].fill(b'x');
        fs::write(&path, bytes).expect("the damaged copy");
        path
    }

    /// Returns whether the database is on PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        matches!(self.kind, Kind::Postgres { .. })
    }

    /// Returns the number of statements that wait for a lock. PostgreSQL only.
    pub async fn blocked_statements(&self) -> usize {
        let blocked = "SELECT CAST(pid AS text) AS text FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        self.texts(blocked).await.len()
    }

    /// Returns every cell of every table as text, for tests that search for secrets.
    pub async fn dump(&self) -> String {
        let mut dump = String::new();
        for table in self.texts(self.tables_query()).await {
            let _ = writeln!(dump, "{table}:");
            for row in self.texts(&self.cells_query(&table).await).await {
                let _ = writeln!(dump, "{row}");
            }
        }
        dump
    }

    /// Returns the columns of every table, each as a table and a name.
    pub async fn columns(&self) -> Vec<(String, String)> {
        let mut columns = Vec::new();
        for table in self.texts(self.tables_query()).await {
            let names = match self.kind {
                Kind::Sqlite { .. } => {
                    format!("SELECT name AS text FROM pragma_table_info('{table}')")
                }
                Kind::Postgres { .. } => format!(
                    "SELECT CAST(column_name AS text) AS text FROM information_schema.columns \
                     WHERE table_schema = 'public' AND table_name = '{table}'"
                ),
            };
            let names = self.texts(&names).await;
            columns.extend(names.into_iter().map(|name| (table.clone(), name)));
        }
        columns
    }

    fn tables_query(&self) -> &'static str {
        match self.kind {
            Kind::Sqlite { .. } => "SELECT name AS text FROM sqlite_master WHERE type = 'table'",
            Kind::Postgres { .. } => {
                "SELECT CAST(tablename AS text) AS text FROM pg_tables WHERE schemaname = 'public'"
            }
        }
    }

    /// Returns a query that selects the concatenated columns of a table.
    async fn cells_query(&self, table: &str) -> String {
        if self.is_postgres() {
            return format!("SELECT CAST(row_to_json(t) AS text) AS text FROM {table} t");
        }
        let columns = format!("SELECT name AS text FROM pragma_table_info('{table}')");
        let cells: Vec<_> = self
            .texts(&columns)
            .await
            .into_iter()
            .map(|it| {
                format!("coalesce(CASE typeof({it}) WHEN 'blob' THEN hex({it}) ELSE {it} END, '')")
            })
            .collect();
        format!("SELECT {} AS text FROM {table}", cells.join(" || '|' || "))
    }

    async fn texts(&self, query: &str) -> Vec<String> {
        let statement = Statement::from_string(self.db.get_database_backend(), query);
        let rows = self.db.query_all_raw(statement).await;
        let rows = rows.unwrap_or_else(|error| panic!("{query}: {error}"));
        rows.iter()
            .map(|row| row.try_get("", "text").expect("a text"))
            .collect()
    }

    /// Opens another connection pool.
    pub async fn connect(&self) -> Database {
        connect(&self.url).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Kind::Postgres { server, name } = &self.kind else {
            return;
        };
        let (server, drop) = (
            server.clone(),
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        );
        // Another thread, as the test's runtime cannot block in a drop. A failure only leaves a database on the test server.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            if let Ok(runtime) = runtime {
                runtime.block_on(run(&server, &drop));
            }
        })
        .join();
    }
}

async fn make_template(server: &str) -> String {
    let name = format!("latchkey_template_{}", std::process::id());
    run(server, &format!("DROP DATABASE IF EXISTS {name}")).await;
    run(server, &format!("CREATE DATABASE {name}")).await;
    let db = connect(&in_server(server, &name)).await;
    migrate(&db).await;
    // PostgreSQL copies a template only while no client is connected to it.
    db.close_by_ref().await.expect("the template's pool closes");
    name
}

/// Migrates a database and creates its data keys, as `latchkey-api migrate` does.
async fn migrate(db: &Database) {
    Migrator::up(&**db, None).await.expect("migrations");
    data_key::create_missing(db, &secret_keys(), true)
        .await
        .expect("new data keys");
    let key = data_keys(db).await.audit_key();
    let sealed = audit::seal_empty(db, &key, true).await;
    sealed.expect("a sealed audit log");
}

async fn data_keys(db: &Database) -> DataKeys {
    data_key::load(db, &secret_keys()).await.expect("data keys")
}

fn secret_keys() -> SecretKeys {
    SecretKeys::only(SECRET_KEY.parse().expect("a key"))
}

async fn run(server: &str, statement: &str) {
    let db = connect(server).await;
    // Directly on the pool, whose statements have no timeout: many concurrent tests slow down CREATE DATABASE.
    (*db)
        .execute_unprepared(statement)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    let _ = db.close_by_ref().await;
}

async fn connect(url: &str) -> Database {
    database::create(url)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// Returns the URL of another database on the same server.
fn in_server(server: &str, name: &str) -> String {
    let (rest, query) = server.split_once('?').unwrap_or((server, ""));
    let base = rest.rsplit_once('/').map_or(rest, |(base, _)| base);
    format!("{base}/{name}?{query}")
}

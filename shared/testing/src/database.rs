//! A database of one's own for each test, of the kind that `TEST_DATABASE` names.

use latchkey_migration::Migrator;
use latchkey_shared::database;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use sea_orm_migration::MigratorTrait as _;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::variable;

/// The name of PostgreSQL's migrated template, made once a process: copying it is faster than migrating anew.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// A migrated database that goes away with the test.
pub struct TestDatabase {
    /// A pool on it.
    pub db: DatabaseConnection,
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
    /// Makes a database: SQLite, or PostgreSQL with `TEST_DATABASE=postgres` on the server of `TEST_POSTGRES_URL`.
    ///
    /// # Panics
    /// When the variables ask for something else, or the database cannot be made.
    pub async fn create() -> Self {
        match variable("TEST_DATABASE").as_deref() {
            None | Some("sqlite") => Self::sqlite().await,
            Some("postgres") => Self::postgres().await,
            Some(other) => panic!("TEST_DATABASE is {other:?}: expected sqlite or postgres"),
        }
    }

    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("test.db").display());
        let db = connect(&url).await;
        Migrator::up(&db, None).await.expect("migrations");
        Self {
            db,
            url,
            kind: Kind::Sqlite { _folder: folder },
        }
    }

    async fn postgres() -> Self {
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
        Self {
            db: connect(&url).await,
            url,
            kind: Kind::Postgres { server, name },
        }
    }

    /// Its URL, for `DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Another pool on it.
    ///
    /// # Panics
    /// When it cannot be reached.
    pub async fn connect(&self) -> DatabaseConnection {
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
        // A thread of its own, as the test's runtime is busy dropping. What fails here is only litter on a test server.
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
    Migrator::up(&db, None).await.expect("migrations");
    // PostgreSQL copies only a template that nobody is connected to.
    db.close().await.expect("the template's pool closes");
    name
}

async fn run(server: &str, statement: &str) {
    let db = connect(server).await;
    db.execute_unprepared(statement)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    let _ = db.close().await;
}

async fn connect(url: &str) -> DatabaseConnection {
    database::connect(url)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// The URL of another database on the same server.
fn in_server(server: &str, name: &str) -> String {
    let (rest, query) = server.split_once('?').unwrap_or((server, ""));
    let base = rest.rsplit_once('/').map_or(rest, |(base, _)| base);
    format!("{base}/{name}?{query}")
}

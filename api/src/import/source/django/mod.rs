//! Reads the database of the Django original, on SQLite or PostgreSQL.
//!
//! On PostgreSQL the import reads one snapshot in a read-only transaction. On SQLite it reads page by page, because a longer read
//! would keep the original from writing.

mod groups;
mod state;

pub use state::MIGRATIONS;

use latchkey_shared::database::Outage;
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    DbBackend, DbErr, IsolationLevel, QueryResult, Statement, TransactionTrait as _, Value,
};

use crate::import::{
    duplicates::Candidate,
    error::ImportError,
    row::{SourceRow, SourceUser},
    source::{PAGE, django::groups::Groups},
};

/// An opened database.
pub struct DjangoSource {
    connection: Connection,
    groups: Groups,
}

enum Connection {
    Sqlite(DatabaseConnection),
    Postgres(DatabaseTransaction),
}

impl DjangoSource {
    /// Opens a database by its URL, `sqlite://` or `postgres://`, and checks that it is one of the original.
    pub async fn open(url: &str) -> Result<Self, ImportError> {
        let connection = Connection::open(url).await?;
        state::check(&connection).await?;
        let groups = Groups::read(&connection).await?;
        Ok(Self { connection, groups })
    }

    /// Counts the accounts.
    pub(in crate::import) async fn count(&self) -> Result<i64, ImportError> {
        self.connection
            .number("SELECT count(*) AS number FROM users_user")
            .await
    }

    /// Returns the last id that the source has given to an account, which may have been deleted.
    pub(in crate::import) async fn last_id(&self) -> Result<i64, ImportError> {
        let sequence = match self.connection {
            Connection::Sqlite(_) => {
                "SELECT coalesce(max(seq), 0) AS number FROM sqlite_sequence WHERE name = 'users_user'"
            }
            Connection::Postgres(_) => {
                "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('users_user', 'id')::regclass), 0) AS number"
            }
        };
        let sequence = self.connection.number(sequence).await?;
        let highest = "SELECT coalesce(max(id), 0) AS number FROM users_user";
        Ok(sequence.max(self.connection.number(highest).await?))
    }

    /// Reads a page of candidates for the choice between duplicates, after an id.
    pub(in crate::import) async fn candidates(
        &self,
        after: i64,
    ) -> Result<Vec<Candidate>, ImportError> {
        let sql = "SELECT id, CAST(email AS text) AS email, CASE WHEN is_active AND is_activated THEN 1 ELSE 0 END AS usable \
                   FROM users_user WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.connection.all(sql, [after, PAGE]).await?;
        let read = |row: &QueryResult| {
            Ok(Candidate {
                position: row.try_get("", "id")?,
                own_id: None,
                email: row.try_get("", "email")?,
                is_usable: row.try_get::<i32>("", "usable")? == 1,
            })
        };
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(source)
    }

    /// Reads a page of accounts after an id.
    pub(in crate::import) async fn page(&self, after: i64) -> Result<Vec<SourceRow>, ImportError> {
        let sql = self.connection.users_query();
        let rows = self.connection.all(&sql, [after, PAGE]).await?;
        let users: Result<Vec<_>, _> = rows.iter().map(user).collect();
        let mut users = users.map_err(source)?;
        self.groups.assign(&self.connection, &mut users).await?;
        let rows = users
            .into_iter()
            .map(|(id, user)| SourceRow::from_database(id, user));
        Ok(rows.collect())
    }
}

/// Reads an account and its id.
fn user(row: &QueryResult) -> Result<(i64, SourceUser), DbErr> {
    let flag = |name| Ok::<_, DbErr>(row.try_get::<i32>("", name)? == 1);
    let user = SourceUser {
        email: row.try_get("", "email")?,
        username: row.try_get("", "username")?,
        password: Some(row.try_get("", "password")?),
        has_names: flag("has_names")?,
        image: row.try_get("", "image")?,
        phone_number: row.try_get("", "phone_number")?,
        date_birth: row.try_get("", "date_birth")?,
        gender: row.try_get("", "gender")?,
        is_activated: flag("activated")?,
        is_active: flag("active")?,
        is_staff: flag("staff")?,
        is_superuser: flag("superuser")?,
        created_at: Some(row.try_get::<Option<_>>("", "created")?.unwrap_or_default()),
        last_login_at: row.try_get("", "login")?,
        ..SourceUser::default()
    };
    Ok((row.try_get("", "id")?, user))
}

impl Connection {
    async fn open(url: &str) -> Result<Self, ImportError> {
        let is_sqlite = url.starts_with("sqlite:");
        if !is_sqlite && !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            let expected = "expected sqlite://… or postgres://…";
            return Err(ImportError::Source(expected.to_owned()));
        }
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(1)
            .sqlx_logging(false)
            .map_sqlx_sqlite_opts(|options| options.read_only(true).create_if_missing(false));
        let db = sea_orm::Database::connect(options).await.map_err(source)?;
        if is_sqlite {
            return Ok(Self::Sqlite(db));
        }
        let snapshot = Some(IsolationLevel::RepeatableRead);
        let transaction = db.begin_with_config(snapshot, Some(AccessMode::ReadOnly));
        Ok(Self::Postgres(transaction.await.map_err(source)?))
    }

    async fn all<V: Into<Value>>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Vec<QueryResult>, ImportError> {
        let values = values.into_iter().map(Into::into);
        let statement = |backend| Statement::from_sql_and_values(backend, sql, values);
        let rows = match self {
            Self::Sqlite(db) => db.query_all_raw(statement(DbBackend::Sqlite)).await,
            Self::Postgres(db) => db.query_all_raw(statement(DbBackend::Postgres)).await,
        };
        rows.map_err(source)
    }

    /// Returns the column `number` of the only row.
    async fn number(&self, sql: &str) -> Result<i64, ImportError> {
        let rows = self.all(sql, [0_i64; 0]).await?;
        let number = rows.first().map(|row| row.try_get("", "number"));
        number.unwrap_or(Ok(0)).map_err(source)
    }

    /// Returns the query of accounts. It reads times and dates as texts, because SQLite stores texts and PostgreSQL has values
    /// outside of the range that Latchkey supports.
    fn users_query(&self) -> String {
        let time = |column: &str| match self {
            Self::Sqlite(_) => format!("CAST({column} AS text)"),
            Self::Postgres(_) => {
                format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")
            }
        };
        let flag = |column: &str| format!("CASE WHEN {column} THEN 1 ELSE 0 END");
        let columns = [
            ("id".to_owned(), "id"),
            ("CAST(email AS text)".to_owned(), "email"),
            ("CAST(username AS text)".to_owned(), "username"),
            ("CAST(password AS text)".to_owned(), "password"),
            (flag("first_name <> '' OR last_name <> ''"), "has_names"),
            ("CAST(image AS text)".to_owned(), "image"),
            ("CAST(\"phoneNumber\" AS text)".to_owned(), "phone_number"),
            ("CAST(\"dateBirth\" AS text)".to_owned(), "date_birth"),
            ("CAST(gender AS text)".to_owned(), "gender"),
            (flag("is_activated"), "activated"),
            (flag("is_active"), "active"),
            (flag("is_staff"), "staff"),
            (flag("is_superuser"), "superuser"),
            (time("date_joined"), "created"),
            (time("last_login"), "login"),
        ];
        let columns: Vec<_> = columns
            .iter()
            .map(|(expression, name)| format!("{expression} AS {name}"))
            .collect();
        format!(
            "SELECT {} FROM users_user WHERE id > $1 ORDER BY id LIMIT $2",
            columns.join(", ")
        )
    }
}

/// Describes an error of the source. Its text has no password: the drivers do not print URLs.
#[expect(clippy::needless_pass_by_value, reason = "map_err passes a value")]
fn source(error: DbErr) -> ImportError {
    let remedy = match Outage::of(&error) {
        Some(Outage::Refused) => {
            "Correct the role, the password or the database; the role needs SELECT on all tables and sequences of the original."
        }
        Some(Outage::SchemaIncomplete) => "Check that this is the database of the Django original.",
        _ => "Check that the database of the original runs and can be read.",
    };
    ImportError::Source(format!("{error}. {remedy}"))
}

//! Detects at the start that a PgBouncer in front of PostgreSQL is not usable. It works with `pool_mode = session`. The errors
//! name PgBouncer's settings.

use std::sync::Arc;

use sea_orm::{
    DatabaseConnection, DbErr, RuntimeErr,
    sqlx::{self, Connection as _, PgConnection, Row as _, postgres::PgConnectOptions},
};
use tokio::time::timeout;

use crate::database::{CONNECT_TIMEOUT, DatabaseError};

/// Identifies a backend by its process id and its server's start time, because several servers may use the same process id.
const BACKEND: &str = "SELECT pg_backend_pid() || ' ' || pg_postmaster_start_time()";
/// The number of comparisons. Other clients may use a backend between two queries.
const ROUNDS: usize = 3;

/// Returns the error of a failed start, with the startup parameter that PgBouncer has to ignore.
pub(super) async fn start_error(url: &str, error: DbErr) -> DatabaseError {
    let error = match &error {
        DbErr::Conn(RuntimeErr::SqlxError(pool)) if matches!(**pool, sqlx::Error::PoolTimedOut) => {
            cause(url).await.unwrap_or(error)
        }
        _ => error,
    };
    match refused_parameter(&error.to_string()) {
        Some(parameter) => DatabaseError::StartupParameter(parameter),
        None => error.into(),
    }
}

/// Returns why a connection is refused. The pool retries until it times out and reports only that.
async fn cause(url: &str) -> Option<DbErr> {
    let options: PgConnectOptions = url.parse().ok()?;
    let options = options.extra_float_digits(None);
    let connected = timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await;
    let error = connected.ok()?.err()?;
    Some(DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))
}

/// Parses PgBouncer's "unsupported startup parameter: x" and "unsupported startup parameter in options: x".
fn refused_parameter(error: &str) -> Option<String> {
    let (_, rest) = error.split_once("unsupported startup parameter")?;
    let (_, name) = rest.split_once(": ")?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let name: String = name.chars().take_while(|c| is_part(*c)).collect();
    (!name.is_empty()).then_some(name)
}

/// Refuses a pooler that shares a backend between two clients. Skips the check if the server has no room for two more
/// connections.
pub(super) async fn check_pool_mode(pool: &DatabaseConnection) -> Result<(), DatabaseError> {
    let options = pool.get_postgres_connection_pool().connect_options();
    let (Ok(mut one), Ok(mut other)) = (
        PgConnection::connect_with(&options).await,
        PgConnection::connect_with(&options).await,
    ) else {
        return Ok(());
    };
    let mut is_shared = false;
    for _ in 0..ROUNDS {
        is_shared |= backend(&mut one).await? == backend(&mut other).await?;
    }
    // Errors do not matter: the connections end with the process or the server.
    let _ = one.close().await;
    let _ = other.close().await;
    if is_shared {
        return Err(DatabaseError::TransactionPooling);
    }
    Ok(())
}

/// Identifies the backend of a connection. Not a prepared statement, which may exist on another backend.
async fn backend(connection: &mut PgConnection) -> Result<String, DbErr> {
    let row = sqlx::raw_sql(BACKEND).fetch_one(connection).await;
    row.and_then(|row| row.try_get(0))
        .map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_startup_parameter_is_named() {
        for (error, parameter) in [
            (
                "error returned from database: unsupported startup parameter: extra_float_digits",
                Some("extra_float_digits"),
            ),
            (
                "unsupported startup parameter in options: statement_timeout",
                Some("statement_timeout"),
            ),
            ("unsupported startup parameter: ", None),
            ("password authentication failed for user \"a\"", None),
        ] {
            assert_eq!(refused_parameter(error).as_deref(), parameter, "{error}");
        }
    }

    #[test]
    fn refused_start_names_pgbouncer_and_its_settings() {
        let error = DatabaseError::StartupParameter("options".to_owned()).to_string();
        assert!(
            error.contains("ignore_startup_parameters = options"),
            "{error}"
        );
        let error = DatabaseError::TransactionPooling.to_string();
        assert!(error.contains("pool_mode = session"), "{error}");
    }
}

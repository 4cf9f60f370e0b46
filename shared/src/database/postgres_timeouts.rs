//! Timeouts for a PostgreSQL that stops responding without closing the connection: its host has died, or a firewall has dropped
//! the connection. Without them, sqlx and its pool would wait forever.

use std::{future::Future, io, time::Duration};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, Connection as _, PgConnection, postgres::PgPoolOptions},
};
use tokio::time::timeout;

use crate::database::{permits::record_acquired, stale_connections::StaleConnections};

/// The timeout of a statement, including its wait for locks.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// The timeout of the check of an idle connection.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that were idle for longer are checked before use, which costs a round trip.
const MAX_UNCHECKED_IDLE: Duration = Duration::from_secs(1);

/// The isolation level that the transactions are written for, whatever the default of the role or database: with a higher one,
/// half of concurrent registrations fail (`40001`).
const ISOLATION_LEVEL: &str =
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Settings that let the server detect dead clients and release their locks: silent ones within 11 seconds (TCP keepalive),
/// disconnected ones within 2, also while they wait for a lock. A server that lacks a setting, before PostgreSQL 14 or outside of
/// Linux, runs without it.
const SESSION_SETTINGS: [&str; 2] = [
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3",
    "SET client_connection_check_interval = '2s'",
];

/// Limits a call to [`STATEMENT_TIMEOUT`]. After a timeout the connection is unusable, and the pool replaces it.
pub(super) async fn with_timeout<A>(
    call: impl Future<Output = Result<A, DbErr>>,
) -> Result<A, DbErr> {
    timeout(STATEMENT_TIMEOUT, call).await.unwrap_or_else(|_| {
        let error = format!(
            "PostgreSQL did not answer within {} s",
            STATEMENT_TIMEOUT.as_secs()
        );
        Err(DbErr::Conn(RuntimeErr::Internal(error)))
    })
}

/// Lets a pool check connections and replace dead ones: before use after idle time, and when they return, because the caller may
/// have timed out. sqlx itself checks returned connections, too, but without a timeout.
pub(super) fn with_liveness_checks(pool: PgPoolOptions, stale: &StaleConnections) -> PgPoolOptions {
    let (before, after) = (stale.clone(), stale.clone());
    pool.test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                record_acquired();
                sqlx::raw_sql(ISOLATION_LEVEL)
                    .execute(&mut *connection)
                    .await?;
                for setting in SESSION_SETTINGS {
                    match sqlx::raw_sql(setting).execute(&mut *connection).await {
                        Err(error) if error.as_database_error().is_none() => return Err(error),
                        _ => {}
                    }
                }
                Ok(())
            })
        })
        .before_acquire(move |connection, about| {
            let keeps = before.keeps(&about);
            Box::pin(async move {
                if keeps && about.idle_for > MAX_UNCHECKED_IDLE {
                    with_ping_timeout(connection.ping()).await?;
                }
                if keeps {
                    record_acquired();
                }
                Ok(keeps)
            })
        })
        .after_release(move |connection, about| {
            let keeps = after.keeps(&about);
            Box::pin(async move {
                if keeps {
                    end_transaction(connection).await?;
                }
                Ok(keeps)
            })
        })
}

/// Ends a transaction that sqlx does not know of, because the call of its BEGIN timed out. The next statements would become part
/// of it.
async fn end_transaction(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // Without a transaction, BEGIN avoids the server's warning about COMMIT. In a failed transaction it is an error, and the pool
    // closes the connection.
    let ended = sqlx::raw_sql("BEGIN; COMMIT").execute(connection);
    with_ping_timeout(ended).await.map(drop)
}

async fn with_ping_timeout<A>(
    call: impl Future<Output = Result<A, sqlx::Error>>,
) -> Result<A, sqlx::Error> {
    timeout(PING_TIMEOUT, call)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

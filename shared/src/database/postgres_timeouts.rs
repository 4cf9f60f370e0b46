//! A PostgreSQL that falls silent: its host has died, or a firewall on the way has forgotten the connection, and nobody says
//! so. sqlx waits for an answer for ever then, and so does its pool when it takes such a connection back.

use std::{future::Future, io, time::Duration};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, Connection as _, PgConnection, postgres::PgPoolOptions},
};
use tokio::time::timeout;

use crate::database::{permits::note_acquired, stale::StaleConnections};

/// How long a statement may take, waiting for others' locks included.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection at rest may take for a sign of life.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that was used within this time is taken to be alive; others are asked first, which is a round trip.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(1);

/// Has the server, too, notice in time that nobody is there any more, and end the transaction and the locks of whoever has
/// fallen silent: within 11 seconds, and of whoever has closed the connection within 2, also while it waits for a lock. A
/// server that does not know one of these, as before PostgreSQL 14 or outside of Linux, does without.
const SESSION_SETTINGS: [&str; 2] = [
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3",
    "SET client_connection_check_interval = '2s'",
];

/// The answer, if it comes in time. After that the connection is no good any more; whoever drops it has the pool see to it.
pub(super) async fn with_timeout<A>(
    answer: impl Future<Output = Result<A, DbErr>>,
) -> Result<A, DbErr> {
    timeout(STATEMENT_TIMEOUT, answer)
        .await
        .unwrap_or_else(|_| {
            let silence = format!(
                "PostgreSQL did not answer within {} s",
                STATEMENT_TIMEOUT.as_secs()
            );
            Err(DbErr::Conn(RuntimeErr::Internal(silence)))
        })
}

/// A pool that asks connections for a sign of life, and replaces those that give none: before they are used after a rest,
/// and when they come back, as somebody may have given up on them. sqlx asks those that come back once more, without an end.
pub(super) fn with_liveness_checks(pool: PgPoolOptions, stale: &StaleConnections) -> PgPoolOptions {
    let (before, after) = (stale.clone(), stale.clone());
    pool.test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                note_acquired();
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
                if keeps && about.idle_for > IDLE_BEFORE_PING {
                    sign_of_life(connection).await?;
                }
                if keeps {
                    note_acquired();
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

async fn sign_of_life(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    in_time(connection.ping()).await
}

/// sqlx knows of no transaction whose BEGIN was given up on, and would have what comes next be part of it.
async fn end_transaction(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // Such a one has done nothing yet. In no transaction this is one of its own, so that the server has nothing to warn of;
    // in one that has failed it is an error, and the end of the connection.
    let ended = sqlx::raw_sql("BEGIN; COMMIT").execute(connection);
    in_time(ended).await.map(drop)
}

async fn in_time<A>(sign: impl Future<Output = Result<A, sqlx::Error>>) -> Result<A, sqlx::Error> {
    timeout(PING_TIMEOUT, sign)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

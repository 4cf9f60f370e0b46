//! A PostgreSQL that falls silent: its host has died, or a firewall on the way has forgotten the connection, and nobody says
//! so. sqlx waits for an answer for ever then, and so does its pool when it takes such a connection back.

use std::{future::Future, io, time::Duration};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, Connection as _, PgConnection, postgres::PgPoolOptions},
};
use tokio::time::timeout;

/// How long a statement may take, waiting for others' locks included.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a connection at rest may take for a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// A connection that was used within this time is taken to be alive; others are asked first, which is a round trip.
const RESTED: Duration = Duration::from_secs(1);

/// The answer, if it comes in time. After that the connection is no good any more; whoever drops it has the pool see to it.
pub(super) async fn answered<A>(
    answer: impl Future<Output = Result<A, DbErr>>,
) -> Result<A, DbErr> {
    timeout(ANSWER, answer).await.unwrap_or_else(|_| {
        let silence = format!("PostgreSQL did not answer within {} s", ANSWER.as_secs());
        Err(DbErr::Conn(RuntimeErr::Internal(silence)))
    })
}

/// A pool that asks connections for a sign of life, and replaces those that give none: before they are used after a rest,
/// and when they come back, as somebody may have given up on them. sqlx asks those that come back once more, without an end.
pub(super) fn heard_of(pool: PgPoolOptions) -> PgPoolOptions {
    pool.test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // Has the server stop working for somebody who has given up, also while it waits for a lock. Where it cannot,
                // before PostgreSQL 14 and not on Linux, it goes on for nobody.
                let notice = "SET client_connection_check_interval = '2s'";
                match sqlx::raw_sql(notice).execute(connection).await {
                    Err(error) if error.as_database_error().is_none() => Err(error),
                    _ => Ok(()),
                }
            })
        })
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for > RESTED {
                    sign_of_life(connection).await?;
                }
                Ok(true)
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move { end_transaction(connection).await.map(|()| true) })
        })
}

async fn sign_of_life(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    in_time(connection.ping()).await
}

/// sqlx knows of no transaction whose BEGIN was given up on, and would have what comes next be part of it.
async fn end_transaction(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // In no transaction this is one of its own, and ROLLBACK no warning in the server's log. In one that has failed it is an
    // error, and the end of the connection.
    let ended = sqlx::raw_sql("BEGIN; ROLLBACK").execute(connection);
    in_time(ended).await.map(drop)
}

async fn in_time<A>(sign: impl Future<Output = Result<A, sqlx::Error>>) -> Result<A, sqlx::Error> {
    timeout(SIGN_OF_LIFE, sign)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

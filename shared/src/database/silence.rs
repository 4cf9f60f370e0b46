//! A PostgreSQL that falls silent: its host has died, or a firewall on the way has forgotten the connection, and nobody says
//! so. sqlx waits for an answer for ever then, and so does its pool when it takes such a connection back.

use std::{future::Future, io, time::Duration};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, Connection as _, PgConnection, postgres::PgPoolOptions},
};
use tokio::time::timeout;

/// How long a statement may take. None of ours takes a second where nothing is wrong.
const ANSWER: Duration = Duration::from_secs(10);
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
/// and when they come back, as somebody may have given up on them.
pub(super) fn heard_of(pool: PgPoolOptions) -> PgPoolOptions {
    pool.test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for > RESTED {
                    sign_of_life(connection).await?;
                }
                Ok(true)
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move { sign_of_life(connection).await.map(|()| true) })
        })
}

async fn sign_of_life(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    timeout(SIGN_OF_LIFE, connection.ping())
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

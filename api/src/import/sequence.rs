//! The sequence that ids of new accounts come from.

use latchkey_shared::database::{self, Database};
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr, Statement};

/// Lets ids of new accounts begin after `last`, if they do not already. Otherwise a token of an account that was deleted in the source
/// would open the next account that is created here.
pub(super) async fn advance(db: &Database, last: i64) -> Result<(), DbErr> {
    if last < 1 {
        return Ok(());
    }
    let backend = db.get_database_backend();
    let statements: &[&str] = match backend {
        // The lock keeps other transactions from taking ids between the comparison and the change.
        DbBackend::Postgres => &[
            "LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE",
            "SELECT setval(name, $1) FROM (SELECT pg_get_serial_sequence('users', 'id') AS name) AS ids \
             WHERE coalesce(pg_sequence_last_value(name::regclass), 0) < $1",
        ],
        _ => &[
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'users', 0 \
             WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'users')",
            "UPDATE sqlite_sequence SET seq = $1 WHERE name = 'users' AND seq < $1",
        ],
    };
    let transaction = database::begin(db).await?;
    for sql in statements {
        let values = if sql.contains("$1") {
            vec![last.into()]
        } else {
            Vec::new()
        };
        let statement = Statement::from_sql_and_values(backend, *sql, values);
        transaction.query_all_raw(statement).await?;
    }
    transaction.commit().await
}

//! Classifies database errors: the reason, the remedy, and whether a new connection may help.

use sea_orm::{
    ConnAcquireErr, DbErr, RuntimeErr, SqlErr,
    sqlx::{self, error::DatabaseError as SqlError, sqlite::SqliteError},
};

/// A reason why the database cannot work at the moment, independent of the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It does not respond, or the connection broke.
    Unreachable,
    /// It is stopping or starting, or closed the connection on request.
    Restarting,
    /// It accepts no further connections.
    TooManyConnections,
    /// It refuses the role, the password or the name of the database, or the role lacks permissions.
    Refused,
    /// It accepts no writes: a standby, a demoted primary, a file system that is mounted read-only.
    ReadOnly,
    /// Its disk is full.
    DiskFull,
    /// It has no memory left.
    OutOfMemory,
    /// A table, a column, a function or the schema is missing or has changed, such as after an incomplete restore or a restore of
    /// another version.
    SchemaIncomplete,
    /// Reading or writing a file failed.
    InputOutput,
    /// A file is damaged.
    Damaged,
    /// A sequence has no further number, such as for the id of a new account.
    SequenceExhausted,
    /// A sequence yields the id of an existing row, such as after a restore of the rows alone.
    SequenceBehind,
    /// A trigger or function of the operator refuses the statement.
    RefusedByTrigger,
    /// A constraint of the operator refuses the statement: a column without a default, or a check. The statements satisfy those of
    /// the schema itself.
    RefusedByConstraint,
    /// The statement was cancelled, by a timeout of the server or an administrator.
    Cancelled,
    /// Another transaction has a lock, or two transactions deadlocked.
    Locked,
    /// The SQLite file is no longer at its path, so that the next start would not find what is written now.
    Moved,
    /// The write-ahead log of SQLite or its index is no longer at its path, so that other programs and the next start would not
    /// find what is written now.
    LogLost,
}

impl Outage {
    /// Returns the outage behind an error. `None` for errors of the statement or its values.
    #[must_use]
    pub fn of(error: &DbErr) -> Option<Self> {
        match error {
            DbErr::Conn(RuntimeErr::SqlxError(error)) => {
                Some(Self::of_sqlx(error).unwrap_or(Self::Unreachable))
            }
            DbErr::Conn(RuntimeErr::Internal(text)) if text == FILE_LOCKED => Some(Self::Locked),
            DbErr::Conn(RuntimeErr::Internal(text)) if text == FILE_EMPTY => Some(Self::Damaged),
            DbErr::Conn(RuntimeErr::Internal(text)) if text == FILE_MOVED => Some(Self::Moved),
            DbErr::Conn(RuntimeErr::Internal(text)) if text == LOG_LOST => Some(Self::LogLost),
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Some(Self::Unreachable),
            DbErr::Exec(RuntimeErr::SqlxError(error))
            | DbErr::Query(RuntimeErr::SqlxError(error)) => Self::of_sqlx(error),
            _ => None,
        }
    }

    fn of_sqlx(error: &sqlx::Error) -> Option<Self> {
        match error {
            sqlx::Error::Database(error) => Self::of_code(&**error),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Some(Self::Unreachable),
            _ => None,
        }
    }

    fn of_code(error: &dyn SqlError) -> Option<Self> {
        let code = error.code()?;
        if error.constraint().is_some_and(|it| NUMBERED.contains(&it)) {
            return Some(Self::SequenceBehind);
        }
        if error.try_downcast_ref::<SqliteError>().is_some() {
            Self::of_sqlite(code.parse().ok()?, error.message())
        } else {
            Self::of_postgres(&code)
        }
    }

    /// Classifies SQLite's result codes (<https://sqlite.org/rescode.html>). The low byte of an extended code is the primary one.
    /// `SQLITE_ERROR` has no codes for its reasons, only messages.
    fn of_sqlite(code: i32, message: &str) -> Option<Self> {
        let is_missing = |words: &&str| message.contains(*words);
        match code & 0xff {
            // SQLITE_CONSTRAINT_TRIGGER: `RAISE`.
            _ if code == 1811 => Some(Self::RefusedByTrigger),
            1 if SQLITE_MISSING.iter().any(is_missing) => Some(Self::SchemaIncomplete),
            // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL
            5 | 6 | 15 => Some(Self::Locked),
            // SQLITE_NOMEM
            7 => Some(Self::OutOfMemory),
            // SQLITE_READONLY
            8 => Some(Self::ReadOnly),
            // SQLITE_INTERRUPT
            9 => Some(Self::Cancelled),
            // SQLITE_IOERR, SQLITE_CANTOPEN
            10 | 14 => Some(Self::InputOutput),
            // SQLITE_CORRUPT, SQLITE_NOTADB
            11 | 26 => Some(Self::Damaged),
            // SQLITE_FULL
            13 => Some(Self::DiskFull),
            _ => None,
        }
    }

    /// Classifies PostgreSQL's error codes (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    fn of_postgres(code: &str) -> Option<Self> {
        match code {
            "2200H" => Some(Self::SequenceExhausted),
            // NOT NULL, CHECK
            "23502" | "23514" => Some(Self::RefusedByConstraint),
            "25006" => Some(Self::ReadOnly),
            // A transaction timeout ended the connection.
            "25P03" | "25P04" | "57014" => Some(Self::Cancelled),
            "53100" => Some(Self::DiskFull),
            "53200" => Some(Self::OutOfMemory),
            "53300" => Some(Self::TooManyConnections),
            "40001" | "40P01" | "55P03" => Some(Self::Locked),
            "3D000" | "42501" => Some(Self::Refused),
            // A missing schema, column, other object, function or table, or a column whose type has changed since the connection
            // prepared the statement.
            "3F000" | "42703" | "42704" | "42883" | "42P01" | "0A000" => {
                Some(Self::SchemaIncomplete)
            }
            "XX001" | "XX002" => Some(Self::Damaged),
            _ => match &code[..code.len().min(2)] {
                "08" => Some(Self::Unreachable),
                // `RAISE EXCEPTION` without a code, and other errors of PL/pgSQL. The triggers of the schema itself refuse only
                // statements that the programs do not send.
                "P0" => Some(Self::RefusedByTrigger),
                "28" => Some(Self::Refused),
                "53" => Some(Self::OutOfMemory),
                "57" => Some(Self::Restarting),
                "58" => Some(Self::InputOutput),
                _ => None,
            },
        }
    }

    /// Returns what an operator can do, for the log.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "Check that the database server runs and that DATABASE_URL reaches it; if it does, look for load and long locks \
                 (pg_locks)."
            }
            Self::Restarting => "Wait until the database server has started, or start it.",
            Self::TooManyConnections => {
                "Raise max_connections of PostgreSQL or the CONNECTION LIMIT of the role or database; \
                 each Latchkey program opens up to 20 connections."
            }
            Self::Refused => {
                "Correct the role, the password or the database in DATABASE_URL, and grant the role all privileges on its tables."
            }
            Self::ReadOnly => {
                "Point DATABASE_URL at the primary server, or make the file and its folder writable."
            }
            Self::DiskFull => "Free space on the disk of the database.",
            Self::OutOfMemory => "Give the database server or this machine more memory.",
            Self::SchemaIncomplete => {
                "Check that DATABASE_URL leads to the database of this installation (and on PostgreSQL its search_path to the schema). \
                 Run `latchkey-api migrate`; if tables are missing afterwards, restore a complete backup."
            }
            Self::InputOutput => {
                "Check the disk of the database, its mount, its permissions, and the limits of open files and of file sizes (ulimit -n, \
                 ulimit -f)."
            }
            Self::Damaged => "Restore the database from a backup.",
            Self::SequenceExhausted => {
                "Raise the limit of the sequence (ALTER SEQUENCE … NO MAXVALUE), or set it to the largest id of its table (setval)."
            }
            Self::SequenceBehind => {
                "Set the sequences of users and roles to the largest id of their table: \
                 SELECT setval(pg_get_serial_sequence('users', 'id'), max(id)) FROM users."
            }
            Self::RefusedByTrigger => {
                "Find the trigger or function that raises this exception, and correct or remove it. Latchkey has one such trigger, which \
                 keeps audit_events append-only."
            }
            Self::RefusedByConstraint => {
                "Find the NOT NULL column or CHECK constraint that was added to this table, and remove it or give the column a default \
                 value. Latchkey does not fill columns of others."
            }
            Self::Cancelled => {
                "Check statement_timeout and the load of the database; a timeout or an administrator cancelled the statement."
            }
            Self::Locked => {
                "Find the transaction that keeps a lock for long: a backup, a migration or another program."
            }
            Self::Moved => "Move the SQLite file back, or stop all programs and restore it.",
            Self::LogLost => {
                "Find what deletes or replaces the -wal and -shm files beside the SQLite file, such as a cleanup or a backup that \
                 copies files. The programs save their commits in the SQLite file and continue without a restart. Do not stop \
                 them before that."
            }
        }
    }

    /// Returns whether new connections may reach another server, or the same one with a changed role or search path.
    pub(super) fn is_cured_by_reconnecting(self) -> bool {
        matches!(
            self,
            Self::ReadOnly | Self::Restarting | Self::SchemaIncomplete
        )
    }

    /// Returns whether a commit that failed may have been stored nevertheless.
    #[must_use]
    pub fn leaves_commit_undecided(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Restarting | Self::InputOutput | Self::Moved | Self::LogLost
        )
    }
}

/// The primary keys of PostgreSQL whose numbers come from a sequence.
const NUMBERED: [&str; 2] = ["users_pkey", "roles_pkey"];

/// Returns whether a statement violates a unique index. PostgreSQL reports its name, and SQLite the name or the column.
pub(crate) fn violates_unique(error: &DbErr, index: &str, in_sqlite: &str) -> bool {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(text)) => {
            text.contains(index) || text.contains(in_sqlite)
        }
        _ => false,
    }
}

/// Parts of SQLite's messages about a schema that lacks something.
const SQLITE_MISSING: &[&str] = &[
    "no such table",
    "no such column",
    "has no column named",
    "no such index",
    "no such function",
];

/// The text of an error for a SQLite file that another program has locked for longer than the timeout.
const FILE_LOCKED: &str = "database is locked";

/// The text of an error for a SQLite file that has no content any more.
const FILE_EMPTY: &str = "another program truncated the SQLite file to 0 bytes";

/// Creates the error for a SQLite file that has no content any more.
pub(super) fn file_empty() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(FILE_EMPTY.to_owned()))
}

/// The text of an error for a SQLite file that is no longer at its path.
const FILE_MOVED: &str = "the SQLite file was moved, deleted or replaced";

/// Creates the error for a SQLite file that is no longer at its path.
pub(super) fn file_moved() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(FILE_MOVED.to_owned()))
}

/// The text of an error for a lost write-ahead log of SQLite.
const LOG_LOST: &str = "the -wal or -shm file of SQLite was deleted or replaced";

/// Creates the error for a lost write-ahead log of SQLite.
pub(super) fn log_lost() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(LOG_LOST.to_owned()))
}

/// Creates the error of a call that timed out while it waited for SQLite's write lock, or for a connection that waits for it.
pub(super) fn file_locked() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(FILE_LOCKED.to_owned()))
}

/// Returns whether a call got no connection in time, so that the error does not tell the reason.
pub(super) fn is_acquire_timeout(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => true,
        DbErr::Conn(RuntimeErr::SqlxError(error)) => matches!(**error, sqlx::Error::PoolTimedOut),
        _ => false,
    }
}

/// Returns the text of an error with its remedy, for the log. Contains host and role names, so it is not for clients.
#[must_use]
pub fn describe(error: &DbErr) -> String {
    match Outage::of(error) {
        Some(outage) => format!("{error}. {}", outage.remedy()),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outage_of_postgresql_codes() {
        for (code, outage) in [
            ("08006", Some(Outage::Unreachable)),
            ("22001", None),
            ("2200H", Some(Outage::SequenceExhausted)),
            ("23502", Some(Outage::RefusedByConstraint)),
            ("23505", None),
            ("23514", Some(Outage::RefusedByConstraint)),
            ("25006", Some(Outage::ReadOnly)),
            ("25P02", None),
            ("28P01", Some(Outage::Refused)),
            ("40001", Some(Outage::Locked)),
            ("40P01", Some(Outage::Locked)),
            ("42501", Some(Outage::Refused)),
            ("42601", None),
            ("42703", Some(Outage::SchemaIncomplete)),
            ("42P01", Some(Outage::SchemaIncomplete)),
            ("3F000", Some(Outage::SchemaIncomplete)),
            ("53100", Some(Outage::DiskFull)),
            ("53200", Some(Outage::OutOfMemory)),
            ("53300", Some(Outage::TooManyConnections)),
            ("55P03", Some(Outage::Locked)),
            ("57014", Some(Outage::Cancelled)),
            ("57P01", Some(Outage::Restarting)),
            ("57P03", Some(Outage::Restarting)),
            ("58030", Some(Outage::InputOutput)),
            ("P0001", Some(Outage::RefusedByTrigger)),
            ("P0004", Some(Outage::RefusedByTrigger)),
            ("0A000", Some(Outage::SchemaIncomplete)),
            ("XX001", Some(Outage::Damaged)),
            ("", None),
        ] {
            assert_eq!(Outage::of_postgres(code), outage, "{code}");
        }
    }

    #[test]
    fn timeout_of_the_sqlite_lock_is_locked() {
        assert_eq!(Outage::of(&file_locked()), Some(Outage::Locked));
        assert!(describe(&file_locked()).contains("database is locked. Find"));
    }

    #[test]
    fn outage_of_result_codes() {
        for (code, outage) in [
            (1, None),
            (5, Some(Outage::Locked)),
            (6, Some(Outage::Locked)),
            (7, Some(Outage::OutOfMemory)),
            (8, Some(Outage::ReadOnly)),
            (9, Some(Outage::Cancelled)),
            (10, Some(Outage::InputOutput)),
            (11, Some(Outage::Damaged)),
            (13, Some(Outage::DiskFull)),
            (14, Some(Outage::InputOutput)),
            (26, Some(Outage::Damaged)),
            // Extended: SQLITE_BUSY_SNAPSHOT, SQLITE_IOERR_WRITE, SQLITE_READONLY_DBMOVED, SQLITE_CONSTRAINT_UNIQUE.
            (517, Some(Outage::Locked)),
            (778, Some(Outage::InputOutput)),
            (1032, Some(Outage::ReadOnly)),
            (1811, Some(Outage::RefusedByTrigger)),
            (2067, None),
        ] {
            assert_eq!(Outage::of_sqlite(code, ""), outage, "{code}");
        }
        for (message, outage) in [
            ("no such table: users", Some(Outage::SchemaIncomplete)),
            (
                "no such column: users.email",
                Some(Outage::SchemaIncomplete),
            ),
            (
                "table users has no column named email",
                Some(Outage::SchemaIncomplete),
            ),
            ("near \"SELEC\": syntax error", None),
        ] {
            assert_eq!(Outage::of_sqlite(1, message), outage, "{message}");
        }
    }
}

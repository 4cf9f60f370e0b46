//! What several requests write at the same moment: in one transaction, with a few statements for all of them.

use std::{future::Future, pin::Pin, slice};

use latchkey_shared::database::{self, Database, Transaction};
use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, error::ErrorKind},
};

/// How many requests one transaction is for at most.
pub const MAX_BATCH_SIZE: usize = 64;

/// The answers to several, in their order.
pub type Answers<'a, A> = Pin<Box<dyn Future<Output = Result<Vec<A>, DbErr>> + Send + 'a>>;

/// Writes all in one transaction; what is Ok is on the disk. When the database refuses something in it, each is written by
/// itself, so that nobody is refused for what somebody else wants.
pub async fn write_together<Q, A>(
    db: &Database,
    all: &[Q],
    write: impl for<'a> Fn(&'a Transaction, &'a [Q]) -> Answers<'a, A>,
) -> Vec<Result<A, DbErr>> {
    let error = match in_one(db, all, &write).await {
        Ok(answers) => return answers.into_iter().map(Ok).collect(),
        Err(error) => error,
    };
    let mut broken = (all.len() == 1 || !is_refusal(&error)).then_some(error);
    let mut answers = Vec::with_capacity(all.len());
    for one in all {
        let answer = match &broken {
            Some(error) => Err(error.clone()),
            None => in_one(db, slice::from_ref(one), &write).await,
        };
        if let Err(error) = &answer
            && !is_refusal(error)
        {
            broken = Some(error.clone());
        }
        answers.extend(match answer {
            Ok(answer) => answer.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        });
    }
    answers
}

async fn in_one<Q, A>(
    db: &Database,
    all: &[Q],
    write: &impl for<'a> Fn(&'a Transaction, &'a [Q]) -> Answers<'a, A>,
) -> Result<Vec<A>, DbErr> {
    let transaction = database::begin(db).await?;
    let answers = write(&transaction, all).await?;
    transaction.commit().await?;
    Ok(answers)
}

/// Whether it is about what was to be written, and not about the database: a constraint, a value that it does not take
/// (class 22 of PostgreSQL's codes), or two that waited for each other (`40001`, `40P01`). Of none of these is there any doubt
/// that nothing was written.
#[must_use]
pub fn is_refusal(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    let sqlx::Error::Database(error) = &**error else {
        return false;
    };
    let code = error.code().unwrap_or_default();
    !matches!(error.kind(), ErrorKind::Other)
        || code.starts_with("22")
        || ["40001", "40P01"].contains(&&*code)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sea_orm::ConnectionTrait as _;
    use tempfile::TempDir;

    use super::*;

    async fn open(folder: &TempDir) -> Database {
        let url = format!("sqlite://{}/test.db", folder.path().display());
        let db = database::connect(&url).await.unwrap();
        let table = "CREATE TABLE written (n INTEGER UNIQUE)";
        db.execute_unprepared(table).await.unwrap();
        db
    }

    /// Writes numbers, and counts how often it was asked to.
    async fn write(db: &Database, table: &str, numbers: &[u32]) -> (Vec<Option<u32>>, usize) {
        let asked = AtomicUsize::new(0);
        let answers = write_together(db, numbers, |transaction, numbers: &[u32]| {
            asked.fetch_add(1, Ordering::Relaxed);
            let rows: Vec<_> = numbers.iter().map(|number| format!("({number})")).collect();
            let sql = format!("INSERT INTO {table} VALUES {}", rows.join(", "));
            Box::pin(async move {
                transaction.execute_unprepared(&sql).await?;
                Ok(numbers.to_vec())
            })
        })
        .await;
        let answers = answers.into_iter().map(Result::ok).collect();
        (answers, asked.into_inner())
    }

    #[tokio::test]
    async fn all_are_written_at_once_and_what_is_refused_is_refused_alone() {
        let folder = TempDir::new().unwrap();
        let db = open(&folder).await;

        let (answers, asked) = write(&db, "written", &[1, 2, 3]).await;
        assert_eq!((answers, asked), (vec![Some(1), Some(2), Some(3)], 1));
        let (answers, asked) = write(&db, "written", &[4, 2, 5]).await;
        assert_eq!((answers, asked), (vec![Some(4), None, Some(5)], 4));
        let (answers, asked) = write(&db, "written", &[2]).await;
        assert_eq!((answers, asked), (vec![None], 1));
    }

    #[tokio::test]
    async fn a_database_that_does_not_work_is_not_asked_for_each() {
        let folder = TempDir::new().unwrap();
        let db = open(&folder).await;

        let (answers, asked) = write(&db, "nowhere", &[1, 2, 3]).await;
        assert_eq!((answers, asked), (vec![None; 3], 1));
    }
}

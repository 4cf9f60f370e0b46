//! Full-text search in usernames, emails and phone numbers.
//!
//! Both databases have an index of trigrams, runs of three characters. Shorter words match as a prefix only.

use sea_orm::{
    Condition, DbBackend, Statement,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _, LikeExpr, SimpleExpr},
};

use crate::{
    models::user::{
        Column,
        search::{MAX_COUNTED, condition::column},
    },
    types::email,
};

/// The maximum length of a word, in bytes. Emails have at most 254, usernames and phone numbers fewer.
const MAX_WORD_BYTES: usize = 512;
/// The maximum number of words. Further ones are ignored.
const MAX_WORDS: usize = 8;

/// The expression of PostgreSQL's trigram index.
const INDEXED: &str =
    "(username || ' ' || lower(username) || ' ' || email_key || ' ' || coalesce(phone_number, ''))";
/// The same text as an expression that does not use the index.
const NOT_INDEXED: &str =
    "concat(username, ' ', lower(username), ' ', email_key, ' ', phone_number)";

/// A word with its spelling in email keys, if that differs.
struct Word<'a> {
    text: &'a str,
    key: Option<String>,
}

/// Returns the condition that each word of a text occurs. Control characters separate words: no value contains one, and
/// PostgreSQL refuses U+0000.
pub(super) async fn condition(db: &impl ConnectionTrait, text: &str) -> Result<Condition, DbErr> {
    let words: Vec<_> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(|text| Word {
            text,
            key: email::search_key(text),
        })
        .collect();
    if words.iter().any(|word| word.text.len() > MAX_WORD_BYTES) {
        return Ok(Condition::all().add(Expr::val(1).eq(0)));
    }
    if db.get_database_backend() == DbBackend::Postgres {
        return Ok(words
            .iter()
            .fold(Condition::all(), |all, word| all.add(in_postgres(word))));
    }
    Ok(match find_few(db, &words).await? {
        Some(ids) => Condition::all().add(Column::Id.is_in(ids)),
        None => words
            .iter()
            .fold(Condition::all(), |all, word| all.add(in_sqlite(word))),
    })
}

fn in_postgres(Word { text, key }: &Word<'_>) -> Condition {
    let indexed = || Expr::cust(INDEXED);
    let lower = text.to_lowercase();
    if is_short(text) {
        let begins = |before: &str| LikeExpr::new(format!("{before}{}%", escape(&lower)));
        return Condition::any()
            .add(indexed().like(begins("").escape('\\')))
            .add(indexed().like(begins("% ").escape('\\')));
    }
    let contains = |word: &str| -> SimpleExpr {
        match before_domain(word) {
            Some(account) => indexed()
                .like(pattern(account))
                .and(Expr::cust(NOT_INDEXED).like(pattern(word))),
            None => indexed().like(pattern(word)),
        }
    };
    let mut condition = Condition::any().add(contains(&lower));
    if lower != *text {
        // With an ASCII-only locale, PostgreSQL's lower() does not change other letters.
        condition = condition.add(contains(text));
    }
    condition.add_option(key.as_deref().map(contains))
}

fn in_sqlite(Word { text, key }: &Word<'_>) -> Condition {
    let lower = text.to_lowercase();
    if is_short(text) {
        let begins = |name| {
            column(name, false)
                .gte(lower.clone())
                .and(column(name, false).lt(format!("{lower}{}", char::MAX)))
        };
        return Condition::any()
            .add(begins("email_key"))
            .add(begins("lower(username)"));
    }
    let lower = pattern(&lower);
    Condition::any()
        .add(Expr::col(Column::EmailKey).like(lower.clone()))
        .add(Expr::cust("lower(username)").like(lower))
        // SQLite's lower() changes ASCII letters only.
        .add(Expr::col(Column::Username).like(pattern(text)))
        .add(Expr::col(Column::PhoneNumber).like(pattern(text)))
        .add_option(
            key.as_deref()
                .map(|key| Expr::col(Column::EmailKey).like(pattern(key))),
        )
}

/// Returns the accounts that SQLite's trigram index finds, if they are at most [`MAX_COUNTED`]. `None` for more accounts, which
/// any order of the table finds soon enough, and for words that are too short for the index.
async fn find_few(
    db: &impl ConnectionTrait,
    words: &[Word<'_>],
) -> Result<Option<Vec<i64>>, DbErr> {
    if words.is_empty() || words.iter().any(|word| is_short(word.text)) {
        return Ok(None);
    }
    let quote = |word: &str| format!("\"{}\"", word.replace('"', "\"\""));
    let quoted: Vec<_> = words
        .iter()
        .map(|Word { text, key }| match key {
            Some(key) => format!("({} OR {})", quote(text), quote(key)),
            None => quote(text),
        })
        .collect();
    let found = db
        .query_all_raw(Statement::from_sql_and_values(
            DbBackend::Sqlite,
            "SELECT rowid FROM users_search WHERE users_search MATCH $1 LIMIT $2",
            [quoted.join(" AND ").into(), (MAX_COUNTED + 1).into()],
        ))
        .await?;
    let ids: Result<Vec<i64>, _> = found.iter().map(|row| row.try_get_by_index(0)).collect();
    Ok(Some(ids?).filter(|ids| i64::try_from(ids.len()).is_ok_and(|found| found <= MAX_COUNTED)))
}

/// Returns the part of an email up to its `@`. The trigrams of a domain occur in many rows, whose lists the index would read. The
/// part before it finds few rows.
fn before_domain(word: &str) -> Option<&str> {
    let end = word.find('@')?;
    (!is_short(&word[..end])).then_some(&word[..=end])
}

/// Returns whether a word is too short for the trigram index.
fn is_short(word: &str) -> bool {
    word.chars().count() < 3
}

fn pattern(word: &str) -> LikeExpr {
    LikeExpr::new(format!("%{}%", escape(word))).escape('\\')
}

/// Escapes the wildcards of LIKE.
fn escape(word: &str) -> String {
    let mut escaped = String::new();
    for c in word.chars() {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

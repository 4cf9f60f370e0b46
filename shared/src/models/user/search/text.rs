//! Full-text search in usernames, emails and phone numbers.
//!
//! Both databases have an index of trigrams, runs of three characters. Shorter words match as a prefix only.

use sea_orm::{
    Condition, DbBackend, Statement,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _, LikeExpr, SimpleExpr},
};
use unicode_normalization::UnicodeNormalization as _;

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

/// A word, composed (NFC), with its other spellings, if they differ.
struct Word {
    text: String,
    /// Decomposed (NFD), because usernames are stored as typed.
    decomposed: Option<String>,
    /// As in email keys.
    key: Option<String>,
}

impl Word {
    fn new(typed: &str) -> Self {
        let text: String = typed.nfc().collect();
        let decomposed = Some(typed.nfd().collect()).filter(|decomposed| *decomposed != text);
        let key = email::search_key(&text);
        Self {
            text,
            decomposed,
            key,
        }
    }

    /// Returns the spellings that a username may have.
    fn spellings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.text).chain(self.decomposed.as_deref())
    }
}

/// Returns the condition that each word of a text occurs. Control characters separate words: no value contains one, and
/// PostgreSQL refuses U+0000.
pub(super) async fn condition(db: &impl ConnectionTrait, text: &str) -> Result<Condition, DbErr> {
    let words: Vec<_> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(Word::new)
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

fn in_postgres(word: &Word) -> Condition {
    let indexed = || Expr::cust(INDEXED);
    let contains = |word: &str| -> SimpleExpr {
        match before_domain(word) {
            Some(account) => indexed()
                .like(pattern(account))
                .and(Expr::cust(NOT_INDEXED).like(pattern(word))),
            None => indexed().like(pattern(word)),
        }
    };
    let begins = |word: &str| -> SimpleExpr {
        let like = |before: &str| {
            indexed().like(LikeExpr::new(format!("{before}{}%", escape(word))).escape('\\'))
        };
        like("").or(like("% "))
    };
    let mut condition = Condition::any();
    for spelling in word.spellings() {
        let lower = spelling.to_lowercase();
        // With an ASCII-only locale, PostgreSQL's lower() does not change other letters.
        let as_typed = Some(spelling).filter(|spelling| *spelling != lower);
        for text in std::iter::once(&*lower).chain(as_typed) {
            condition = if is_short(&word.text) {
                condition.add(begins(text))
            } else {
                condition.add(contains(text))
            };
        }
    }
    condition.add_option(word.key.as_deref().map(contains))
}

fn in_sqlite(word: &Word) -> Condition {
    let mut condition = Condition::any();
    // Each spelling as typed, too, because SQLite's lower() changes ASCII letters only.
    for spelling in word.spellings() {
        let lower = spelling.to_lowercase();
        if is_short(&word.text) {
            let begins = |name, word: &str| {
                column(name, false)
                    .gte(word)
                    .and(column(name, false).lt(format!("{word}{}", char::MAX)))
            };
            condition = condition
                .add(begins("email_key", &lower))
                .add(begins("lower(username)", &lower))
                .add(begins("lower(username)", spelling));
            continue;
        }
        condition = condition
            .add(Expr::col(Column::EmailKey).like(pattern(&lower)))
            .add(Expr::cust("lower(username)").like(pattern(&lower)))
            .add(Expr::col(Column::Username).like(pattern(spelling)))
            .add(Expr::col(Column::PhoneNumber).like(pattern(spelling)));
    }
    let key = word.key.as_deref();
    condition.add_option(key.map(|key| Expr::col(Column::EmailKey).like(pattern(key))))
}

/// Returns the accounts that SQLite's trigram index finds, if they are at most [`MAX_COUNTED`]. `None` for more accounts, which
/// any order of the table finds soon enough, and for words that are too short for the index.
async fn find_few(db: &impl ConnectionTrait, words: &[Word]) -> Result<Option<Vec<i64>>, DbErr> {
    if words.is_empty() || words.iter().any(|word| is_short(&word.text)) {
        return Ok(None);
    }
    let quote = |word: &str| format!("\"{}\"", word.replace('"', "\"\""));
    let quoted: Vec<_> = words
        .iter()
        .map(|word| {
            let spellings = word.spellings().chain(word.key.as_deref());
            let any: Vec<_> = spellings.map(quote).collect();
            format!("({})", any.join(" OR "))
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

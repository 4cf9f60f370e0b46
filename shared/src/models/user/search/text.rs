//! Full-text search in usernames, emails and phone numbers.
//!
//! Each account has a search text: its folded username, email and phone number ([`text_of`]). Both databases have an index of the
//! trigrams of this text, runs of three characters. Shorter words match as a prefix only.

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
    types::{
        email::{self, Email},
        phone_number::PhoneNumber,
        search_text::fold,
        username::Username,
    },
};

/// The maximum length of a word, in bytes. Emails have at most 254, usernames and phone numbers fewer.
const MAX_WORD_BYTES: usize = 512;
/// The maximum number of words. Further ones are ignored.
const MAX_WORDS: usize = 8;

/// The column of PostgreSQL's trigram index.
const INDEXED: &str = "search_text";
/// The same text as an expression that does not use the index.
const NOT_INDEXED: &str = "concat(search_text, '')";
/// The first two characters of the username, as SQLite's index for short words has them.
const PREFIX: &str = "substr(search_text, 1, 2)";

/// Returns the search text of an account: the folded username, the folded email with its domain as people read it, the folded key of
/// the email if it differs (its domain is encoded), and the phone number.
#[must_use]
pub fn text_of(username: &Username, email: &Email, phone_number: Option<&PhoneNumber>) -> String {
    let readable = fold(&email.to_unicode_domain());
    let mut text = format!("{} {readable}", fold(username.as_str()));
    let key = fold(email.key().as_str());
    let phone_number = phone_number.map(ToString::to_string);
    let key = Some(key.as_str()).filter(|key| *key != readable);
    for more in key.into_iter().chain(phone_number.as_deref()) {
        text.push(' ');
        text.push_str(more);
    }
    text
}

/// A folded word.
struct Word {
    text: String,
    /// The spelling in email keys of a short word that is a label of a domain, if it differs.
    key: Option<String>,
}

impl Word {
    fn new(typed: &str) -> Self {
        let text = fold(typed).trim().to_owned();
        let composed: String = typed.nfc().collect();
        let key = email::search_key(&composed).filter(|key| is_short(&text) && !is_short(key));
        Self { text, key }
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
        .filter(|word| !word.text.is_empty())
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
    if !is_short(&word.text) {
        return Condition::all().add(contains(&word.text));
    }
    let begins = |before: &str| {
        indexed().like(LikeExpr::new(format!("{before}{}%", escape(&word.text))).escape('\\'))
    };
    Condition::any()
        .add(begins(""))
        .add(begins("% "))
        .add_option(word.key.as_deref().map(contains))
}

fn in_sqlite(word: &Word) -> Condition {
    let contains = |text: &str| Expr::col(Column::SearchText).like(pattern(text));
    if !is_short(&word.text) {
        return Condition::all().add(contains(&word.text));
    }
    let begins = |name| {
        column(name, false)
            .gte(word.text.as_str())
            .and(column(name, false).lt(format!("{}{}", word.text, char::MAX)))
    };
    Condition::any()
        .add(begins(PREFIX))
        .add(begins("email_key"))
        .add_option(word.key.as_deref().map(contains))
}

/// Returns the accounts that SQLite's trigram index finds, if they are at most [`MAX_COUNTED`]. `None` for more accounts, which
/// any order of the table finds soon enough, and for words that are too short for the index.
async fn find_few(db: &impl ConnectionTrait, words: &[Word]) -> Result<Option<Vec<i64>>, DbErr> {
    if words.is_empty() || words.iter().any(|word| is_short(&word.text)) {
        return Ok(None);
    }
    let quoted: Vec<_> = words
        .iter()
        .map(|word| format!("\"{}\"", word.text.replace('"', "\"\"")))
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

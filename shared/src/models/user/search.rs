//! Lists of users, a page at a time from where the last one ended, so that the last page costs what the first does.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    Condition, DbBackend, FromQueryResult, Order, QueryOrder as _, QuerySelect as _, Statement,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _, Func, LikeExpr, SimpleExpr},
};

use crate::models::user::{Column, Entity, Model};
use crate::types::{email, gender::Gender};

/// Nobody counts further: a number that is larger says enough.
pub const MOST_COUNTED: i64 = 1_000;

/// Which users to list; what is `None` excludes none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Words, of which each has to be in the name, the e-mail address or the phone number; one or two characters have to be
    /// their beginning.
    pub text: Option<String>,
    /// Only active accounts that are not activated yet. A deactivated account is not pending.
    pub pending: bool,
    /// Let in or not.
    pub activated: Option<bool>,
    /// Whether the account owner may activate the account.
    pub pending_email_verification: Option<bool>,
    /// Open or shut.
    pub active: Option<bool>,
    /// With or without access to the dashboard.
    pub staff: Option<bool>,
    /// May or may not do everything there.
    pub superuser: Option<bool>,
    /// `Some(None)`: those that do not say.
    pub gender: Option<Option<Gender>>,
    /// Registered not before this.
    pub joined_since: Option<DateTime<Utc>>,
}

/// By what to sort. The id decides between equals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Registration.
    #[default]
    Joined,
    /// E-mail address without regard to case.
    Email,
    /// Name without regard to case.
    Name,
    /// Last login; whoever never logged in is before all others.
    LastLogin,
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// The last first.
    pub descending: bool,
}

impl Default for Sort {
    /// The newest first.
    fn default() -> Self {
        Self {
            by: SortBy::Joined,
            descending: true,
        }
    }
}

impl FromStr for Sort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let by = match name {
            "joined" => SortBy::Joined,
            "email" => SortBy::Email,
            "name" => SortBy::Name,
            "last_login" => SortBy::LastLogin,
            _ => {
                return Err(
                    "one of joined, email, name, last_login, with - before it for the last first"
                        .to_owned(),
                );
            }
        };
        Ok(Self { by, descending })
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.descending { "-" } else { "" };
        let name = match self.by {
            SortBy::Joined => "joined",
            SortBy::Email => "email",
            SortBy::Name => "name",
            SortBy::LastLogin => "last_login",
        };
        write!(f, "{sign}{name}")
    }
}

/// A place in a sorted list: that of one of its rows, whether or not the row is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCursor {
    key: String,
    id: i64,
}

impl PageCursor {
    /// The place of a row.
    #[must_use]
    pub fn of(row: &Model, sort: Sort) -> Self {
        let key = match sort.by {
            SortBy::Joined => String::new(),
            SortBy::Email => row.email_key.as_str().to_owned(),
            SortBy::Name => row.username.as_str().to_owned(),
            SortBy::LastLogin => row.last_login_at.unwrap_or_default().to_rfc3339(),
        };
        Self { key, id: row.id }
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, URL_SAFE_NO_PAD.encode(&self.key))
    }
}

impl FromStr for PageCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (id, key) = text.split_once('.')?;
            let key = String::from_utf8(URL_SAFE_NO_PAD.decode(key).ok()?).ok()?;
            if key.contains(char::is_control) {
                return None;
            }
            Some(Self {
                key,
                id: id.parse().ok()?,
            })
        };
        read().ok_or_else(|| "a place as a page before gave it".to_owned())
    }
}

/// Which part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PageRequest {
    /// Its beginning.
    #[default]
    First,
    /// What comes after a place.
    After(PageCursor),
    /// What comes before a place.
    Before(PageCursor),
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The rows, in their order.
    pub rows: Vec<Model>,
    /// Where to go back from, unless this is the first page.
    pub before: Option<PageCursor>,
    /// Where to go on from, unless this is the last page.
    pub after: Option<PageCursor>,
    /// How many the whole list has, up to one more than [`MOST_COUNTED`].
    pub found: i64,
}

/// Which index leads to the rows. SQLite guesses without knowing how many there are, and so reads them all either to sort
/// them or to look for a few; here it is known. A plus sign before a column hides it from SQLite's planner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IndexHint {
    /// Whichever the database likes.
    Any,
    /// That of the filter, as it lets few through, which are sorted then.
    Filter,
    /// That of the order, along which enough that the filter lets through are met soon.
    Order,
}

impl Filter {
    /// Accounts that are pending approval by staff.
    #[must_use]
    pub fn pending_approval() -> Self {
        Self {
            pending: true,
            pending_email_verification: Some(false),
            ..Self::default()
        }
    }

    /// Accounts that are pending verification by their owner.
    #[must_use]
    pub fn pending_verification() -> Self {
        Self {
            pending_email_verification: Some(true),
            ..Self::pending_approval()
        }
    }
}

impl IndexHint {
    fn of(filter: &Filter, found: i64) -> Self {
        if *filter == Filter::default() {
            Self::Any
        } else if found > MOST_COUNTED {
            Self::Order
        } else {
            Self::Filter
        }
    }

    fn order_is_hidden(self) -> bool {
        self == Self::Filter
    }

    /// The indexes of flags are in the order of registration, too.
    fn flags_are_hidden(self, by: SortBy) -> bool {
        self == Self::Order && by != SortBy::Joined
    }

    fn date_is_hidden(self) -> bool {
        self == Self::Order
    }
}

fn column(name: &str, hidden: bool) -> SimpleExpr {
    Expr::cust(if hidden {
        format!("+{name}")
    } else {
        name.to_owned()
    })
}

/// One page.
pub async fn page(
    db: &impl ConnectionTrait,
    filter: &Filter,
    sort: Sort,
    part: &PageRequest,
    size: usize,
) -> Result<Page, DbErr> {
    let backwards = matches!(part, PageRequest::Before(_));
    let descending = sort.descending != backwards;
    let backend = db.get_database_backend();
    // SQLite has to be told beforehand which index leads, and that depends on how many there are.
    let mut found = None;
    if backend == DbBackend::Sqlite {
        found = Some(count(db, filter).await?);
    }
    let lead = found.map_or(IndexHint::Any, |found| IndexHint::of(filter, found));
    let key = sort_key(sort.by, backend, lead.order_is_hidden());
    let id = column("id", lead.order_is_hidden());
    let order = if descending { Order::Desc } else { Order::Asc };
    let mut query = Entity::find().filter(condition(db, filter, lead, sort.by).await?);
    if let PageRequest::After(place) | PageRequest::Before(place) = part {
        query = query.filter(beyond(key.as_ref(), &id, sort.by, place, descending));
    }
    if let Some(key) = key {
        query = query.order_by(key, order.clone());
    }
    // One more than asked for tells whether there is more.
    let mut rows = query
        .order_by(id, order)
        .limit(size as u64 + 1)
        .all(db)
        .await?;
    let more = rows.len() > size;
    rows.truncate(size);
    if backwards {
        rows.reverse();
    }
    let found = match found {
        Some(found) => found,
        // All of it is here.
        None if *part == PageRequest::First && !more => {
            i64::try_from(rows.len()).unwrap_or(i64::MAX)
        }
        None => count(db, filter).await?,
    };
    let (has_before, has_after) = match part {
        PageRequest::First => (false, more),
        PageRequest::After(_) => (true, more),
        PageRequest::Before(_) => (more, true),
    };
    let place = |row: Option<&Model>, there: bool| {
        row.filter(|_| there).map(|row| PageCursor::of(row, sort))
    };
    Ok(Page {
        before: place(rows.first(), has_before),
        after: place(rows.last(), has_after),
        rows,
        found,
    })
}

/// How many users a filter lets through, up to one more than [`MOST_COUNTED`].
pub async fn count(db: &impl ConnectionTrait, filter: &Filter) -> Result<i64, DbErr> {
    let some = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(condition(db, filter, IndexHint::Any, SortBy::Joined).await?)
        .limit(MOST_COUNTED as u64 + 1);
    Ok(i64::try_from(some.count(db).await?).unwrap_or(i64::MAX))
}

/// How many users a filter lets through, however many.
pub async fn count_all(db: &impl ConnectionTrait, filter: &Filter) -> Result<u64, DbErr> {
    let all = Entity::find().filter(condition(db, filter, IndexHint::Any, SortBy::Joined).await?);
    all.count(db).await
}

/// How many accounts there are of each kind, each up to one more than [`MOST_COUNTED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromQueryResult)]
pub struct Counts {
    /// Let in.
    pub activated: i64,
    /// Not let in.
    pub not_activated: i64,
    /// Not activated, pending approval by staff.
    pub pending_approval: i64,
    /// Not activated, pending verification by the owner.
    pub pending_verification: i64,
    /// Open.
    pub active: i64,
    /// Shut.
    pub shut: i64,
    /// With access to the dashboard.
    pub staff: i64,
    /// Without.
    pub not_staff: i64,
    /// May do everything.
    pub superusers: i64,
    /// `male`
    pub male: i64,
    /// `female`
    pub female: i64,
    /// Without a gender.
    pub no_gender: i64,
    /// Registered within a day.
    pub joined_1: i64,
    /// Within a week.
    pub joined_7: i64,
    /// Within 30 days.
    pub joined_30: i64,
}

/// All counts, in one round trip. Each reads an index, as far as it counts.
pub async fn counts(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<Counts, DbErr> {
    let backend = db.get_database_backend();
    let kinds = [
        ("activated", "is_activated = TRUE"),
        ("not_activated", "is_activated = FALSE"),
        (
            "pending_approval",
            "is_activated = FALSE AND is_active = TRUE AND pending_email_verification = FALSE",
        ),
        (
            "pending_verification",
            "is_activated = FALSE AND is_active = TRUE AND pending_email_verification = TRUE",
        ),
        ("active", "is_active = TRUE"),
        ("shut", "is_active = FALSE"),
        ("staff", "is_staff = TRUE"),
        ("not_staff", "is_staff = FALSE"),
        ("superusers", "is_staff = TRUE AND is_superuser = TRUE"),
        ("male", "gender = 'male'"),
        ("female", "gender = 'female'"),
        ("no_gender", "gender IS NULL"),
        ("joined_1", "created_at >= $1"),
        ("joined_7", "created_at >= $2"),
        ("joined_30", "created_at >= $3"),
    ];
    let columns: Vec<_> = kinds
        .iter()
        .map(|(name, which)| {
            format!(
                "(SELECT count(*) FROM (SELECT 1 AS one FROM users WHERE {which} LIMIT {}) AS part) AS {name}",
                MOST_COUNTED + 1
            )
        })
        .collect();
    let statement = Statement::from_sql_and_values(
        backend,
        format!("SELECT {}", columns.join(", ")),
        [1, 7, 30].map(|days| (now - TimeDelta::days(days)).into()),
    );
    Ok(Counts::find_by_statement(statement)
        .one(db)
        .await?
        .unwrap_or_default())
}

/// What the rows are sorted by before the id; nothing where the id says it all, as it rises with registration.
fn sort_key(by: SortBy, backend: DbBackend, hidden: bool) -> Option<SimpleExpr> {
    let name = match by {
        SortBy::Joined => return None,
        SortBy::Email => "email_key",
        SortBy::Name => "lower(username)",
        // As its index has it.
        SortBy::LastLogin if backend == DbBackend::Postgres => {
            "coalesce(last_login_at, '1970-01-01T00:00:00+00:00'::timestamptz)"
        }
        SortBy::LastLogin => "coalesce(last_login_at, '1970-01-01T00:00:00+00:00')",
    };
    Some(column(name, hidden))
}

/// What comes after a place in the order that is read.
fn beyond(
    key: Option<&SimpleExpr>,
    id: &SimpleExpr,
    by: SortBy,
    place: &PageCursor,
    descending: bool,
) -> Condition {
    let (id, last) = (id.clone(), Expr::value(place.id));
    let Some(key) = key else {
        let beyond = if descending { id.lt(last) } else { id.gt(last) };
        return Condition::all().add(beyond);
    };
    let value: SimpleExpr = match by {
        SortBy::LastLogin => Expr::value(
            DateTime::parse_from_rfc3339(&place.key)
                .map(|at| at.to_utc())
                .unwrap_or_default(),
        ),
        SortBy::Name => Func::lower(Expr::value(place.key.clone())).into(),
        SortBy::Joined | SortBy::Email => Expr::value(place.key.clone()),
    };
    let (row, bound) = (
        Expr::tuple([key.clone(), id]),
        Expr::tuple([value.clone(), last]),
    );
    // The first says nothing that the second does not, but SQLite finds the place in the index by it: an expression that
    // is compared as a part of a row it looks for from the beginning.
    if descending {
        Condition::all()
            .add(key.clone().lte(value))
            .add(row.lt(bound))
    } else {
        Condition::all()
            .add(key.clone().gte(value))
            .add(row.gt(bound))
    }
}

async fn condition(
    db: &impl ConnectionTrait,
    filter: &Filter,
    lead: IndexHint,
    by: SortBy,
) -> Result<Condition, DbErr> {
    let hidden = lead.flags_are_hidden(by);
    // Written out, so that an index of some rows alone is seen to hold them.
    let flag = |name: &str, flag: Option<bool>| {
        flag.map(|flag| {
            let (sign, value) = (
                if hidden { "+" } else { "" },
                if flag { "TRUE" } else { "FALSE" },
            );
            Expr::cust(format!("{sign}{name} = {value}"))
        })
    };
    let gender = filter.gender.map(|gender| match gender {
        Some(gender) => column("gender", hidden).eq(gender.to_string()),
        None => column("gender", hidden).is_null(),
    });
    let text = match filter.text.as_deref() {
        Some(text) => Some(words(db, text).await?),
        None => None,
    };
    Ok(Condition::all()
        .add_option(flag("is_activated", filter.pending.then_some(false)))
        .add_option(flag("is_active", filter.pending.then_some(true)))
        .add_option(flag("is_activated", filter.activated))
        .add_option(flag("is_active", filter.active))
        .add_option(flag(
            "pending_email_verification",
            filter.pending_email_verification,
        ))
        .add_option(flag(
            "is_staff",
            filter.staff.or(filter.superuser.filter(|it| *it)),
        ))
        .add_option(flag("is_superuser", filter.superuser))
        .add_option(gender)
        .add_option(
            filter
                .joined_since
                .map(|since| column("created_at", lead.date_is_hidden()).gte(since)),
        )
        .add_option(text))
}

/// The longest word that is looked for, in bytes. An email address has 254 at most, names and numbers have fewer.
const MAX_WORD_BYTES: usize = 512;

/// Each word has to be somewhere. Control characters are in none, and one of them PostgreSQL does not even take.
async fn words(db: &impl ConnectionTrait, text: &str) -> Result<Condition, DbErr> {
    let words: Vec<_> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .take(8)
        .collect();
    if words.iter().any(|word| word.len() > MAX_WORD_BYTES) {
        return Ok(Condition::all().add(Expr::val(1).eq(0)));
    }
    // Emails are found by their key, in which they may be spelled otherwise.
    let keys: Vec<_> = words.iter().map(|word| email::search_key(word)).collect();
    if db.get_database_backend() == DbBackend::Postgres {
        return Ok(words.iter().zip(&keys).fold(Condition::all(), |all, (word, key)| {
            // As its index has it.
            let indexed = || {
                Expr::cust(
                    "(username || ' ' || lower(username) || ' ' || email_key || ' ' || coalesce(phone_number, ''))",
                )
            };
            let lower = word.to_lowercase();
            if is_short(word) {
                let begins = |before: &str| LikeExpr::new(format!("{before}{}%", escaped(&lower)));
                return all.add(
                    Condition::any()
                        .add(indexed().like(begins("").escape('\\')))
                        .add(indexed().like(begins("% ").escape('\\'))),
                );
            }
            let found = |word: &str| match before_domain(word) {
                Some(account) => {
                    let whole = Expr::cust(
                        "concat(username, ' ', lower(username), ' ', email_key, ' ', phone_number)",
                    );
                    let by_index = indexed().like(pattern(account));
                    by_index.and(whole.like(pattern(word)))
                }
                None => indexed().like(pattern(word)),
            };
            let mut somewhere = Condition::any().add(found(&lower));
            if lower != *word {
                // In a database whose locale knows ASCII alone, lower() leaves other letters as they are.
                somewhere = somewhere.add(found(word));
            }
            all.add(somewhere.add_option(key.as_deref().map(found)))
        }));
    }
    let all = words
        .iter()
        .zip(&keys)
        .fold(Condition::all(), |all, (word, key)| {
            let lower = word.to_lowercase();
            if is_short(word) {
                let begins = |name| {
                    column(name, false)
                        .gte(lower.clone())
                        .and(column(name, false).lt(format!("{lower}{}", char::MAX)))
                };
                return all.add(
                    Condition::any()
                        .add(begins("email_key"))
                        .add(begins("lower(username)")),
                );
            }
            let lower = pattern(&lower);
            all.add(
                Condition::any()
                    .add(Expr::col(Column::EmailKey).like(lower.clone()))
                    .add(Expr::cust("lower(username)").like(lower))
                    // SQLite knows upper and lower case of ASCII only.
                    .add(Expr::col(Column::Username).like(pattern(word)))
                    .add(Expr::col(Column::PhoneNumber).like(pattern(word)))
                    .add_option(
                        key.as_deref()
                            .map(|key| Expr::col(Column::EmailKey).like(pattern(key))),
                    ),
            )
        });
    Ok(match few(db, &words, &keys).await? {
        Some(few) => Condition::all().add(Column::Id.is_in(few)),
        None => all,
    })
}

/// On SQLite, whom the index of three-character runs finds, if these are few: then they are read by their ids. If they are
/// many, or the words too short for it, any order of the table meets enough of them soon.
async fn few(
    db: &impl ConnectionTrait,
    words: &[&str],
    keys: &[Option<String>],
) -> Result<Option<Vec<i64>>, DbErr> {
    if words.is_empty() || words.iter().any(|word| is_short(word)) {
        return Ok(None);
    }
    let quote = |word: &str| format!("\"{}\"", word.replace('"', "\"\""));
    let quoted: Vec<_> = words
        .iter()
        .zip(keys)
        .map(|(word, key)| match key {
            Some(key) => format!("({} OR {})", quote(word), quote(key)),
            None => quote(word),
        })
        .collect();
    let found = db
        .query_all_raw(Statement::from_sql_and_values(
            DbBackend::Sqlite,
            "SELECT rowid FROM users_search WHERE users_search MATCH $1 LIMIT $2",
            [quoted.join(" AND ").into(), (MOST_COUNTED + 1).into()],
        ))
        .await?;
    let ids: Result<Vec<i64>, _> = found.iter().map(|row| row.try_get_by_index(0)).collect();
    Ok(Some(ids?).filter(|ids| i64::try_from(ids.len()).is_ok_and(|found| found <= MOST_COUNTED)))
}

/// The part of an address up to its `@`. The runs of a domain are in a great part of all rows, and the index would read the
/// lists of them all; by this alone it finds few.
fn before_domain(word: &str) -> Option<&str> {
    let end = word.find('@')?;
    (!is_short(&word[..end])).then_some(&word[..=end])
}

/// Too short for an index of runs of three characters: such a word is looked for at the beginning alone.
fn is_short(word: &str) -> bool {
    word.chars().count() < 3
}

fn pattern(word: &str) -> LikeExpr {
    LikeExpr::new(format!("%{}%", escaped(word))).escape('\\')
}

fn escaped(word: &str) -> String {
    let mut escaped = String::new();
    for c in word.chars() {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

//! `/admin/users/export/`: the users of a filter for a spreadsheet, a page at a time, so that a million need no more memory
//! than a few.

use futures_util::stream;
use latchkey_shared::{
    models::user::{
        self,
        search::{self, Filter, PageCursor, PageRequest, Sort},
    },
    types::{gender::Gender, visibility},
};
use poem::{
    Body, Response, handler,
    http::header,
    web::{Data, Query},
};
use unicode_normalization::UnicodeNormalization as _;

use crate::admin::{
    actions::event,
    dashboard::pages::users::UserListQuery,
    permissions::{Permit, ViewUsers},
};
use crate::{app_state::App, http::error::ApiError};

const BATCH: usize = 1_000;

const COLUMNS: [&str; 13] = [
    "id",
    "email",
    "username",
    "phoneNumber",
    "gender",
    "dateBirth",
    "is_activated",
    "pending_email_verification",
    "is_active",
    "is_staff",
    "is_superuser",
    "joined",
    "last_login",
];

/// The file. That it was taken is noted, with how many and which.
#[handler]
pub async fn file(
    Data(app): Data<&App>,
    admin: Permit<ViewUsers>,
    Query(asked): Query<UserListQuery>,
) -> poem::Result<Response> {
    let (app, filter, sort) = (app.clone(), asked.filter(app), asked.sort());
    let count = search::count_all(&app.db, &filter)
        .await
        .map_err(ApiError::from)?;
    let what = format!("exported users: {count}{}", describe_filter(&app, &filter));
    app.note(event(&admin, None, &what))
        .await
        .map_err(ApiError::from)?;
    let lines = stream::try_unfold(Some(PageRequest::First), move |part| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let Some(part) = part else { return Ok(None) };
            batch(&app, &filter, sort, part)
                .await
                .map(Some)
                .map_err(std::io::Error::other)
        }
    });
    Ok(Response::builder()
        .content_type("text/csv; charset=utf-8")
        .header(
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"users.csv\"",
        )
        .body(Body::from_bytes_stream(lines)))
}

/// A filter as the audit log tells of it: what was searched for may be an address, so a fingerprint of it.
fn describe_filter(app: &App, filter: &Filter) -> String {
    let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
    let gender = |gender: Option<Gender>| gender.map_or("none".to_owned(), |it| it.to_string());
    let parts = [
        (
            "text",
            filter
                .text
                .as_ref()
                .map(|text| app.fingerprint("text", text)),
        ),
        ("pending", flag(filter.pending.then_some(true))),
        ("is_activated", flag(filter.activated)),
        (
            "pending_email_verification",
            flag(filter.pending_email_verification),
        ),
        ("is_active", flag(filter.active)),
        ("is_staff", flag(filter.staff)),
        ("is_superuser", flag(filter.superuser)),
        ("gender", filter.gender.map(gender)),
        (
            "joined since",
            filter
                .joined_since
                .map(|at| at.format("%Y-%m-%d %H:%M").to_string()),
        ),
    ];
    parts
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!(", {name}: {value}")))
        .collect()
}

async fn batch(
    app: &App,
    filter: &Filter,
    sort: Sort,
    part: PageRequest,
) -> Result<(Vec<u8>, Option<PageRequest>), ApiError> {
    let page = search::page(&app.db, filter, sort, &part, BATCH).await?;
    let failed = |error: csv::Error| ApiError::Internal(format!("CSV: {error}"));
    let first = part == PageRequest::First;
    // Spreadsheets take a file for UTF-8 when it begins with this mark.
    let mark = if first { "\u{feff}" } else { "" };
    let mut lines = csv::Writer::from_writer(mark.as_bytes().to_vec());
    if first {
        lines.write_record(COLUMNS).map_err(failed)?;
    }
    for user in &page.rows {
        lines.write_record(record(user)).map_err(failed)?;
    }
    let next: Option<PageCursor> = page.after;
    let bytes = lines
        .into_inner()
        .map_err(|error| ApiError::Internal(format!("CSV: {error}")))?;
    Ok((bytes, next.map(PageRequest::After)))
}

fn record(user: &user::Model) -> [String; 13] {
    let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    [
        user.id.to_string(),
        escape_formula(user.email.as_str()),
        escape_formula(user.username.as_str()),
        // A number of its plus sign, spreadsheets round.
        user.phone_number
            .as_ref()
            .map(|number| escape_formula(&number.to_string()))
            .unwrap_or_default(),
        user.gender
            .map(|gender| gender.to_string())
            .unwrap_or_default(),
        user.date_birth
            .map(|date| date.to_string())
            .unwrap_or_default(),
        yes(user.is_activated),
        yes(user.pending_email_verification),
        yes(user.is_active),
        yes(user.is_staff),
        yes(user.is_superuser),
        user.created_at.to_rfc3339(),
        user.last_login_at
            .map(|at| at.to_rfc3339())
            .unwrap_or_default(),
    ]
}

/// Spreadsheets run what begins like a formula (OWASP: CSV injection), in some countries after a semicolon, too; after an
/// apostrophe it is a text. They may read full-width, small and raised signs as the sign, and skip blanks and invisible
/// characters in front of it.
fn escape_formula(text: &str) -> String {
    let mut escaped = String::new();
    // Where the cell begins, until something visible has come.
    let mut beginning = Some(0);
    for c in text.chars() {
        let plain = std::iter::once(c).nfkc().next().unwrap_or(c);
        if matches!(plain, ';' | '\t' | '\r' | '\n') {
            escaped.push(c);
            beginning = Some(escaped.len());
            continue;
        }
        if let Some(start) = beginning
            && !is_skipped(c)
        {
            if matches!(plain, '=' | '+' | '-' | '@' | '\u{2212}') {
                escaped.insert(start, '\'');
            }
            beginning = None;
        }
        escaped.push(c);
    }
    escaped
}

fn is_skipped(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || visibility::is_default_ignorable(c)
        || visibility::is_blank(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_a_formula_is_a_text() {
        assert_eq!(escape_formula("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(escape_formula("x;=1+1"), "x;'=1+1");
        for sign in [
            '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\u{fe66}',
            '\u{fe62}', '\u{fe63}', '\u{fe6b}', '\u{207a}', '\u{2212}',
        ] {
            for before in [
                "",
                "\u{200e}",
                "\u{200d}\u{ad}",
                " ",
                "\u{a0}\u{2060}",
                "\u{fe0f}",
            ] {
                let text = format!("{before}{sign}1+1");
                assert_eq!(escape_formula(&text), format!("'{text}"));
                let after = format!("x\u{ff1b}{text}");
                assert_eq!(escape_formula(&after), format!("x\u{ff1b}'{text}"));
            }
        }
        assert_eq!(escape_formula("Ada-Grace"), "Ada-Grace");
        assert_eq!(escape_formula("\u{200f}Ada =1"), "\u{200f}Ada =1");
    }
}

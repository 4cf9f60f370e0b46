//! `/admin/users/export/`: exports the filtered users as CSV. Streams the rows, so memory use does not depend on their number.

use futures_util::stream;
use latchkey_shared::{
    models::{
        audit::ValueChange,
        user::{
            self,
            search::{self, Filter, PageRequest, Sort},
        },
    },
    types::{gender::Gender, phone_number::PhoneNumber, visibility},
};
use poem::{
    Body, Response, handler,
    http::header,
    web::{Data, Query},
};
use unicode_normalization::UnicodeNormalization as _;

use crate::admin::{
    dashboard::pages::users::UserListQuery,
    permissions::{ExportUsers, Permit},
};
use crate::{app_state::App, http::error::ApiError};

/// The number of rows that a query fetches.
const BATCH_SIZE: usize = 1_000;

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

/// Exports the users. The audit event contains their number and the filter.
#[handler]
pub async fn export(
    Data(app): Data<&App>,
    admin: Permit<ExportUsers>,
    Query(query): Query<UserListQuery>,
) -> poem::Result<Response> {
    let (app, filter, sort) = (app.clone(), query.filter(app), query.sort());
    let count = search::count_all(&app.db, &filter)
        .await
        .map_err(ApiError::from)?;
    let detail = format!("exported users: {count}{}", describe_filter(&app, &filter));
    let mut event = admin.audit_event(None, &detail);
    event
        .details
        .changes
        .extend(filter.text.clone().map(|text| ValueChange {
            field: "text".to_owned(),
            before: None,
            after: Some(text),
        }));
    app.record(event).await.map_err(ApiError::from)?;
    let batches = stream::try_unfold(Some(PageRequest::First), move |request| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let Some(request) = request else {
                return Ok(None);
            };
            export_batch(&app, &filter, sort, request)
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
        .body(Body::from_bytes_stream(batches)))
}

/// Describes the filter for the audit log. The search text may be an email address, so it appears as a fingerprint.
fn describe_filter(app: &App, filter: &Filter) -> String {
    let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
    let gender =
        |gender: Option<Gender>| gender.map_or("none".to_owned(), |gender| gender.to_string());
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

/// Returns the CSV rows of a page, and the request of the next page.
async fn export_batch(
    app: &App,
    filter: &Filter,
    sort: Sort,
    request: PageRequest,
) -> Result<(Vec<u8>, Option<PageRequest>), ApiError> {
    let page = search::page(&app.db, filter, sort, &request, BATCH_SIZE).await?;
    let csv_error = |error: csv::Error| ApiError::Internal(format!("CSV: {error}"));
    let is_first = request == PageRequest::First;
    // The byte order mark makes spreadsheets read the file as UTF-8.
    let mark = if is_first { "\u{feff}" } else { "" };
    let mut writer = csv::Writer::from_writer(mark.as_bytes().to_vec());
    if is_first {
        writer.write_record(COLUMNS).map_err(csv_error)?;
    }
    for user in &page.rows {
        writer.write_record(record(user)).map_err(csv_error)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| ApiError::Internal(format!("CSV: {error}")))?;
    Ok((bytes, page.after.map(PageRequest::After)))
}

fn record(user: &user::Model) -> [String; 13] {
    let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    [
        user.id.to_string(),
        escape_formula(user.email.as_str()),
        escape_formula(user.username.as_str()),
        // With spaces, spreadsheets and other programs read it as text and keep all digits.
        user.phone_number
            .as_ref()
            .map(PhoneNumber::with_spaces)
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

/// Puts an apostrophe before a formula, so that spreadsheets treat it as text (OWASP: CSV injection). In some locales a semicolon
/// separates cells, so a formula can also follow a semicolon. Spreadsheets may accept full-width, small and superscript signs, and
/// skip blanks and invisible characters before a sign.
fn escape_formula(text: &str) -> String {
    let mut escaped = String::new();
    // The start of the cell, until the first visible character.
    let mut cell_start = Some(0);
    for c in text.chars() {
        let plain = std::iter::once(c).nfkc().next().unwrap_or(c);
        if matches!(plain, ';' | '\t' | '\r' | '\n') {
            escaped.push(c);
            cell_start = Some(escaped.len());
            continue;
        }
        if let Some(start) = cell_start
            && !is_skipped(c)
        {
            if matches!(plain, '=' | '+' | '-' | '@' | '\u{2212}') {
                escaped.insert(start, '\'');
            }
            cell_start = None;
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
    fn formula_gets_an_apostrophe() {
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

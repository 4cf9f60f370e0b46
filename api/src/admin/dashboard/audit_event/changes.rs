//! The values before and after a change.

use latchkey_shared::{
    models::audit::{self, Details},
    types::permission::{Permission, Permissions},
};

use crate::admin::dashboard::i18n::Texts;

/// The fields whose values are in the details only.
const PERSONAL: [&str; 8] = [
    "email",
    "username",
    "phoneNumber",
    "dateBirth",
    "gender",
    "language",
    "image",
    "text",
];

/// A changed field.
pub struct ChangeRow {
    /// The name of the field; empty if the value describes itself.
    pub label: String,
    /// The value before the change.
    pub before: Option<String>,
    /// The value after the change.
    pub after: Option<String>,
}

/// Returns the changes of an event. The readable values of personal data come from its details, if they are not erased.
pub(super) fn rows(t: &Texts, event: &audit::Model, details: &Details) -> Vec<ChangeRow> {
    let lines = event.changes.as_deref().unwrap_or_default().lines();
    let mut rows: Vec<_> = lines.filter_map(|line| chain_row(t, line)).collect();
    for change in &details.changes {
        let value = |value: &Option<String>| {
            let value = value.as_deref().unwrap_or("–");
            (change.field != "image").then(|| readable(t, value))
        };
        rows.push(ChangeRow {
            label: label(t, &change.field).to_owned(),
            before: value(&change.before),
            after: value(&change.after),
        });
    }
    if details.changes.is_empty() {
        rows.extend(erased(t, event));
    }
    rows
}

/// Parses a line such as `is_active: true → false`. `None` for personal data, which has fingerprints there.
fn chain_row(t: &Texts, line: &str) -> Option<ChangeRow> {
    let single = line.split_once(": ").filter(|_| !line.contains(", is_"));
    let Some((field, values)) = single else {
        return Some(ChangeRow {
            label: String::new(),
            before: None,
            after: Some(line.to_owned()),
        });
    };
    if PERSONAL.contains(&field) {
        return None;
    }
    let (before, after) = match values.split_once(" → ") {
        Some((before, after)) => (Some(readable(t, before)), readable(t, after)),
        None => (None, readable(t, values)),
    };
    Some(ChangeRow {
        label: label(t, field).to_owned(),
        before,
        after: Some(after),
    })
}

/// Returns the names of the personal data that was changed, if the values are erased.
fn erased(t: &Texts, event: &audit::Model) -> Vec<ChangeRow> {
    let lines = event.changes.as_deref().unwrap_or_default().lines();
    let fields = lines.filter_map(|line| line.split_once(": "));
    fields
        .filter(|(field, _)| PERSONAL.contains(field))
        .map(|(field, _)| ChangeRow {
            label: label(t, field).to_owned(),
            before: None,
            after: Some(t.values_erased.to_owned()),
        })
        .collect()
}

/// Returns the name of a field as on the page of an account.
fn label<'a>(t: &'a Texts, field: &'a str) -> &'a str {
    match field {
        "email" => t.email,
        "username" | "name" => t.name,
        "phoneNumber" => t.phone,
        "dateBirth" => t.date_birth,
        "gender" => t.gender,
        "language" => t.mail_language,
        "image" => t.picture,
        "text" => t.search,
        "is_activated" => t.activated,
        "is_active" => t.active,
        "is_staff" => t.staff,
        "is_superuser" => t.superuser,
        "permissions" => t.permissions,
        "roles" => t.roles,
        "state" => t.state,
        "sessions" => t.sessions,
        "open resets" => t.resets,
        "ended" => t.ended,
        "locked out until" => t.locked_out_until,
        other => other,
    }
}

fn readable(t: &Texts, value: &str) -> String {
    match value {
        "true" => t.yes.to_owned(),
        "false" => t.no.to_owned(),
        "male" => t.male.to_owned(),
        "female" => t.female.to_owned(),
        "-" => "–".to_owned(),
        "[]" => t.nothing.to_owned(),
        _ => permissions(t, value).unwrap_or_else(|| value.to_owned()),
    }
}

/// Returns the names of a list of permissions such as `[view_users, mails]`.
fn permissions(t: &Texts, value: &str) -> Option<String> {
    let names = value.strip_prefix('[')?.strip_suffix(']')?;
    let names = names
        .split(',')
        .map(|name| name.trim().parse::<Permission>());
    let permissions: Permissions = names.collect::<Result<_, _>>().ok()?;
    Some(t.permissions_of(&permissions))
}

//! The values before and after a change.

use chrono::DateTime;
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
    let chain = chain_fields(event);
    let is_personal = |field: &str| PERSONAL.contains(&field);
    let mut rows: Vec<_> = chain
        .iter()
        .filter(|(field, _)| !is_personal(field))
        .map(|(field, values)| chain_row(t, field, values))
        .collect();
    for change in &details.changes {
        let value = |value: &Option<String>| {
            let value = value.as_deref().unwrap_or("–");
            (change.field != "image").then(|| readable(t, &change.field, value))
        };
        rows.push(ChangeRow {
            label: label(t, &change.field).to_owned(),
            before: value(&change.before),
            after: value(&change.after),
        });
    }
    if details.changes.is_empty() {
        let erased = chain.iter().filter(|(field, _)| is_personal(field));
        rows.extend(erased.map(|(field, _)| ChangeRow {
            label: label(t, field).to_owned(),
            before: None,
            after: Some(t.values_erased.to_owned()),
        }));
    }
    rows
}

/// Returns the fields and values in the chain: the changes, or the filter of an export. For personal data, the values are
/// fingerprints.
fn chain_fields(event: &audit::Model) -> Vec<(&str, &str)> {
    let lines = event.changes.as_deref().unwrap_or_default().lines();
    let mut all: Vec<_> = lines.flat_map(line_fields).collect();
    // A retry of up to 500 mails records the same change of state for each.
    all.dedup();
    let detail = event.detail.as_deref().unwrap_or_default();
    let export = detail.strip_prefix("exported users: ");
    if let Some((_, filter)) = export.and_then(|export| export.split_once(", ")) {
        all.extend(filter.split(", ").map(field));
    }
    all
}

/// Splits a line such as `is_activated: true → false`. The line of a deletion has several fields:
/// `is_active: true, is_staff: false, permissions: [view_users, mails]`.
fn line_fields(line: &str) -> Vec<(&str, &str)> {
    let deletion = line.split_once(", permissions: ");
    match deletion.filter(|_| line.starts_with("is_")) {
        Some((flags, permissions)) => {
            let flags = flags.split(", ").map(field);
            flags.chain([("permissions", permissions)]).collect()
        }
        None => vec![field(line)],
    }
}

/// Splits a field such as `is_active: true` into its name and values. The name is empty if the text is not a field.
fn field(text: &str) -> (&str, &str) {
    match text.split_once(": ") {
        Some((name, values)) if name.starts_with("mail ") => ("state", values),
        Some(field) => field,
        None => ("", text),
    }
}

fn chain_row(t: &Texts, field: &str, values: &str) -> ChangeRow {
    let (before, after) = match values.split_once(" → ") {
        Some((before, after)) => (Some(readable(t, field, before)), after),
        None => (None, values),
    };
    ChangeRow {
        label: label(t, field).to_owned(),
        before,
        after: Some(readable(t, field, after)),
    }
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
        "pending" => t.pending_approval,
        "pending_email_verification" => t.pending_verification,
        "joined since" => t.joined,
        "created" => t.created,
        "expires" => t.expires,
        "revoked" => t.api_tokens().revoked,
        "changed" => t.changed,
        other => other,
    }
}

fn readable(t: &Texts, field: &str, value: &str) -> String {
    match value {
        "true" => t.yes.to_owned(),
        "false" => t.no.to_owned(),
        "male" => t.male.to_owned(),
        "female" => t.female.to_owned(),
        "-" => "–".to_owned(),
        "[]" => t.nothing.to_owned(),
        _ => match field {
            "state" => value.parse().ok().map(|it| t.mail_state(&it).to_owned()),
            "roles" => role_names(t, value),
            "permissions" => permissions(t, value),
            "locked out until" | "expires" => time(value),
            _ => None,
        }
        .unwrap_or_else(|| value.to_owned()),
    }
}

/// Returns the names of a list of roles such as `[3 Support, 4 Auditors]`.
fn role_names(t: &Texts, value: &str) -> Option<String> {
    let roles = value.strip_prefix('[')?.strip_suffix(']')?;
    let name = |role| {
        let (id, name) = str::split_once(role, ' ')?;
        id.parse::<i64>().is_ok().then_some(name)
    };
    let names = roles.split(", ").map(|role| name(role).unwrap_or(role));
    Some(names.collect::<Vec<_>>().join(t.comma))
}

/// Returns the day and the minute of a time (RFC 3339) in UTC.
fn time(value: &str) -> Option<String> {
    let at = DateTime::parse_from_rfc3339(value).ok()?;
    Some(at.to_utc().format("%Y-%m-%d %H:%M (UTC)").to_string())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::dashboard::i18n::{ARABIC, ENGLISH};

    fn lines(t: &Texts, line: &str) -> Vec<String> {
        let rows = line_fields(line).into_iter().map(|(name, values)| {
            let row = chain_row(t, name, values);
            let before = row.before.map_or(String::new(), |it| format!("{it} → "));
            format!("{}: {before}{}", row.label, row.after.unwrap_or_default())
        });
        rows.collect()
    }

    #[test]
    fn deletion_has_a_row_for_each_flag() {
        let line = "is_active: true, is_staff: false, permissions: [view_users, mails]";
        let english = [
            "Active: Yes",
            "Staff: No",
            "Permissions: View users, Manage mails",
        ];
        assert_eq!(lines(&ENGLISH, line), english);
        assert_eq!(lines(&ARABIC, line)[0], "نشط: نعم");
    }

    #[test]
    fn values_are_readable_in_both_languages() {
        for (line, english) in [
            (
                "roles: [3 Support, 4 Audit] → []",
                "Roles: Support, Audit → none",
            ),
            ("mail 0198: failed → queued", "State: Failed → Queued"),
            ("state: queued → cancelled", "State: Queued → Cancelled"),
            ("name: - → A, b: c", "Name: – → A, b: c"),
            (
                "locked out until: 2026-03-02T09:30:00.5+00:00 → -",
                "Locked out until: 2026-03-02 09:30 (UTC) → –",
            ),
        ] {
            assert_eq!(lines(&ENGLISH, line), [english]);
        }
        let roles = lines(&ARABIC, "roles: [] → [3 Support, 4 Audit]");
        assert_eq!(roles, ["الأدوار: لا شيء → Support، Audit"]);
    }
}

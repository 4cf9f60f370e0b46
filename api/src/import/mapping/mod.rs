//! What becomes of a row of the source. Pure functions.

mod fields;
mod permissions;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, Utc};
use latchkey_shared::types::{
    email::Email,
    gender::Gender,
    language_tag::LanguageTag,
    permission::Permissions,
    phone_number::{PhoneNumber, Region},
    role_name::RoleName,
    username::Username,
};

use crate::{
    import::{
        outcome::Reason,
        row::{RowKey, SourceRow, SourceUser},
    },
    passwords::django::{DjangoHash, DjangoHashError},
};

/// What the mapping depends on besides the row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The region of phone numbers without a country code.
    pub(super) region: Option<Region>,
    /// No date of birth is later.
    pub(super) today: NaiveDate,
}

/// The values of an account here.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub(super) struct Mapped {
    pub(super) email: Email,
    pub(super) username: Username,
    /// A Django hash, or `None` without a password.
    pub(super) password: Option<String>,
    pub(super) phone_number: Option<PhoneNumber>,
    pub(super) date_birth: Option<NaiveDate>,
    pub(super) gender: Option<Gender>,
    pub(super) language: Option<LanguageTag>,
    pub(super) language_chosen: bool,
    pub(super) is_activated: bool,
    pub(super) pending_email_verification: bool,
    pub(super) is_active: bool,
    pub(super) is_staff: bool,
    pub(super) is_superuser: bool,
    pub(super) permissions: Permissions,
    pub(super) roles: Vec<MappedRole>,
    /// `None` means the time of the import.
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) last_login_at: Option<DateTime<Utc>>,
    /// The path of the picture in the source's media folder.
    pub(super) image: Option<String>,
}

/// A role of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MappedRole {
    pub(super) name: RoleName,
    pub(super) permissions: Permissions,
}

/// The mapping of a row: the values or the reason why it is skipped.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) name: RowKey,
    pub(super) reasons: Vec<Reason>,
    pub(super) mapped: Result<Box<Mapped>, SkippedRow>,
}

/// Why a row is skipped.
#[derive(Debug)]
pub(super) struct SkippedRow {
    pub(super) reason: Reason,
    /// The problem of an invalid line.
    pub(super) detail: Option<String>,
}

/// Maps a row.
pub(super) fn map(row: SourceRow, rules: Rules) -> Mapping {
    let mut reasons = Vec::new();
    let mapped = match row.user {
        Ok(user) => values(user, rules, &mut reasons).map_err(|reason| SkippedRow {
            reason,
            detail: None,
        }),
        Err(detail) => Err(SkippedRow {
            reason: Reason::LineInvalid,
            detail: Some(detail),
        }),
    };
    Mapping {
        name: row.name,
        mapped: mapped.map(Box::new),
        reasons,
    }
}

fn values(row: SourceUser, rules: Rules, reasons: &mut Vec<Reason>) -> Result<Mapped, Reason> {
    let email: Email = row
        .email
        .parse()
        .map_err(|invalid| email_reason(&invalid))?;
    let created_at = row.created_at.as_deref().map(time);
    let created_at = created_at.map(|at| at.ok_or(Reason::CreatedAtInvalid));
    let created_at = created_at.transpose()?;
    let last_login_at = row.last_login_at.as_deref().and_then(time);
    if last_login_at.is_none() && row.last_login_at.is_some() {
        reasons.push(Reason::LastLoginDropped);
    }
    if row.has_names {
        reasons.push(Reason::NamesDropped);
    }
    let (permissions, groups) = permissions::map(&row, reasons);
    Ok(Mapped {
        username: fields::username(&row.username, &email, reasons),
        email,
        password: row.password.and_then(|text| password(text, reasons)),
        phone_number: fields::phone_number(row.phone_number.as_deref(), rules.region, reasons),
        date_birth: fields::date_birth(row.date_birth.as_deref(), rules.today, reasons),
        gender: fields::gender(row.gender.as_deref(), reasons),
        language: fields::language(row.language.as_deref(), reasons),
        language_chosen: row.language_chosen,
        is_activated: row.is_activated,
        pending_email_verification: row.pending_email_verification,
        is_active: row.is_active,
        is_staff: row.is_staff,
        is_superuser: row.is_superuser,
        permissions,
        roles: groups,
        created_at,
        last_login_at,
        image: row.image.filter(|path| !path.is_empty()),
    })
}

fn email_reason(invalid: &latchkey_shared::types::validation_error::Invalid) -> Reason {
    match invalid.code {
        "too_long" => Reason::EmailTooLong,
        _ => Reason::EmailInvalid,
    }
}

/// Returns a hash as the source has it, if a login can verify it. The column may contain clear text, which is never stored.
fn password(text: String, reasons: &mut Vec<Reason>) -> Option<String> {
    match DjangoHash::parse(&text) {
        Ok(_) => Some(text),
        Err(DjangoHashError::Unusable) => {
            reasons.push(Reason::PasswordUnusable);
            None
        }
        Err(DjangoHashError::TooCostly) => {
            reasons.push(Reason::PasswordTooCostly);
            None
        }
    }
}

/// Parses a time in RFC 3339 format or in Django's. Django's has no fraction on SQLite if that is zero. The year has at most four
/// digits in UTC, because a stored time with more digits could not be read.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    let time = time.or_else(|_| {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(|time| time.and_utc())
    });
    time.ok().filter(|time| (1..=9999).contains(&time.year()))
}

//! What becomes of a row of the source. Pure functions.

mod fields;
mod permissions;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use latchkey_shared::types::{
    email::Email,
    gender::Gender,
    permission::Permissions,
    phone_number::{PhoneNumber, Region},
    role_name::RoleName,
    username::Username,
};

use crate::{
    import::{outcome::Reason, row::SourceUser},
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
    pub(super) is_activated: bool,
    pub(super) is_active: bool,
    pub(super) is_staff: bool,
    pub(super) is_superuser: bool,
    pub(super) permissions: Permissions,
    pub(super) roles: Vec<MappedRole>,
    pub(super) created_at: DateTime<Utc>,
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
    pub(super) id: i64,
    pub(super) reasons: Vec<Reason>,
    pub(super) mapped: Result<Box<Mapped>, Reason>,
}

/// Maps a row.
pub(super) fn map(row: SourceUser, rules: Rules) -> Mapping {
    let mut reasons = Vec::new();
    Mapping {
        id: row.id,
        mapped: values(row, rules, &mut reasons).map(Box::new),
        reasons,
    }
}

fn values(row: SourceUser, rules: Rules, reasons: &mut Vec<Reason>) -> Result<Mapped, Reason> {
    let email: Email = row
        .email
        .parse()
        .map_err(|invalid| email_reason(&invalid))?;
    let created_at = time(&row.created_at).ok_or(Reason::CreatedAtInvalid)?;
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
        password: password(row.password, reasons),
        phone_number: fields::phone_number(row.phone_number.as_deref(), rules.region, reasons),
        date_birth: fields::date_birth(row.date_birth.as_deref(), rules.today, reasons),
        gender: fields::gender(row.gender.as_deref(), reasons),
        is_activated: row.is_activated,
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

/// Parses a time of Django. SQLite omits a fraction of zero.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f");
    time.ok().map(|time| time.and_utc())
}

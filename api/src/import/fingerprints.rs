//! Keyed fingerprints of the values that an account was imported with.
//!
//! They tell a further run which values have changed in the source, and which have changed here. The values themselves are not stored
//! twice, and without the key the fingerprints tell nothing.

use latchkey_shared::{
    crypto::token_hash::Fingerprints as Key, models::user, types::language_tag::LanguageTag,
};

use crate::import::mapping::Mapped;

/// A column that a further run compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Email,
    Username,
    Password,
    PhoneNumber,
    DateBirth,
    Gender,
    IsActivated,
    IsActive,
    IsStaff,
    IsSuperuser,
    Permissions,
    Roles,
    CreatedAt,
    /// The path of the picture in the source, or none if it could not be brought in.
    Image,
    /// The name of the picture's file here.
    Picture,
    /// The language, and whether the owner chose it.
    Language,
}

/// The columns whose values are texts of the row. The two of the picture are not.
pub(super) const COMPARED: [Column; 14] = [
    Column::Email,
    Column::Username,
    Column::Password,
    Column::PhoneNumber,
    Column::DateBirth,
    Column::Gender,
    Column::IsActivated,
    Column::IsActive,
    Column::IsStaff,
    Column::IsSuperuser,
    Column::Permissions,
    Column::Roles,
    Column::CreatedAt,
    Column::Language,
];

/// The number of columns.
const COUNT: usize = 16;

/// The fingerprints of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprints {
    user_id: i64,
    columns: [[u8; 8]; COUNT],
}

impl Fingerprints {
    /// Returns the fingerprints of an account without a picture.
    pub(super) fn of(key: &Key, user_id: i64, mapped: &Mapped) -> Self {
        let mut fingerprints = Self {
            user_id,
            columns: [[0; 8]; COUNT],
        };
        for column in COMPARED {
            fingerprints.set(key, column, &text_of_mapped(mapped, column));
        }
        fingerprints.set(key, Column::Image, "");
        fingerprints.set(key, Column::Picture, "");
        fingerprints
    }

    /// Reads stored fingerprints. Returns `None` if they have another form.
    pub(super) fn read(user_id: i64, bytes: &[u8]) -> Option<Self> {
        let (columns, rest) = bytes.as_chunks::<8>();
        let columns = columns.try_into().ok().filter(|_| rest.is_empty())?;
        Some(Self { user_id, columns })
    }

    /// Returns the stored form.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.columns.concat()
    }

    /// Returns whether a column has the fingerprint of a value.
    pub(super) fn matches(&self, key: &Key, column: Column, value: &str) -> bool {
        self.columns[column as usize] == key.of_imported(self.user_id, column as u8, value)
    }

    /// Sets the value of a column.
    pub(super) fn set(&mut self, key: &Key, column: Column, value: &str) {
        self.columns[column as usize] = key.of_imported(self.user_id, column as u8, value);
    }
}

/// Returns the value of a compared column that the import brings.
pub(super) fn text_of_mapped(mapped: &Mapped, column: Column) -> String {
    match column {
        Column::Email => mapped.email.to_string(),
        Column::Username => mapped.username.to_string(),
        Column::Password => mapped.password.clone().unwrap_or_default(),
        Column::PhoneNumber => text(mapped.phone_number.as_ref()),
        Column::DateBirth => text(mapped.date_birth.as_ref()),
        Column::Gender => text(mapped.gender.as_ref()),
        Column::IsActivated => mapped.is_activated.to_string(),
        Column::IsActive => mapped.is_active.to_string(),
        Column::IsStaff => mapped.is_staff.to_string(),
        Column::IsSuperuser => mapped.is_superuser.to_string(),
        Column::Permissions => mapped.permissions.to_string(),
        Column::Roles => roles_text(mapped.roles.iter().map(|role| role.name.to_string())),
        Column::CreatedAt => text(mapped.created_at.map(|at| at.timestamp_micros()).as_ref()),
        Column::Language => language(mapped.language.as_ref(), mapped.language_chosen),
        Column::Image | Column::Picture => String::new(),
    }
}

/// Returns the value of a compared column that an account has here.
pub(super) fn text_of_user(user: &user::Model, roles: &[String], column: Column) -> String {
    match column {
        Column::Email => user.email.to_string(),
        Column::Username => user.username.to_string(),
        Column::Password => user.password_hash.clone(),
        Column::PhoneNumber => text(user.phone_number.as_ref()),
        Column::DateBirth => text(user.date_birth.as_ref()),
        Column::Gender => text(user.gender.as_ref()),
        Column::IsActivated => user.is_activated.to_string(),
        Column::IsActive => user.is_active.to_string(),
        Column::IsStaff => user.is_staff.to_string(),
        Column::IsSuperuser => user.is_superuser.to_string(),
        Column::Permissions => user.permissions.to_string(),
        Column::Roles => roles_text(roles.iter().cloned()),
        Column::CreatedAt => user.created_at.timestamp_micros().to_string(),
        Column::Image => String::new(),
        Column::Picture => user.picture.clone().unwrap_or_default(),
        Column::Language => language(user.language.as_ref(), user.language_chosen),
    }
}

fn language(tag: Option<&LanguageTag>, is_chosen: bool) -> String {
    format!("{} {is_chosen}", text(tag))
}

fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Joins names of roles in a fixed order. A name has no control characters.
fn roles_text(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<_> = names.map(|name| name.to_lowercase()).collect();
    names.sort();
    names.join("\n")
}

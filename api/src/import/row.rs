//! The row that all sources yield.

use serde::Serialize;

/// The identification of a row in its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RowKey {
    /// The number of the line in a file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<i64>,
    /// The id that the source gives to the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
}

impl RowKey {
    /// Returns the position of the row in its source: the line in a file, the id in a database.
    pub(super) fn position(self) -> i64 {
        self.line.or(self.id).unwrap_or_default()
    }
}

/// A row of a source: an account, or the reason why the row is invalid.
#[derive(Clone, Debug)]
pub(super) struct SourceRow {
    pub(super) name: RowKey,
    pub(super) user: Result<SourceUser, String>,
}

impl SourceRow {
    /// Returns the row of an account in a database.
    pub(super) fn from_database(id: i64, user: SourceUser) -> Self {
        let name = RowKey {
            line: None,
            id: Some(id),
        };
        Self {
            name,
            user: Ok(user),
        }
    }
}

/// One account as a source has it, not checked.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub(super) struct SourceUser {
    pub(super) email: String,
    pub(super) username: String,
    /// The password hash in Django's format. The source may contain any text. `None` without a password.
    pub(super) password: Option<String>,
    /// Whether the account has a first or a last name.
    pub(super) has_names: bool,
    /// The path of the picture in the source's media folder.
    pub(super) image: Option<String>,
    pub(super) phone_number: Option<String>,
    /// `YYYY-MM-DD`.
    pub(super) date_birth: Option<String>,
    pub(super) gender: Option<String>,
    /// A language tag.
    pub(super) language: Option<String>,
    /// Whether the owner chose the language.
    pub(super) language_chosen: bool,
    pub(super) is_activated: bool,
    /// Whether the owner can activate the account with a one-time code.
    pub(super) pending_email_verification: bool,
    pub(super) is_active: bool,
    pub(super) is_staff: bool,
    pub(super) is_superuser: bool,
    /// RFC 3339, or `YYYY-MM-DD HH:MM:SS` in UTC, with or without a fraction. `None` means the time of the import.
    pub(super) created_at: Option<String>,
    /// In the same formats as `created_at`.
    pub(super) last_login_at: Option<String>,
    /// The account's own permissions, by their names in Latchkey or in Django, such as `users.change_user`.
    pub(super) permissions: Vec<String>,
    pub(super) groups: Vec<SourceGroup>,
}

/// A group of accounts with its permissions.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceGroup {
    pub(super) name: String,
    pub(super) permissions: Vec<String>,
    /// Whether the group is a role of Latchkey. A role may have no permissions.
    pub(super) is_role: bool,
}

//! The row that all sources yield.

/// One account as a source has it, not checked.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub(super) struct SourceUser {
    pub(super) id: i64,
    pub(super) email: String,
    pub(super) username: String,
    /// The password column, which may contain any text.
    pub(super) password: String,
    /// Whether the account has a first or a last name.
    pub(super) has_names: bool,
    /// The path of the picture in the source's media folder.
    pub(super) image: Option<String>,
    pub(super) phone_number: Option<String>,
    /// `YYYY-MM-DD`.
    pub(super) date_birth: Option<String>,
    pub(super) gender: Option<String>,
    pub(super) is_activated: bool,
    pub(super) is_active: bool,
    pub(super) is_staff: bool,
    pub(super) is_superuser: bool,
    /// `YYYY-MM-DD HH:MM:SS`, with or without a fraction, in UTC.
    pub(super) created_at: String,
    /// The same form as `created_at`.
    pub(super) last_login_at: Option<String>,
    /// The account's own permissions, such as `users.change_user`.
    pub(super) permissions: Vec<String>,
    pub(super) groups: Vec<SourceGroup>,
}

/// A group of accounts with its permissions.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceGroup {
    pub(super) name: String,
    pub(super) permissions: Vec<String>,
}

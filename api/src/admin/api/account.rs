//! How an account looks to administrators.

use chrono::{DateTime, NaiveDate, Utc};
use latchkey_shared::models::user;
use poem_openapi::Object;

use crate::accounts::{pictures::PictureStore, user_response::Gender};

/// An account, all of it but its password.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub struct Account {
    /// Names it in paths.
    id: i64,
    /// The e-mail address, as it was entered.
    email: String,
    /// What the owner is called.
    username: String,
    /// An international number in E.164 form, such as `+201001234567`.
    phone_number: Option<String>,
    /// The absolute URL of the picture.
    image: Option<String>,
    /// `YYYY-MM-DD`
    date_birth: Option<NaiveDate>,
    /// `male`, `female` or null.
    gender: Option<Gender>,
    /// Whether it was let in.
    #[oai(rename = "is_activated")]
    is_activated: bool,
    /// Whether its owner may let it in (`ACTIVATION=email`), by the mailed code or a password reset, until an administrator
    /// has decided about it.
    #[oai(rename = "pending_email_verification")]
    pending_email_verification: bool,
    /// False once it was shut.
    #[oai(rename = "is_active")]
    is_active: bool,
    /// May sign in to the dashboard.
    #[oai(rename = "is_staff")]
    is_staff: bool,
    /// May do everything there.
    #[oai(rename = "is_superuser")]
    is_superuser: bool,
    /// What it may do as staff: some of `view_users`, `change_users`, `delete_users`, `mails`, `audit`.
    permissions: Vec<String>,
    /// When it was made.
    created: DateTime<Utc>,
    /// The last successful login.
    #[oai(rename = "last_login")]
    last_login: Option<DateTime<Utc>>,
    /// Rises with every change.
    version: i32,
}

impl Account {
    pub(super) fn of(row: user::Model, pictures: &PictureStore) -> Self {
        let permissions = row.permissions.names();
        Self {
            id: row.id,
            email: row.email.to_string(),
            username: row.username.to_string(),
            phone_number: row.phone_number.map(|number| number.to_string()),
            image: row.picture.map(|name| pictures.url(&name)),
            date_birth: row.date_birth,
            gender: row.gender.map(Gender::of),
            is_activated: row.is_activated,
            pending_email_verification: row.pending_email_verification,
            is_active: row.is_active,
            is_staff: row.is_staff,
            is_superuser: row.is_superuser,
            permissions: permissions.into_iter().map(str::to_owned).collect(),
            created: row.created_at,
            last_login: row.last_login_at,
            version: row.version,
        }
    }
}

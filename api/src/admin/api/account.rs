//! An account, as the administration API returns it.

use chrono::{DateTime, NaiveDate, Utc};
use latchkey_shared::models::{role, user};
use poem_openapi::{Object, types};

use crate::{
    accounts::{pictures::PictureStore, user_response::Gender},
    app_state::App,
    http::error::ApiError,
};

/// An account.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub struct Account {
    /// The id.
    id: i64,
    /// The email address, as entered.
    email: types::Email,
    /// The email that gets the codes of password resets, if it is not `email`, because the owner has not confirmed that one yet.
    #[oai(rename = "reset_email")]
    reset_email: Option<types::Email>,
    /// The owner's name.
    username: String,
    /// The phone number in E.164 format, such as `+201001234567`.
    phone_number: Option<String>,
    /// The absolute URL of the picture.
    image: Option<String>,
    /// `YYYY-MM-DD`
    date_birth: Option<NaiveDate>,
    /// `male`, `female` or null.
    gender: Option<Gender>,
    /// The language of mails, a BCP 47 tag.
    language: Option<String>,
    /// Whether the account is activated.
    #[oai(rename = "is_activated")]
    is_activated: bool,
    /// Whether the account owner may activate the account (`ACTIVATION=email`), by the one-time code or a password reset. False
    /// once an administrator has activated or deactivated it.
    #[oai(rename = "pending_email_verification")]
    pending_email_verification: bool,
    /// False for a deactivated account.
    #[oai(rename = "is_active")]
    is_active: bool,
    /// Whether it has access to the dashboard.
    #[oai(rename = "is_staff")]
    is_staff: bool,
    /// Whether it has every permission.
    #[oai(rename = "is_superuser")]
    is_superuser: bool,
    /// The permissions of a staff account, from `view_users`, `add_users`, `change_users`, `delete_users`, `export_users`,
    /// `mails`, `audit`.
    permissions: Vec<String>,
    /// The ids of the roles of a staff account. The account also has their permissions.
    roles: Vec<i64>,
    /// The time of registration.
    created: DateTime<Utc>,
    /// The time of the last successful login.
    #[oai(rename = "last_login")]
    last_login: Option<DateTime<Utc>>,
    /// Whether a login needs a second factor.
    #[oai(rename = "second_factor")]
    second_factor: bool,
    /// When the account will be deleted, as its owner asked, unless the owner logs in before.
    #[oai(rename = "deletion_at")]
    deletion_at: Option<DateTime<Utc>>,
    /// The version, which increases with every change.
    version: i32,
}

impl Account {
    /// Loads the roles of an account.
    pub(super) async fn load(app: &App, row: user::Model) -> Result<Self, ApiError> {
        let roles = role::of_user(&app.db, row.id).await?;
        let roles = roles.iter().map(|role| role.id).collect();
        Ok(Self::of(row, roles, &app.pictures, app.now()))
    }

    pub(super) fn of(
        row: user::Model,
        roles: Vec<i64>,
        pictures: &PictureStore,
        now: DateTime<Utc>,
    ) -> Self {
        let permissions = row.permissions.names();
        Self {
            id: row.id,
            email: types::Email(row.email.to_string()),
            reset_email: row
                .other_reset_email(now)
                .map(|email| types::Email(email.to_string())),
            username: row.username.to_string(),
            phone_number: row.phone_number.map(|number| number.to_string()),
            image: row.picture.map(|name| pictures.url(&name)),
            date_birth: row.date_birth,
            gender: row.gender.map(Gender::of),
            language: row.language.map(|language| language.to_string()),
            is_activated: row.is_activated,
            pending_email_verification: row.pending_email_verification,
            is_active: row.is_active,
            is_staff: row.is_staff,
            is_superuser: row.is_superuser,
            permissions: permissions.into_iter().map(str::to_owned).collect(),
            roles,
            created: row.created_at,
            last_login: row.last_login_at,
            second_factor: row.second_factor_at.is_some(),
            deletion_at: row.deletion_at,
            version: row.version,
        }
    }
}

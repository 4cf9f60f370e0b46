//! `GET`, `PATCH` and `DELETE /api/admin/users/{id}/`: reads, changes and deletes an account.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use latchkey_shared::{
    models::user::{self, staff::Change},
    types::permission::{Permission, Permissions},
};
use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::Path,
    payload::Json,
    types::{self, Example},
};

use crate::admin::api::{NoContent, account::Account};
use crate::{
    accounts::{
        pictures::{self, PictureChange},
        profile, user_response,
    },
    admin::{
        actions::{
            self,
            edit_user::{self, UserChange},
        },
        api::token::Token,
        permissions::{ChangeUsers, DeleteUsers, Superuser, ViewUsers},
    },
    app_state::App,
    http::{
        body::{Body, WITH_PICTURE, fields::Fields},
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
    passwords::CurrentPassword,
};

/// Changes to an account. Absent fields stay as they are; null clears an optional field.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct AccountChange {
    /// Unique without regard to case.
    #[oai(validator(max_length = 254))]
    email: Option<types::Email>,
    /// 1 to 45 characters.
    #[oai(validator(min_length = 1, max_length = 45))]
    username: Option<String>,
    /// A phone number in international format, or null.
    phone_number: Option<String>,
    /// A picture as for registration, or null.
    image: Option<String>,
    /// From 1900 to today, or null.
    date_birth: Option<NaiveDate>,
    /// `male`, `female` or null.
    gender: Option<user_response::Gender>,
    /// The language of mails, a BCP 47 tag such as `ar-EG`, or null for the default.
    #[oai(validator(max_length = 35))]
    language: Option<String>,
    /// True activates the account. Its owner gets a mail.
    #[oai(rename = "is_activated")]
    is_activated: Option<bool>,
    /// False deactivates the account and ends its sessions.
    #[oai(rename = "is_active")]
    is_active: Option<bool>,
    /// Access to the dashboard. Only superusers can change this.
    #[oai(rename = "is_staff")]
    is_staff: Option<bool>,
    /// Every permission. Only superusers can change this.
    #[oai(rename = "is_superuser")]
    is_superuser: Option<bool>,
    /// The complete list of permissions, from `view_users`, `add_users`, `change_users`, `delete_users`, `export_users`,
    /// `mails`, `audit`. Only superusers can change this.
    permissions: Option<Vec<String>>,
    /// The complete list of role ids. Only superusers can change this.
    roles: Option<Vec<i64>>,
    /// The version that the client has read. If the account has changed since then, the response is an edit conflict.
    version: Option<i32>,
}

impl Example for AccountChange {
    fn example() -> Self {
        Self {
            email: None,
            username: Some("Countess of Lovelace".to_owned()),
            phone_number: Some("+201001234567".to_owned()),
            image: None,
            date_birth: NaiveDate::from_ymd_opt(1990, 2, 28),
            gender: Some(user_response::Gender::Female),
            language: Some("en-GB".to_owned()),
            is_activated: Some(true),
            is_active: Some(true),
            is_staff: None,
            is_superuser: None,
            permissions: None,
            roles: None,
            version: None,
        }
    }
}

/// The calls for one account.
pub struct UserApi;

#[OpenApi]
impl UserApi {
    /// Read an account
    ///
    /// Requires `view_users`.
    #[oai(
        path = "/api/admin/users/:id",
        method = "get",
        operation_id = "getAccount",
        tag = "Tag::Administration"
    )]
    async fn read(
        &self,
        Data(app): Data<&App>,
        _admin: Token<ViewUsers>,
        /// The account id.
        Path(id): Path<i64>,
    ) -> Result<Json<Account>, ErrorResponses<401, 403, 404>> {
        let user = find(app, id).await?;
        Ok(Json(Account::load(app, user).await?))
    }

    /// Change an account
    ///
    /// Requires `change_users`. Only superusers can change staff accounts. You cannot deactivate your own account or change its
    /// permissions.
    #[oai(
        path = "/api/admin/users/:id",
        method = "patch",
        operation_id = "changeAccount",
        tag = "Tag::Administration"
    )]
    async fn change(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<ChangeUsers>,
        /// The account id.
        Path(id): Path<i64>,
        body: Body<'_, AccountChange, WITH_PICTURE>,
    ) -> Result<Json<Account>, ErrorResponses<400, 401, 403, 404, 409, 413, 415, 429>> {
        pictures::check_limit(app, &admin.audit, Some(admin.user.id), &body).await?;
        let body = body.read().await?;
        let seen = find(app, id).await?;
        let (change, picture, version) = parse(body.fields, app).await?;
        if version.is_some_and(|version| version != seen.version) {
            return Err(ApiError::EditConflict.into());
        }
        let user = edit_user::change(app, &admin, &seen, change, picture).await?;
        Ok(Json(Account::load(app, user).await?))
    }

    /// Delete an account
    ///
    /// Requires `delete_users`. Also deletes the sessions, password resets and picture. Only superusers can delete staff
    /// accounts. You cannot delete your own account.
    #[oai(
        path = "/api/admin/users/:id",
        method = "delete",
        operation_id = "deleteAccount",
        tag = "Tag::Administration"
    )]
    async fn delete(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<DeleteUsers>,
        /// The account id.
        Path(id): Path<i64>,
    ) -> Result<NoContent, ErrorResponses<401, 403, 404, 409>> {
        actions::users::delete(app, &admin, &[id]).await?;
        Ok(NoContent::Done)
    }

    /// Trust an email
    ///
    /// Requires a superuser and their password. Codes for password resets go to the current email from now on, although the owner has
    /// not confirmed it. An email that staff chose gets them after a day without this call.
    #[oai(
        path = "/api/admin/users/:id/trust_email",
        method = "post",
        operation_id = "trustEmail",
        tag = "Tag::Administration"
    )]
    async fn trust_email(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<Superuser>,
        /// The account id.
        Path(id): Path<i64>,
        body: Body<'_, OwnPasswordRequest>,
    ) -> Result<NoContent, ErrorResponses<400, 401, 403, 404, 409, 413, 415, 429>> {
        let password = read_password(body).await?;
        actions::trust_email::trust_email(app, &admin, id, password).await?;
        Ok(NoContent::Done)
    }

    /// Remove the second factors of an account
    ///
    /// Requires `change_users` and your own password; for staff accounts, that you are a superuser. A login to the account then needs the
    /// password only. A mail notifies the owner.
    #[oai(
        path = "/api/admin/users/:id/remove_second_factor",
        method = "post",
        operation_id = "removeSecondFactor",
        tag = "Tag::Administration"
    )]
    async fn remove_second_factor(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<ChangeUsers>,
        /// The account id.
        Path(id): Path<i64>,
        body: Body<'_, OwnPasswordRequest>,
    ) -> Result<NoContent, ErrorResponses<400, 401, 403, 404, 409, 413, 415, 429>> {
        let password = read_password(body).await?;
        actions::remove_second_factor::remove_second_factor(app, &admin, id, password).await?;
        Ok(NoContent::Done)
    }
}

/// Reads the field `password`.
async fn read_password(body: Body<'_, OwnPasswordRequest>) -> Result<CurrentPassword, ApiError> {
    let mut fields = body.read().await?.fields;
    let password = fields.required::<CurrentPassword>("password");
    fields.finish()?;
    Ok(password?)
}

/// The password of the staff member who changes the access to another account.
#[derive(Debug, Object)]
#[oai(rename = "OwnPassword", example)]
struct OwnPasswordRequest {
    /// Your own password.
    #[oai(validator(min_length = 1))]
    password: types::Password,
}

impl Example for OwnPasswordRequest {
    fn example() -> Self {
        Self {
            password: types::Password("velvet harbour lantern".to_owned()),
        }
    }
}

async fn find(app: &App, id: i64) -> Result<user::Model, ApiError> {
    user::find(&app.db, id).await?.ok_or(ApiError::NotFound)
}

/// Parses the change, the picture, and the version that the client has read.
async fn parse(
    mut fields: Fields,
    app: &App,
) -> Result<(UserChange, PictureChange, Option<i32>), ApiError> {
    let is_activated = fields.flag("is_activated");
    let is_active = fields.flag("is_active");
    let is_staff = fields.flag("is_staff");
    let is_superuser = fields.flag("is_superuser");
    let permissions = fields.list::<Permission>("permissions");
    let roles = fields.list::<i64>("roles");
    let version = fields.changed("version");
    let (profile, picture) = profile::parse(fields, app).await?;
    let account = Change {
        profile,
        is_activated: is_activated?,
        is_active: is_active?,
        is_staff: is_staff?,
        is_superuser: is_superuser?,
        permissions: permissions?.map(Permissions::from_iter),
    };
    let change = UserChange {
        account,
        roles: roles?.map(BTreeSet::from_iter),
    };
    Ok((change, picture, version?))
}

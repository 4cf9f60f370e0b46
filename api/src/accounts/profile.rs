//! `GET` and `PATCH /api/user/`: the profile of the current user.

use chrono::NaiveDate;
use latchkey_shared::{
    database,
    models::{
        mail::MailKind,
        user::{
            self,
            profile::{self, ProfileChange},
        },
    },
    types::{
        email::Email, gender::Gender, language_tag::LanguageTag, phone_number::PhoneNumber,
        username::Username, validation_error::Invalid,
    },
};
use poem::{http::HeaderName, web::Data};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    payload::Json,
    types::{self, Example},
};

use crate::{
    accounts::{
        pictures::{self, PictureChange},
        user_response::{self, User},
    },
    app_state::App,
    auth::{
        bearer::{ActivatedUser, CurrentUser},
        email_change,
        jwt::ResetToken,
        password_change,
    },
    http::{
        audit_context::AuditContext,
        body::{Body, WITH_PICTURE, fields::Fields},
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
    passwords::CurrentPassword,
};

/// The response header with the token of a new email.
pub const EMAIL_CONFIRMATION_TOKEN: HeaderName =
    HeaderName::from_static("email-confirmation-token");

/// A change of the profile. Absent members keep their values; null clears an optional one.
#[derive(Debug, Object)]
#[oai(rename = "ProfileChange", rename_all = "camelCase", example)]
struct UpdateProfileRequest {
    /// The email; unique without regard to case.
    #[oai(validator(max_length = 254))]
    email: Option<types::Email>,
    /// The name: 1 to 45 characters.
    #[oai(validator(min_length = 1, max_length = 45))]
    username: Option<String>,
    /// An international phone number, or null.
    phone_number: Option<String>,
    /// A picture as in a registration, or null.
    image: Option<String>,
    /// The date of birth, from 1900 to today, or null.
    date_birth: Option<NaiveDate>,
    /// `male`, `female` or null.
    gender: Option<user_response::Gender>,
    /// The language of mails, a BCP 47 tag such as `ar-EG`, or null for English.
    #[oai(validator(max_length = 35))]
    language: Option<String>,
    /// The current password. Required with a new `email` where `EMAIL_CHANGE=confirm`, and for staff. Otherwise ignored.
    password: Option<types::Password>,
}

/// The profile after a change.
#[derive(Debug, Object)]
struct ChangedUser {
    #[oai(flatten)]
    user: User,
    /// The new email, while it waits for its confirmation.
    #[oai(rename = "pending_email", skip_serializing_if_is_none)]
    pending_email: Option<types::Email>,
}

#[derive(ApiResponse)]
enum Changed {
    /// The profile.
    #[oai(status = 200)]
    Ok(
        Json<ChangedUser>,
        /// Confirms a new email, together with the code that was sent to it. Absent without a new email.
        #[oai(header = "Email-Confirmation-Token")]
        Option<String>,
    ),
}

impl Example for UpdateProfileRequest {
    fn example() -> Self {
        Self {
            // A user who tries the example keeps the email.
            email: None,
            username: Some("Countess of Lovelace".to_owned()),
            phone_number: Some("+201001234567".to_owned()),
            image: None,
            date_birth: NaiveDate::from_ymd_opt(1990, 2, 28),
            gender: Some(user_response::Gender::Female),
            language: Some("en-GB".to_owned()),
            password: None,
        }
    }
}

/// The calls for the profile of the current user.
pub struct Profile;

#[OpenApi]
impl Profile {
    /// Get your profile
    ///
    /// Profile fields that you have not set are null.
    #[oai(
        path = "/api/user",
        method = "get",
        operation_id = "getUser",
        tag = "Tag::Account"
    )]
    #[expect(
        clippy::unused_async,
        reason = "poem-openapi takes async handlers only"
    )]
    async fn read(
        &self,
        Data(app): Data<&App>,
        ActivatedUser(current): ActivatedUser,
    ) -> Result<Json<User>, ErrorResponses<401, 403>> {
        Ok(Json(User::of(current.user, &app.pictures)))
    }

    /// Update your profile
    ///
    /// A new email takes effect at once, ends every open password reset, and is confirmed by `/auth/confirm_email/`, with the code
    /// that is sent to it and the token from the response header `Email-Confirmation-Token`. Until a day after that, codes for password
    /// resets go to the previous email, which gets a notice. With `EMAIL_CHANGE=confirm`, and for staff in any case, a new email
    /// needs the `password` and takes effect once it is confirmed; until then, the response has it as `pending_email`. An email
    /// that another account has then gets the same response, but no code.
    #[oai(
        path = "/api/user",
        method = "patch",
        operation_id = "changeUser",
        tag = "Tag::Account"
    )]
    async fn change(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
        body: Body<'_, UpdateProfileRequest, WITH_PICTURE>,
    ) -> Result<Changed, ErrorResponses<400, 401, 403, 409, 413, 415, 429>> {
        pictures::check_limit(app, &audit, Some(current.user.id), &body).await?;
        let mut fields = body.read().await?.fields;
        let password = fields.optional::<CurrentPassword>("password");
        let (mut change, upload) = parse(fields, app).await?;
        change.language_chosen = change.language.as_ref().map(Option::is_some);
        let changes_email = email_change::is_new_email(change.email.as_ref(), &current.user);
        if changes_email {
            current.check_second_factor(app)?;
        }
        let pending = pending_email(app, &current, &mut change, password?, &audit).await?;
        if email_change::is_new_email(change.email.as_ref(), &current.user) {
            email_change::count(app, &current.user, &audit).await?;
        }
        change.picture = pictures::store(app, &audit, current.user.id, upload).await?;
        let new = change.picture.clone().flatten();
        let stored = store(app, &current, change, pending.as_ref(), &audit).await;
        let pictures = |it: &Stored| [it.before.picture.clone(), it.after.picture.clone()];
        let outcome = stored.as_ref().map(pictures);
        app.pictures.remove_unreferenced(new, outcome).await;
        let stored = stored?;
        let user = ChangedUser {
            user: User::of(stored.after, &app.pictures),
            pending_email: pending.map(|email| types::Email(email.to_string())),
        };
        let token = stored.token.map(|token| token.expose().to_owned());
        Ok(Changed::Ok(Json(user), token))
    }
}

/// Takes a new email that has to be confirmed out of a change, after it has verified the password. Other changes ignore the password, which
/// clients of the original may send.
async fn pending_email(
    app: &App,
    current: &CurrentUser,
    change: &mut ProfileChange,
    password: Option<CurrentPassword>,
    audit: &AuditContext,
) -> Result<Option<Email>, ApiError> {
    let is_new = email_change::is_new_email(change.email.as_ref(), &current.user);
    if !is_new || !email_change::needs_confirmation(app, &current.user) {
        return Ok(None);
    }
    let required = || Invalid::new("required", "A new email requires the password.");
    let password = password.ok_or_else(|| ApiError::invalid_field("password", required()))?;
    email_change::count(app, &current.user, audit).await?;
    let action = Some(email_change::PASSWORD_CHECK);
    password_change::verify_current(app, current, password, action, audit).await?;
    Ok(change.email.take())
}

/// A stored change of a profile.
struct Stored {
    before: user::Model,
    after: user::Model,
    /// The token of a new email, which the code confirms.
    token: Option<ResetToken>,
}

/// Stores a change. A new email waits for its code if it is `pending`, and otherwise takes effect at once. In both cases the code is
/// mailed to it.
async fn store(
    app: &App,
    current: &CurrentUser,
    change: ProfileChange,
    pending: Option<&Email>,
    audit: &AuditContext,
) -> Result<Stored, ApiError> {
    let transaction = database::begin(&app.db).await?;
    let before = if change.email.is_some() || pending.is_some() {
        current
            .reauthorize_with_second_factor(app, &transaction)
            .await?
    } else {
        current.reauthorize(app, &transaction).await?
    };
    let new = change.email.clone();
    let new = new.filter(|email| email_change::is_new_email(Some(email), &before));
    // The email or the rights of the account may have changed since the head of the request arrived, so that the email was not new
    // then, or needed no confirmation.
    let was_new = email_change::is_new_email(new.as_ref(), &current.user);
    if new.is_some() && (!was_new || email_change::needs_confirmation(app, &before)) {
        return Err(ApiError::EditConflict);
    }
    let current = &CurrentUser {
        user: before.clone(),
        session: current.session.clone(),
    };
    let (mut token, mut mails) = (None, Vec::new());
    if let Some(email) = &new {
        let kind = MailKind::EmailUnconfirmed;
        let notice =
            email_change::before_unconfirmed_change(app, &transaction, &before, email, kind, audit);
        mails.push(notice.await?);
    }
    let after = profile::change(&transaction, before.clone(), change, app.now()).await?;
    if let Some(email) = &new {
        let (_, new_token, mail) =
            email_change::request_code(app, &transaction, after.id, email, audit).await?;
        token = Some(new_token);
        mails.push(mail);
        let event = email_change::immediate_change(current, email, audit);
        app.record_in(&transaction, event).await?;
    }
    if let Some(email) = pending {
        let requested = email_change::request_in(app, &transaction, current, email, audit).await?;
        token = Some(requested.token);
        mails.extend(requested.mails);
    }
    transaction.commit().await?;
    for mail in mails {
        app.outbox.notify_worker(mail).await;
    }
    Ok(Stored {
        before,
        after,
        token,
    })
}

/// Reads the fields of a profile change: `None` where a field is absent. Returns the picture apart, as it is not decoded yet.
pub async fn parse(
    mut fields: Fields,
    app: &App,
) -> Result<(ProfileChange, PictureChange), ApiError> {
    let email = fields.changed::<Email>("email");
    let username = fields.changed::<Username>("username");
    let phone_number = fields.clearable::<PhoneNumber>("phoneNumber");
    let date_birth = fields.date_birth(app.now().date_naive());
    let gender = fields.clearable::<Gender>("gender");
    let language = fields.clearable::<LanguageTag>("language");
    let picture = fields.picture(&app.body_parsers).await?;
    fields.finish()?;
    let change = ProfileChange {
        email: email?,
        email_trusted_from: None,
        username: username?,
        phone_number: phone_number?,
        picture: None,
        date_birth: date_birth?,
        gender: gender?,
        language: language?,
        language_chosen: None,
    };
    Ok((change, picture?))
}

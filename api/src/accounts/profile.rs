//! `GET` and `PATCH /api/user/`: the profile of the current user.

use chrono::NaiveDate;
use latchkey_shared::{
    database::{self, Transaction},
    models::{
        audit::{Event, EventKind, ValueChange},
        mail::MailKind,
        password_reset,
        user::{
            self,
            profile::{self, ProfileChange},
        },
    },
    outbox::QueuedMail,
    types::{
        email::Email, gender::Gender, language_tag::LanguageTag, phone_number::PhoneNumber,
        username::Username,
    },
};
use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    payload::Json,
    types::{self, Example},
};
use sea_orm::DbErr;

use crate::{
    accounts::{
        pictures::{self, PictureChange},
        user_response::{self, User},
    },
    app_state::App,
    auth::bearer::{ActivatedUser, CurrentUser},
    http::{
        audit_context::{AuditContext, with_session},
        body::{Body, WITH_PICTURE, fields::Fields},
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
    rate_limit::Limit,
};

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
    /// A change of the email ends every open password reset and sends a notice to the previous email.
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
    ) -> Result<Json<User>, ErrorResponses<400, 401, 403, 409, 413, 415, 429>> {
        pictures::check_limit(app, &audit, Some(current.user.id), &body).await?;
        let body = body.read().await?;
        let (mut change, upload) = parse(body.fields, app).await?;
        change.language_chosen = change.language.as_ref().map(Option::is_some);
        if is_new_email(change.email.as_ref(), &current.user) {
            let limit = Limit::EmailChange(&current.user);
            app.count_request(&audit, limit).await?;
        }
        change.picture = pictures::store(app, &audit, current.user.id, upload).await?;
        let new = change.picture.clone().flatten();
        let changed = store(app, &current, change, &audit).await;
        let pictures = |(before, after): &(user::Model, user::Model)| {
            [before.picture.clone(), after.picture.clone()]
        };
        let outcome = changed.as_ref().map(pictures);
        app.pictures.remove_unreferenced(new, outcome).await;
        Ok(Json(User::of(changed?.1, &app.pictures)))
    }
}

/// Stores a change. Returns the account before and after it. Audits a new email and notifies the owner at the previous one.
async fn store(
    app: &App,
    current: &CurrentUser,
    change: ProfileChange,
    audit: &AuditContext,
) -> Result<(user::Model, user::Model), ApiError> {
    let transaction = database::begin(&app.db).await?;
    let before = current.reauthorize(app, &transaction).await?;
    let mut notice = None;
    if is_new_email(change.email.as_ref(), &before) {
        notice = Some(before_email_change(app, &transaction, &before, audit).await?);
        let event = audit.own(EventKind::UserUpdated, before.id);
        let mut event = Event {
            detail: Some("e-mail address".to_owned()),
            ..with_session(event, current.session.id)
        };
        event.details.changes.push(ValueChange {
            field: "email".to_owned(),
            before: Some(before.email.to_string()),
            after: change.email.as_ref().map(ToString::to_string),
        });
        app.record_in(&transaction, event).await?;
    }
    let after = profile::change(&transaction, before.clone(), change, app.now()).await?;
    transaction.commit().await?;
    if let Some(notice) = notice {
        app.outbox.notify_worker(notice).await;
    }
    Ok((before, after))
}

/// Whether a change contains an email that differs from the account's, other than in case.
#[must_use]
pub fn is_new_email(email: Option<&Email>, user: &user::Model) -> bool {
    email.is_some_and(|new| new.key() != user.email_key)
}

/// Ends the open password resets of an account and queues the notice to its previous email.
///
/// Must run before the account's email changes (see [`database::lock_no_key_update`]).
pub async fn before_email_change(
    app: &App,
    transaction: &Transaction,
    before: &user::Model,
    audit: &AuditContext,
) -> Result<QueuedMail, DbErr> {
    let (kind, now) = (MailKind::EmailChanged, app.now());
    password_reset::end_all(transaction, before.id, now).await?;
    app.outbox
        .insert_notice(transaction, kind, before, audit.request_id(), now)
        .await
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

//! `GET` and `PATCH /api/user/`

use chrono::NaiveDate;
use latchkey_shared::{
    database::{self, Transaction},
    models::{
        audit::{Event, EventKind},
        mail::MailKind,
        password_reset,
        user::{
            self,
            profile::{self, ProfileChange},
        },
    },
    outbox::QueuedMail,
    types::{email::Email, gender::Gender, phone_number::PhoneNumber, username::Username},
};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, payload::Json, types::Example};
use sea_orm::DbErr;

use crate::http::tag::Tag;
use crate::{
    accounts::{
        pictures::{self, PictureChange},
        user_response::{self, User},
    },
    app_state::App,
    auth::bearer::{ActivatedUser, CurrentUser},
    http::{
        audit_context::{AuditContext, of_session},
        body::{Body, WITH_PICTURE, fields::Fields},
        error::{ApiError, responses::ErrorResponses},
    },
};

/// What changes; what is absent stays, and null clears what need not be there.
#[derive(Debug, Object)]
#[oai(rename = "ProfileChange", rename_all = "camelCase", example)]
struct Wire {
    /// Unique without regard to case.
    #[oai(validator(max_length = 254))]
    email: Option<String>,
    /// 1 to 45 characters.
    #[oai(validator(min_length = 1, max_length = 45))]
    username: Option<String>,
    /// An international number, or null.
    phone_number: Option<String>,
    /// As at registration, or null.
    image: Option<String>,
    /// From 1900 to today, or null.
    date_birth: Option<NaiveDate>,
    /// `male`, `female` or null.
    gender: Option<user_response::Gender>,
}

impl Example for Wire {
    fn example() -> Self {
        Self {
            email: Some("ada@example.com".to_owned()),
            username: Some("Countess of Lovelace".to_owned()),
            phone_number: Some("+201001234567".to_owned()),
            image: None,
            date_birth: NaiveDate::from_ymd_opt(1990, 2, 28),
            gender: Some(user_response::Gender::Female),
        }
    }
}

/// See the module.
pub struct Profile;

#[OpenApi]
impl Profile {
    /// Read the own profile
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

    /// Change the own profile
    ///
    /// A change of the address is told by mail to the one of before, and every open reset of the account ends.
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
        body: Body<'_, Wire, WITH_PICTURE>,
    ) -> Result<Json<User>, ErrorResponses<400, 401, 403, 409, 413, 415, 429>> {
        pictures::check_limit(app, &audit, Some(current.user.id), &body).await?;
        let body = body.read().await?;
        let (mut change, upload) = parse(body.fields, app).await?;
        if is_new(change.email.as_ref(), &current.user) {
            let limit = app.limits.email_change(current.user.id, app.now()).await;
            let mailbox = Some(&current.user.email_key);
            audit
                .audit_if_limited(app, "change of the address", mailbox, limit)
                .await?;
        }
        if let Some(upload) = upload {
            change.picture = Some(match upload {
                Some(upload) => {
                    let picture =
                        pictures::accept(app, &audit, Some(current.user.id), upload).await?;
                    Some(app.pictures.save(picture).await?)
                }
                None => None,
            });
        }
        let new = change.picture.clone();
        let stored = store(app, &current, change, &audit).await;
        // Of the two pictures one is now nobody's: the old one, or after a failure the new one.
        let unused = match &stored {
            Ok(stored) => stored.old_picture.clone(),
            Err(error) => new.flatten().filter(|_| error.is_rolled_back()),
        };
        if let Some(name) = unused {
            app.pictures.remove(&name).await;
        }
        Ok(Json(User::of(stored?.user, &app.pictures)))
    }
}

/// A profile that was changed.
struct Stored {
    user: user::Model,
    /// The picture that it had, if it has another now.
    old_picture: Option<String>,
}

/// A new address is a new way in, so that is noted and its owner told, in the same step.
async fn store(
    app: &App,
    current: &CurrentUser,
    change: ProfileChange,
    audit: &AuditContext,
) -> Result<Stored, ApiError> {
    let transaction = database::begin(&app.db).await?;
    let before = current.reauthorize(app, &transaction).await?;
    let mut notice = None;
    if is_new(change.email.as_ref(), &before) {
        notice = Some(address_changes(app, &transaction, &before, audit).await?);
        let event = Event {
            detail: Some("e-mail address".to_owned()),
            ..of_session(
                audit.own(EventKind::UserUpdated, before.id),
                current.session.id,
            )
        };
        app.record_in(&transaction, event).await?;
    }
    let user = profile::change(&transaction, before.clone(), change, app.now()).await?;
    transaction.commit().await?;
    if let Some(notice) = notice {
        app.outbox.notify_worker(notice).await;
    }
    let old_picture = before
        .picture
        .filter(|old| Some(old) != user.picture.as_ref());
    Ok(Stored { user, old_picture })
}

/// Whether an address is another than the account's.
#[must_use]
pub fn is_new(email: Option<&Email>, user: &user::Model) -> bool {
    email.is_some_and(|new| new.key() != user.email_key)
}

/// Does what goes with a new address: the owner is told at the one of before, and no code that went there opens anything. Before
/// the account has it, see [`database::held`].
///
/// # Errors
/// When the database fails.
pub async fn address_changes(
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

/// What changes of a profile: `None` where nothing was said, and apart the picture, which is not decoded yet.
///
/// # Errors
/// When any field is bad, with all of them.
pub async fn parse(
    mut fields: Fields,
    app: &App,
) -> Result<(ProfileChange, PictureChange), ApiError> {
    let email = fields.changed::<Email>("email");
    let username = fields.changed::<Username>("username");
    let phone_number = fields.clearable::<PhoneNumber>("phoneNumber");
    let date_birth = fields.date_birth(app.now().date_naive());
    let gender = fields.clearable::<Gender>("gender");
    let picture = fields.picture(&app.body_parsers).await?;
    fields.finish()?;
    let change = ProfileChange {
        email: email?,
        username: username?,
        phone_number: phone_number?,
        picture: None,
        date_birth: date_birth?,
        gender: gender?,
    };
    Ok((change, picture?))
}

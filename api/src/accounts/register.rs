//! `POST /api/register/`: creates accounts.

use chrono::NaiveDate;
use latchkey_shared::{
    database,
    models::{
        audit::{Actor, Event, EventKind},
        mail::MailKind,
        password_reset::{self, NewReset, Purpose},
        user::{self, NewUser},
    },
    outbox::NewMail,
    types::email::Email,
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    payload::Json,
    types::{self, Example},
};

use crate::{
    accounts::{
        new_account::{NewAccountData, NewAccountFields},
        pictures::{self, Upload},
        user_response::{self, User},
    },
    app_state::App,
    auth::code_request::CodeRequest,
    config::accounts::Activation,
    http::{
        accept_language::PreferredLanguage,
        audit_context::AuditContext,
        body::{Body, WITH_PICTURE, fields::Fields},
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
    passwords::{NewPassword, Password},
    rate_limit::Limit,
};

/// A registration.
#[derive(Debug, Object)]
#[oai(rename = "Registration", rename_all = "camelCase", example)]
struct RegisterRequest {
    /// The email; unique without regard to case.
    #[oai(validator(max_length = 254))]
    email: types::Email,
    /// The name: 1 to 45 characters, not necessarily unique.
    #[oai(validator(min_length = 1, max_length = 45))]
    username: String,
    /// 8 to 128 characters; neither a common password nor similar to the other members or the service's name.
    #[oai(validator(min_length = 8, max_length = 128))]
    password: types::Password,
    /// An international phone number, such as `+20 100 123 4567`.
    phone_number: Option<String>,
    /// A PNG, JPEG, GIF or WebP picture of at most 5 MiB and 25 megapixels: a file in a multipart body, otherwise a
    /// `data:image/…;base64,` URL. The stored picture has at most 512 by 512 pixels, in sRGB and without metadata: a JPEG, or a
    /// PNG if it has transparency.
    image: Option<String>,
    /// The date of birth, from 1900 to today.
    date_birth: Option<NaiveDate>,
    /// `male`, `female` or null.
    gender: Option<user_response::Gender>,
    /// The language of mails, a BCP 47 tag such as `ar-EG`. By default, the one that `Accept-Language` prefers.
    #[oai(validator(max_length = 35))]
    language: Option<String>,
}

impl Example for RegisterRequest {
    fn example() -> Self {
        Self {
            email: types::Email("ada@example.com".to_owned()),
            username: "Ada Lovelace".to_owned(),
            password: types::Password("velvet harbour lantern".to_owned()),
            phone_number: Some("+201001234567".to_owned()),
            image: None,
            date_birth: NaiveDate::from_ymd_opt(1990, 2, 28),
            gender: Some(user_response::Gender::Female),
            language: Some("en-GB".to_owned()),
        }
    }
}

/// A new account.
#[derive(Debug, Object)]
struct NewAccount {
    #[oai(flatten)]
    user: User,
    /// The token for `/auth/activate/`, which also requires the code from the email, and for `/auth/activate/resend/`. Only with
    /// `ACTIVATION=email`.
    #[oai(rename = "activation_token", skip_serializing_if_is_none)]
    activation_token: Option<String>,
}

#[derive(ApiResponse)]
enum Registered {
    /// The new account.
    #[oai(status = 201)]
    Created(Json<NewAccount>),
}

/// A parsed registration.
struct Form {
    account: NewAccountData,
    password: NewPassword,
    picture: Option<Upload>,
}

/// The call that creates an account.
pub struct Register;

#[OpenApi]
impl Register {
    /// Register
    ///
    /// Creates an account. By default, an administrator must activate it before its owner can log in. The owner gets an email
    /// about the registration and another about the activation. With `ACTIVATION=email`, the first contains a code with
    /// which the owner activates the account.
    #[oai(
        path = "/api/register",
        method = "post",
        operation_id = "register",
        tag = "Tag::Account"
    )]
    async fn register(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        preferred: PreferredLanguage,
        body: Body<'_, RegisterRequest, WITH_PICTURE>,
    ) -> Result<Registered, ErrorResponses<400, 409, 413, 415, 429>> {
        // The limits are checked before the body is read.
        app.count_request(&audit, Limit::Registration).await?;
        pictures::check_limit(app, &audit, None, &body).await?;
        let body = body.read().await?;
        let form = Form::parse(body.fields, app).await?;
        let picture = match form.picture {
            Some(upload) => Some(pictures::accept(app, &audit, None, upload).await?),
            None => None,
        };
        // The file is written last: after it only the database can refuse the registration, and then the file is removed.
        let password_hash = app.hasher.hash(form.password).await?;
        let picture = match picture {
            Some(picture) => Some(app.pictures.save(picture).await?),
            None => None,
        };
        let account = form.account;
        let new = NewUser {
            email: account.email,
            username: account.username,
            password_hash,
            phone_number: account.phone_number,
            picture: picture.clone(),
            date_birth: account.date_birth,
            gender: account.gender,
            language_chosen: account.language.is_some(),
            language: account.language.or(preferred.0),
            is_activated: app.config.accounts.activation == Activation::None,
            pending_email_verification: app.config.accounts.activation == Activation::Email,
            is_superuser: false,
        };
        let result = create_or_refuse(app, new, &audit).await;
        let outcome = result
            .as_ref()
            .map(|(created, _)| [None, picture.clone().filter(|_| *created)]);
        app.pictures.remove_unreferenced(picture, outcome).await;
        Ok(Registered::Created(Json(result?.1)))
    }
}

/// Creates the account unless the email is taken. Returns whether it was created, and the answer. With
/// `REGISTRATION_PRIVACY` a taken email gets the same answer as a new one.
async fn create_or_refuse(
    app: &App,
    new: NewUser,
    audit: &AuditContext,
) -> Result<(bool, NewAccount), ApiError> {
    let email = new.email.clone();
    let announced = app
        .config
        .accounts
        .registration_privacy
        .then(|| User::announced(&new));
    let (code, activation_token) = new
        .pending_email_verification
        .then(|| CodeRequest::new(app, Purpose::Activation, &email, audit))
        .map(|code| ((code.reset, code.mail), code.token.expose().to_owned()))
        .unzip();
    let owner = find_owner(app, &email).await?;
    let created = if owner.is_some() {
        Err(ApiError::EmailTaken)
    } else {
        create(app, new, code.clone(), audit).await
    };
    let (created, user) = match created {
        Ok(user) => (true, Ok(User::of(user, &app.pictures))),
        Err(ApiError::EmailTaken) => {
            refuse(app, &email, owner, code, audit).await?;
            (false, Err(ApiError::EmailTaken))
        }
        Err(error) => return Err(error),
    };
    let user = announced.map_or(user, Ok)?;
    let answer = NewAccount {
        user,
        activation_token,
    };
    Ok((created, answer))
}

/// Looks up the owner of an email before the insert. `REGISTRATION_PRIVACY` requires the look-up for every email, so that a
/// taken one takes as long as a new one. Without it, the insert detects a taken email.
async fn find_owner(app: &App, email: &Email) -> Result<Option<user::Model>, ApiError> {
    if !app.config.accounts.registration_privacy {
        return Ok(None);
    }
    Ok(user::find_by_any_email(&app.db, email, app.now()).await?)
}

/// Audits a registration with a taken email. With `REGISTRATION_PRIVACY` it notifies the owner, as the client learns nothing.
async fn refuse(
    app: &App,
    email: &Email,
    owner: Option<user::Model>,
    code: Option<(NewReset, NewMail)>,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let owner = match owner {
        Some(owner) => Some(owner),
        // Without privacy, or after a concurrent registration.
        None => user::find_by_any_email(&app.db, email, app.now()).await?,
    };
    let event = Event {
        user_id: owner.as_ref().map(|owner| owner.id),
        subject: Some(app.audit_subject(&email.key())),
        ..audit.anonymous(EventKind::UserCreateFail)
    };
    let is_private = app.config.accounts.registration_privacy;
    let notice = owner.filter(|_| is_private).map(|owner| {
        let (kind, now) = (MailKind::AddressTaken, app.now());
        let notice = app
            .outbox
            .notice(kind, owner.spelling_of(email), audit.request_id(), now)
            .with_customer_network(audit.client_ip.customer_network());
        notice.about(owner.id)
    });
    let transaction = database::begin(&app.db).await?;
    if is_private {
        // The check that follows the insert of a new account, for the same response time.
        let id = event.user_id.unwrap_or_default();
        user::is_reserved(&transaction, &email.key(), id, app.now()).await?;
    }
    // With `REGISTRATION_PRIVACY` the answer contains the token of this code. The code is never mailed.
    if let Some((code, _)) = code.filter(|_| is_private) {
        password_reset::insert(&transaction, code).await?;
    }
    let mail = match notice {
        Some(notice) => Some(notice.insert(&transaction).await?),
        None => None,
    };
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    if let Some(mail) = mail {
        app.outbox.notify_worker(mail).await;
    }
    tracing::info!("Registration refused: the email is taken");
    Ok(())
}

/// Creates the account and queues the mail about it in one transaction.
async fn create(
    app: &App,
    new: NewUser,
    code: Option<(NewReset, NewMail)>,
    audit: &AuditContext,
) -> Result<user::Model, ApiError> {
    let now = app.now();
    let kind = if new.is_activated {
        MailKind::Activated
    } else {
        MailKind::Welcome
    };
    let (code, code_mail) = code.unzip();
    let notice = |kind| {
        let notice = app.outbox.notice(kind, &new.email, audit.request_id(), now);
        notice.with_customer_network(audit.client_ip.customer_network())
    };
    let mail = code_mail.unwrap_or_else(|| notice(kind));
    let transaction = database::begin(&app.db).await?;
    let user = user::insert(&transaction, new, now).await?;
    if let Some(mut code) = code {
        code.user_id = Some(user.id);
        password_reset::insert(&transaction, code).await?;
    }
    let mail = mail.about(user.id).insert(&transaction).await?;
    let event = Event {
        actor: Actor::User(user.id),
        user_id: Some(user.id),
        ..audit.anonymous(EventKind::UserCreated)
    };
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::info!(user.id, "User registered");
    Ok(user)
}

impl Form {
    async fn parse(mut fields: Fields, app: &App) -> Result<Self, ApiError> {
        let today = app.now().date_naive();
        let (account, password) = NewAccountFields::read(&mut fields, today, |fields| {
            fields.required::<Password>("password")
        });
        let picture = fields.picture(&app.body_parsers).await?;
        let password = fields
            .judge_password("password", password, &app.passwords, account.owner())
            .await?;
        fields.finish()?;
        Ok(Self {
            account: account.finish()?,
            password: password?,
            picture: picture?.flatten(),
        })
    }
}

//! `POST /api/register/`

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
    types::{email::Email, gender::Gender, phone_number::PhoneNumber, username::Username},
};
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json, types::Example};

use crate::http::tag::Tag;
use crate::{
    accounts::{
        pictures::{self, Upload},
        user_response::{self, User},
    },
    app_state::App,
    auth::one_time_code::CodeRequest,
    config::Activation,
    http::{
        audit_context::AuditContext,
        body::{Body, WITH_PICTURE, fields::Fields},
        error::{ApiError, responses::ErrorResponses},
    },
    passwords::{NewPassword, Owner, Password},
};

/// What a new account needs, and may have.
#[derive(Debug, Object)]
#[oai(rename = "Registration", rename_all = "camelCase", example)]
struct Wire {
    /// Where mails go; unique without regard to case.
    #[oai(validator(max_length = 254))]
    email: String,
    /// 1 to 45 characters; need not be unique.
    #[oai(validator(min_length = 1, max_length = 45))]
    username: String,
    /// 8 to 128 characters; no common one, and none like the rest of this form or the name of the service.
    #[oai(validator(min_length = 8, max_length = 128))]
    password: String,
    /// An international number, such as `+20 100 123 4567`.
    phone_number: Option<String>,
    /// PNG, JPEG, GIF or WebP, at most 5 MiB and 25 megapixels: a file in a multipart body, a `data:image/…;base64,` URL
    /// in any other. It is stored as an avatar: scaled down to 512 by 512 pixels, in sRGB, without metadata, as JPEG, or as PNG
    /// when something of it is transparent.
    image: Option<String>,
    /// From 1900 to today.
    date_birth: Option<NaiveDate>,
    /// `male`, `female` or null.
    gender: Option<user_response::Gender>,
}

impl Example for Wire {
    fn example() -> Self {
        Self {
            email: "ada@example.com".to_owned(),
            username: "Ada Lovelace".to_owned(),
            password: "velvet harbour lantern".to_owned(),
            phone_number: Some("+201001234567".to_owned()),
            image: None,
            date_birth: NaiveDate::from_ymd_opt(1990, 2, 28),
            gender: Some(user_response::Gender::Female),
        }
    }
}

/// A new account.
#[derive(Debug, Object)]
struct NewAccount {
    #[oai(flatten)]
    user: User,
    /// With `ACTIVATION=email`, and not there otherwise: what `/auth/activate/` wants beside the code that is mailed.
    #[oai(rename = "activation_token", skip_serializing_if_is_none)]
    activation_token: Option<String>,
}

#[derive(ApiResponse)]
enum Registered {
    /// The new account.
    #[oai(status = 201)]
    Created(Json<NewAccount>),
}

/// The parsed form.
struct Form {
    email: Email,
    username: Username,
    password: NewPassword,
    phone_number: Option<PhoneNumber>,
    picture: Option<Upload>,
    date_birth: Option<NaiveDate>,
    gender: Option<Gender>,
}

/// See the module.
pub struct Register;

#[OpenApi]
impl Register {
    /// Register
    ///
    /// Makes an account. Unless configured otherwise an administrator has to activate it before its owner can log in; a
    /// mail tells the owner both times. With `ACTIVATION=email` the mail carries a code instead, by which the owner does it.
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
        body: Body<'_, Wire, WITH_PICTURE>,
    ) -> Result<Registered, ErrorResponses<400, 409, 413, 415, 429>> {
        // Before the body is read.
        let limit = app.limits.registration(audit.client_ip, app.now()).await;
        audit
            .audit_if_limited(app, "registration", None, limit)
            .await?;
        pictures::check_limit(app, &audit, None, &body).await?;
        let body = body.read().await?;
        let form = Form::parse(body.fields, app).await?;
        let picture = match form.picture {
            Some(upload) => Some(pictures::accept(app, &audit, None, upload).await?),
            None => None,
        };
        // Before the picture is stored: past this nothing turns the form away but the database, which is handled below.
        let password_hash = app.hasher.hash(form.password).await?;
        let picture = match picture {
            Some(picture) => Some(app.pictures.save(picture).await?),
            None => None,
        };
        let new = NewUser {
            email: form.email,
            username: form.username,
            password_hash,
            phone_number: form.phone_number,
            picture: picture.clone(),
            date_birth: form.date_birth,
            gender: form.gender,
            is_activated: app.config.activation == Activation::None,
            pending_email_verification: app.config.activation == Activation::Email,
            is_superuser: false,
        };
        let entered = enter(app, new, &audit).await;
        let is_unused = match &entered {
            Ok((made, _)) => !made,
            Err(error) => error.is_rolled_back(),
        };
        if let Some(picture) = picture.filter(|_| is_unused) {
            app.pictures.remove(&picture).await;
        }
        Ok(Registered::Created(Json(entered?.1)))
    }
}

/// Makes an account or refuses to: whether it was made, and the answer, which with `REGISTRATION_PRIVACY` is the same for
/// both.
async fn enter(
    app: &App,
    new: NewUser,
    audit: &AuditContext,
) -> Result<(bool, NewAccount), ApiError> {
    let email = new.email.clone();
    let announced = app
        .config
        .registration_privacy
        .then(|| User::announced(&new));
    let (code, activation_token) = new
        .pending_email_verification
        .then(|| CodeRequest::new(app, Purpose::Activation, &email, audit))
        .map(|code| (code.written, code.token.expose().to_owned()))
        .unzip();
    let owner = find_owner(app, &email).await?;
    let created = if owner.is_some() {
        Err(ApiError::EmailTaken)
    } else {
        create(app, new, code.clone(), audit).await
    };
    let (made, own) = match created {
        Ok(user) => (true, Ok(User::of(user, &app.pictures))),
        Err(ApiError::EmailTaken) => {
            refuse(app, &email, owner, code, audit).await?;
            (false, Err(ApiError::EmailTaken))
        }
        Err(error) => return Err(error),
    };
    let user = announced.map_or(own, Ok)?;
    let answer = NewAccount {
        user,
        activation_token,
    };
    Ok((made, answer))
}

/// Looks the owner of an address up before its account is created. Without `REGISTRATION_PRIVACY` the database says whether there
/// is one. With it every address is looked up, so that a taken one costs what a new one does.
async fn find_owner(app: &App, email: &Email) -> Result<Option<user::Model>, ApiError> {
    if !app.config.registration_privacy {
        return Ok(None);
    }
    Ok(user::find_by_email(&app.db, email).await?)
}

/// Notes that somebody has the address already. With `REGISTRATION_PRIVACY` the owner is told, as whoever asked is not.
async fn refuse(
    app: &App,
    email: &Email,
    owner: Option<user::Model>,
    code: Option<(NewReset, NewMail)>,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let owner = match owner {
        Some(owner) => Some(owner),
        // Without privacy, or when somebody else registered at the same moment.
        None => user::find_by_email(&app.db, email).await?,
    };
    let event = Event {
        user_id: owner.as_ref().map(|owner| owner.id),
        subject: Some(app.subject(email)),
        ..audit.anonymous(EventKind::UserCreateFail)
    };
    let is_private = app.config.registration_privacy;
    let notice = owner.filter(|_| is_private).map(|owner| {
        let (kind, now) = (MailKind::AddressTaken, app.now());
        let notice = app
            .outbox
            .notice(kind, &owner.email, audit.request_id(), now)
            .with_client_network(audit.client_ip.network());
        notice.about(owner.id)
    });
    let transaction = database::begin(&app.db).await?;
    // With `REGISTRATION_PRIVACY` the answer contains the token of this code, which is never mailed.
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

/// The account with the mail about it, both or neither.
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
    let (code, coded) = code.unzip();
    let notice = |kind| {
        let notice = app.outbox.notice(kind, &new.email, audit.request_id(), now);
        notice.with_client_network(audit.client_ip.network())
    };
    let mail = coded.unwrap_or_else(|| notice(kind));
    let transaction = database::begin(&app.db).await?;
    let user = user::insert(&transaction, new, now).await?;
    if let Some(code) = code {
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
        let email = fields.required::<Email>("email");
        let username = fields.required::<Username>("username");
        let password = fields.required::<Password>("password");
        let phone_number = fields.optional::<PhoneNumber>("phoneNumber");
        let date_birth = fields.date_birth(app.now().date_naive());
        let gender = fields.optional::<Gender>("gender");
        let picture = fields.picture(&app.body_parsers).await?;
        let owner = match (&email, &username) {
            (Ok(email), Ok(username)) => Some(Owner {
                email,
                username,
                phone_number: phone_number.as_ref().ok().and_then(Option::as_ref),
                date_birth: date_birth.as_ref().ok().copied().flatten().flatten(),
            }),
            _ => None,
        };
        let password = fields
            .judge_password("password", password, &app.passwords, owner)
            .await?;
        fields.finish()?;
        Ok(Self {
            email: email?,
            username: username?,
            password: password?,
            phone_number: phone_number?,
            picture: picture?.flatten(),
            date_birth: date_birth?.flatten(),
            gender: gender?,
        })
    }
}

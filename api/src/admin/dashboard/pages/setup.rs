//! `/admin/setup/{token}/`: creates the first administrator. While no superuser exists, the API logs a link to this page at its
//! start. The link works once.

use std::{sync::atomic::Ordering, time::Duration};

use askama::Template;
use fred::{
    interfaces::KeysInterface as _,
    types::{Expiration, SetOptions},
};
use latchkey_shared::{
    database,
    models::{
        audit::{Event, EventKind},
        user::{self, NewUser, staff},
    },
    types::{email::Email, username::Username, validation_error::Invalid},
};
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Path},
};
use sea_orm::DbErr;
use tokio::time::sleep;

use crate::admin::dashboard::{
    context::View, csrf::Form, form_state::FormState, redirect::redirect_with_flash,
};
use crate::{
    app_state::App,
    auth::jwt::ResetToken,
    http::{audit_context::AuditContext, error::ApiError},
    passwords::{NewPassword, Owner, Password},
};

/// The lifetime of a link, in seconds. Within this time, all replicas log the same link.
const LINK_SECONDS: i64 = 86_400;

#[derive(Template)]
#[template(path = "admin/setup.html")]
struct Page {
    v: View,
    title: &'static str,
    token: String,
    form: FormState,
}

/// The interval of attempts to store a link while Redis fails.
const RETRY_PERIOD: Duration = Duration::from_secs(3);

/// Logs the link, unless a superuser exists. While Redis fails, tries again in the background.
///
/// # Errors
/// When the database fails.
pub async fn announce(app: &App) -> Result<(), DbErr> {
    if staff::has_superuser(&app.db).await? {
        return Ok(());
    }
    if let Err(error) = log_link(app).await {
        tracing::warn!(
            %error,
            "No superuser exists, and the link to create one cannot be stored yet; it follows when Redis works"
        );
        tokio::spawn(announce_later(app.clone()));
    }
    Ok(())
}

async fn announce_later(app: App) {
    while !app.stopping.load(Ordering::Relaxed) {
        sleep(RETRY_PERIOD).await;
        let announced = match staff::has_superuser(&app.db).await {
            Ok(false) => log_link(&app).await,
            checked => checked.map(|_| ()).map_err(ApiError::from),
        };
        match announced {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "Setup link not stored yet"),
        }
    }
}

/// Stores the nonce of a link and logs the link.
async fn log_link(app: &App) -> Result<(), ApiError> {
    let key = key(app);
    let new = ResetToken::generate();
    let expire = Some(Expiration::EX(LINK_SECONDS));
    let _: Option<String> = app
        .redis
        .set(&key, new.expose(), expire, Some(SetOptions::NX), false)
        .await?;
    let nonce: Option<String> = app.redis.get(&key).await?;
    let Some(nonce) = nonce else { return Ok(()) };
    // The token is an HMAC of the nonce, so read access to Redis is not enough to compute the link.
    let link = format!(
        "{}/admin/setup/{}/",
        app.config.common.public_url.as_str().trim_end_matches('/'),
        app.token_hasher.setup_token(&nonce)
    );
    tracing::warn!(
        %link,
        "No superuser exists. Create the first one with this link, which works once and expires in 24 hours."
    );
    Ok(())
}

/// Shows the form.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    view: View,
    Path(token): Path<String>,
) -> poem::Result<Response> {
    check(app, &token).await?;
    view.page(
        StatusCode::OK,
        &Page::new(&view, token, FormState::default()),
    )
}

/// Creates the account.
#[handler]
pub async fn create(
    Data(app): Data<&App>,
    view: View,
    audit: AuditContext,
    Path(token): Path<String>,
    form: Form,
) -> poem::Result<Response> {
    check(app, &token).await?;
    let entered = FormState::from_form(&form, &["email", "username"]);
    match store(app, form, &audit).await {
        Ok(()) => {
            let () = app.redis.del(key(app)).await.map_err(ApiError::from)?;
            Ok(redirect_with_flash(app, "/admin/login/", "set_up", 1))
        }
        Err(error @ (ApiError::InvalidInput(_) | ApiError::EmailTaken)) => {
            let status = error.problem_type().status;
            let form = entered.with_error(view.t, &error);
            view.page(status, &Page::new(&view, token, form))
        }
        Err(error) => Err(error.into()),
    }
}

/// Fails with a 404 if the token is not valid or a superuser exists.
async fn check(app: &App, token: &str) -> Result<(), ApiError> {
    let nonce: Option<String> = app.redis.get(key(app)).await?;
    let is_valid = nonce.is_some_and(|nonce| app.token_hasher.is_setup_token(&nonce, token));
    if is_valid && !staff::has_superuser(&app.db).await? {
        Ok(())
    } else {
        Err(ApiError::NotFound)
    }
}

async fn store(app: &App, form: Form, audit: &AuditContext) -> Result<(), ApiError> {
    let (email, username, password) = parse(app, form).await?;
    let hash = app.hasher.hash(password).await?;
    let new = NewUser::superuser(email, username, hash);
    let transaction = database::begin(&app.db).await?;
    let user = user::insert(&transaction, new, app.now()).await?;
    let event = Event {
        detail: Some("administrator, by the setup link".to_owned()),
        ..audit.own(EventKind::UserCreated, user.id)
    };
    app.record_in(&transaction, event).await?;
    // Appending to the audit log serializes transactions, so of two concurrent ones the second sees both accounts.
    if staff::count_superusers(&transaction).await? > 1 {
        return Err(ApiError::NotFound);
    }
    transaction.commit().await?;
    tracing::info!(user.id, "First administrator created");
    Ok(())
}

async fn parse(app: &App, form: Form) -> Result<(Email, Username, NewPassword), ApiError> {
    let matches = form.text("password") == form.text("password_again");
    let mut fields = form.into_fields();
    let email = fields.required::<Email>("email");
    let username = fields.required::<Username>("username");
    let password = fields.required::<Password>("password");
    if !matches {
        fields.add_error("password_again", passwords_differ());
    }
    let owner = match (&email, &username) {
        (Ok(email), Ok(username)) => Some(Owner {
            email,
            username,
            phone_number: None,
            date_birth: None,
        }),
        _ => None,
    };
    let password = fields
        .judge_password("password", password, &app.passwords, owner)
        .await?;
    fields.finish()?;
    Ok((email?, username?, password?))
}

/// The error of a password confirmation that does not match.
pub(super) fn passwords_differ() -> Invalid {
    Invalid::new("differ", "The passwords do not match.")
}

fn key(app: &App) -> String {
    format!("{}:admin:setup", app.config.common.redis_namespace)
}

impl Page {
    fn new(view: &View, token: String, form: FormState) -> Self {
        Self {
            title: view.t.setup,
            v: view.clone(),
            token,
            form,
        }
    }
}

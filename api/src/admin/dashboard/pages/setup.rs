//! The first administrator: as long as there is none, the API writes a link into its log at its start. Whoever can read
//! the log may make that account, once.

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

use crate::admin::dashboard::{
    context::{View, back},
    csrf::Form,
    form_state::FormState,
    session::redis,
};
use crate::{
    app_state::App,
    auth::jwt::ResetToken,
    http::{audit_context::AuditContext, error::ApiError},
    passwords::{NewPassword, Owner, Password},
};

/// How long a link counts, in seconds. All replicas write the same one; a start after that writes a new one.
const LINK_SECONDS: i64 = 86_400;

#[derive(Template)]
#[template(path = "admin/setup.html")]
struct Page {
    v: View,
    title: &'static str,
    token: String,
    form: FormState,
}

/// Writes the link into the log, unless somebody can administer this installation already.
///
/// # Errors
/// When Redis or the database fails.
pub async fn announce(app: &App) -> Result<(), ApiError> {
    if staff::has_superuser(&app.db).await? {
        return Ok(());
    }
    let key = key(app);
    let _: Option<String> = app
        .redis
        .set(
            &key,
            ResetToken::generate().expose(),
            Some(Expiration::EX(LINK_SECONDS)),
            Some(SetOptions::NX),
            false,
        )
        .await
        .map_err(|error| redis(&error))?;
    let Some(nonce): Option<String> = app.redis.get(&key).await.map_err(|error| redis(&error))?
    else {
        return Ok(());
    };
    // The link opens nothing without the key that it is made with, which is not in Redis.
    let link = format!(
        "{}/admin/setup/{}/",
        app.config.common.public_url.as_str().trim_end_matches('/'),
        app.token_hasher.setup_token(&nonce)
    );
    tracing::warn!(
        %link,
        "Nobody can administer this installation yet. This link makes the first administrator; it works once, for a day."
    );
    Ok(())
}

/// The form.
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

/// Makes the account.
#[handler]
pub async fn make(
    Data(app): Data<&App>,
    view: View,
    trail: AuditContext,
    Path(token): Path<String>,
    form: Form,
) -> poem::Result<Response> {
    check(app, &token).await?;
    let again = FormState::again(&form, &["email", "username"]);
    match store(app, form, &trail).await {
        Ok(()) => {
            let () = app
                .redis
                .del(key(app))
                .await
                .map_err(|error| redis(&error))?;
            Ok(back(app, "/admin/login/", "set_up", 1))
        }
        Err(error @ (ApiError::InvalidInput(_) | ApiError::EmailTaken)) => {
            let status = error.kind().status;
            let form = again.refused(view.t, &error);
            view.page(status, &Page::new(&view, token, form))
        }
        Err(error) => Err(error.into()),
    }
}

async fn check(app: &App, token: &str) -> Result<(), ApiError> {
    let nonce: Option<String> = app
        .redis
        .get(key(app))
        .await
        .map_err(|error| redis(&error))?;
    let right = nonce.is_some_and(|nonce| app.token_hasher.is_setup_token(&nonce, token));
    if right && !staff::has_superuser(&app.db).await? {
        Ok(())
    } else {
        Err(ApiError::NotFound)
    }
}

async fn store(app: &App, form: Form, trail: &AuditContext) -> Result<(), ApiError> {
    let (email, username, password) = parse(app, form).await?;
    let hash = app.hasher.hash(password).await?;
    let new = NewUser::superuser(email, username, hash);
    let transaction = database::begin(&app.db).await?;
    let user = user::insert(&transaction, new, app.now()).await?;
    let event = Event {
        detail: Some("administrator, by the set-up link".to_owned()),
        ..trail.own(EventKind::UserCreated, user.id)
    };
    app.record_in(&transaction, event).await?;
    // The audit log takes one at a time, so of two who follow the link at once the second counts both.
    if staff::superusers(&transaction).await? > 1 {
        return Err(ApiError::NotFound);
    }
    transaction.commit().await?;
    tracing::info!(user.id, "The first administrator was made.");
    Ok(())
}

async fn parse(app: &App, form: Form) -> Result<(Email, Username, NewPassword), ApiError> {
    let same = form.text("password") == form.text("password_again");
    let mut fields = form.into_fields();
    let email = fields.required::<Email>("email");
    let username = fields.required::<Username>("username");
    let password = fields.required::<Password>("password");
    if !same {
        fields.note("password_again", differ());
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

/// A password and its repetition that are not the same.
pub(super) fn differ() -> Invalid {
    Invalid::new("differ", "The two passwords differ.")
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

//! Actions on API tokens: list, create, revoke. They need a session: an API token cannot manage tokens.

use chrono::TimeDelta;
use latchkey_shared::{
    database::{self, Transaction},
    models::{
        api_token::{self, Model},
        audit::Event,
        mail::MailKind,
        user,
    },
    types::{api_token_name::ApiTokenName, permission::Permissions, validation_error::Invalid},
};
use uuid::Uuid;

use crate::admin::{
    actions::{commit, describe_flags},
    permissions::{Admin, AnyStaff, Permit},
};
use crate::{
    app_state::App, auth::api_token::ApiToken, auth::password_change, http::error::ApiError,
    passwords::CurrentPassword,
};

/// The maximum number of live tokens of an account.
pub const MAX_LIVE: usize = 20;

/// The days after which a new token expires, to choose from.
pub const LIFETIMES: [i64; 3] = [30, 90, 365];

/// The chosen values of a new token.
#[derive(Debug)]
pub struct NewToken {
    /// The name, which no other live token of the account has.
    pub name: ApiTokenName,
    /// The permissions, of those that the account has.
    pub permissions: Permissions,
    /// The time until the token expires.
    pub lifetime: TimeDelta,
}

/// Returns the tokens that the staff member may see with their owners, the newest first: their own, or with a superuser's session
/// those of all accounts.
pub async fn list(
    app: &App,
    admin: &Permit<AnyStaff>,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<(Model, user::Model)>, ApiError> {
    let of_account = (!admin.is_superuser()).then_some(admin.user.id);
    Ok(api_token::list(&app.db, of_account, before, limit).await?)
}

/// Finds a live token that the staff member may revoke.
pub async fn find_revocable(app: &App, admin: &Admin, id: Uuid) -> Result<Model, ApiError> {
    let found = api_token::find(&app.db, id).await?;
    found
        .filter(|token| can_revoke(admin, token) && token.is_live(app.now()))
        .ok_or(ApiError::NotFound)
}

/// Creates a token for the own account, and mails the owner. Requires the password, so that a stolen session is not enough. The
/// returned text is stored nowhere.
pub async fn create(
    app: &App,
    admin: &Permit<AnyStaff>,
    new: NewToken,
    password: CurrentPassword,
) -> Result<(Model, ApiToken), ApiError> {
    let me = admin.current_user()?;
    let action = Some("API token");
    password_change::verify_current(app, &me, password, action, &admin.audit).await?;
    let transaction = database::begin(&app.db).await?;
    // Locks the account, so that concurrent requests cannot exceed the maximum.
    let owner = me.reauthorize(app, &transaction).await?;
    let current = admin.reauthorize(app, &transaction).await?;
    check(app, &transaction, &current, &new).await?;
    let (token, text) = build(app, owner.id, new);
    api_token::insert(&transaction, token.clone()).await?;
    let (kind, request) = (MailKind::ApiTokenCreated, admin.audit.request_id());
    let mail = app
        .outbox
        .owner_notice(kind, &owner, request, app.now())
        .about_api_token(token.name.clone());
    let mail = mail.insert(&transaction).await?;
    let changes = format!(
        "permissions: - → [{}]\nexpires: - → {}",
        token.permissions,
        token.expires_at.to_rfc3339()
    );
    let event = Event {
        changes: Some(changes),
        ..event(admin, &owner, &token, "created")
    };
    commit(app, transaction, vec![event], vec![mail]).await?;
    tracing::info!(user.id = owner.id, api_token.id = %token.id, "API token created");
    Ok((token, text))
}

/// Checks a new token against the permissions and the live tokens of the account.
async fn check(
    app: &App,
    transaction: &Transaction,
    admin: &Admin,
    new: &NewToken,
) -> Result<(), ApiError> {
    if !new.permissions.iter().all(|it| admin.has_permission(it)) {
        let detail = "Choose from the permissions that your account has.";
        let invalid = Invalid::new("choice", detail);
        return Err(ApiError::invalid_field("permissions", invalid));
    }
    let live = api_token::list_live(transaction, admin.user.id, app.now()).await?;
    let refused = if live.len() >= MAX_LIVE {
        let detail = format!("Your account has {MAX_LIVE} API tokens. Revoke one first.");
        Invalid::new("too_many_tokens", detail)
    } else if live.iter().any(|token| token.name == new.name) {
        let detail = "Another of your API tokens has this name.";
        Invalid::new("token_name_taken", detail)
    } else {
        return Ok(());
    };
    Err(ApiError::invalid_field("name", refused))
}

fn build(app: &App, user_id: i64, new: NewToken) -> (Model, ApiToken) {
    let (text, now) = (ApiToken::generate(), app.now());
    let token = Model {
        id: Uuid::now_v7(),
        user_id,
        name: new.name,
        token_hash: text.hash(&app.token_hasher),
        permissions: new.permissions,
        created_at: now,
        expires_at: now + new.lifetime,
        last_used_at: None,
        revoked_at: None,
    };
    (token, text)
}

/// Revokes a live token: an own one, or with a superuser's session that of any account.
pub async fn revoke(app: &App, admin: &Permit<AnyStaff>, id: Uuid) -> Result<(), ApiError> {
    let transaction = database::begin(&app.db).await?;
    let current = admin.reauthorize(app, &transaction).await?;
    let token = api_token::find(&transaction, id).await?;
    let token = token.filter(|token| can_revoke(&current, token));
    let token = token.ok_or(ApiError::NotFound)?;
    let owner = user::find(&transaction, token.user_id).await?;
    let owner = owner.ok_or(ApiError::NotFound)?;
    if !api_token::revoke(&transaction, id, app.now()).await? {
        return Err(ApiError::InvalidState(
            "The token has been revoked or has expired already.",
        ));
    }
    let event = Event {
        changes: Some(describe_flags(&[("revoked", false, true)])),
        ..event(admin, &owner, &token, "revoked")
    };
    commit(app, transaction, vec![event], Vec::new()).await?;
    tracing::info!(user.id = owner.id, api_token.id = %token.id, "API token revoked");
    Ok(())
}

fn can_revoke(admin: &Admin, token: &Model) -> bool {
    admin.is_superuser() || token.user_id == admin.user.id
}

/// Returns the audit event of an action on a token.
fn event(admin: &Admin, owner: &user::Model, token: &Model, action: &str) -> Event {
    let mut event = admin.audit_event_about(owner, &format!("token {} {action}", token.id));
    event.details.api_token_name = Some(token.name.to_string());
    event
}

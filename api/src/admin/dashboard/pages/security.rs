//! `/admin/account/security/`: the administrator's own second factors and sessions.

use askama::Template;
use chrono::{DateTime, Utc};
use latchkey_shared::models::{recovery_code, session, totp_secret};
use poem::{Response, Route, get, handler, http::StatusCode, web::Data};
use uuid::Uuid;

use crate::admin::{
    dashboard::{
        context::View,
        csrf::Form,
        current_admin::CurrentAdmin,
        form_state::FormState,
        redirect::{SECURITY_PAGE, redirect_with_flash},
    },
    permissions::{Admin, EnrollingStaff, Permit},
};
use crate::{
    app_state::App,
    auth::{
        one_time_code::TypedCode,
        second_factor::{
            recovery_codes_api,
            totp_api::{self, NewTotp},
        },
        sessions,
    },
    config::sessions::AdminSecondFactor,
    http::error::ApiError,
    passwords::CurrentPassword,
};

#[derive(Template)]
#[template(path = "admin/security.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    form: FormState,
    /// Whether `ADMIN_SECOND_FACTOR=required`, and the account has none.
    is_missing: bool,
    /// Since when the authenticator app is a second factor.
    totp_since: Option<DateTime<Utc>>,
    codes_left: u64,
    /// A new secret that waits for its first code.
    pending: Option<NewTotp>,
    /// New recovery codes, which are shown only now.
    recovery_codes: Vec<String>,
    sessions: Vec<session::Model>,
    current: Uuid,
}

/// Returns the routes of the page and its forms.
#[must_use]
pub fn routes() -> Route {
    Route::new()
        .at("/", get(show))
        .at("/totp", get(show).post(create_totp))
        .at("/totp/confirm", get(show).post(confirm_totp))
        .at("/totp/disable", get(show).post(disable_totp))
        .at("/recovery-codes", get(show).post(replace_codes))
        .at("/sessions", get(show).post(end_session))
}

/// Shows the page.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<EnrollingStaff>,
    view: View,
) -> poem::Result<Response> {
    let page = Page::load(app, &admin, &view, FormState::default()).await?;
    view.page(StatusCode::OK, &page)
}

/// Creates a secret, and shows it with the form for its first code.
#[handler]
pub async fn create_totp(
    Data(app): Data<&App>,
    admin: Permit<EnrollingStaff>,
    view: View,
    form: Form,
) -> poem::Result<Response> {
    let created = async {
        let password = read_password(form)?;
        let current = admin.current_user()?;
        current.check_second_factor(app)?;
        totp_api::create(app, &current, password, &admin.audit).await
    };
    match created.await {
        Ok(totp) => {
            let mut page = Page::load(app, &admin, &view, FormState::default()).await?;
            page.pending = Some(totp);
            view.page(StatusCode::OK, &page)
        }
        Err(error) => show_error(app, &admin, &view, error).await,
    }
}

/// Makes the app a second factor, and shows the recovery codes.
#[handler]
pub async fn confirm_totp(
    Data(app): Data<&App>,
    admin: Permit<EnrollingStaff>,
    view: View,
    form: Form,
) -> poem::Result<Response> {
    let current = admin.current_user()?;
    let (code, end_others) = (
        TypedCode::Text(form.text("code")),
        form.is_checked("end_other_sessions"),
    );
    match totp_api::confirm(app, &current, &code, end_others, &admin.audit).await {
        Ok(codes) => show_codes(app, &admin, &view, codes).await,
        Err(error @ ApiError::InvalidSecondFactor(_)) => {
            let form = FormState::default().with_error(view.t, &error);
            let mut page = Page::load(app, &admin, &view, form).await?;
            page.pending = totp_api::pending(app, &admin.user).await?;
            view.page_with_error(error, &page)
        }
        Err(error) => show_error(app, &admin, &view, error).await,
    }
}

/// Removes the second factor.
#[handler]
pub async fn disable_totp(
    Data(app): Data<&App>,
    admin: Permit<EnrollingStaff>,
    view: View,
    form: Form,
) -> poem::Result<Response> {
    let disabled = async {
        let password = read_password(form)?;
        let current = admin.current_user()?;
        current.check_second_factor(app)?;
        totp_api::disable(app, &current, password, &admin.audit).await
    };
    match disabled.await {
        Ok(()) => Ok(redirect_with_flash(app, SECURITY_PAGE, "factor_removed", 1)),
        Err(error) => show_error(app, &admin, &view, error).await,
    }
}

/// Replaces the recovery codes, and shows the new ones.
#[handler]
pub async fn replace_codes(
    Data(app): Data<&App>,
    admin: Permit<EnrollingStaff>,
    view: View,
    form: Form,
) -> poem::Result<Response> {
    let replaced = async {
        let password = read_password(form)?;
        let current = admin.current_user()?;
        current.check_second_factor(app)?;
        recovery_codes_api::replace(app, &current, password, &admin.audit).await
    };
    match replaced.await {
        Ok(codes) => show_codes(app, &admin, &view, codes).await,
        Err(error) => show_error(app, &admin, &view, error).await,
    }
}

/// Ends another session of the account.
#[handler]
pub async fn end_session(
    Data(app): Data<&App>,
    admin: Permit<EnrollingStaff>,
    form: Form,
) -> poem::Result<Response> {
    let id = form
        .text("session")
        .parse()
        .map_err(|_| ApiError::NotFound)?;
    sessions::end(app, &admin.current_user()?, id, &admin.audit).await?;
    Ok(redirect_with_flash(app, SECURITY_PAGE, "session_ended", 1))
}

fn read_password(form: Form) -> Result<CurrentPassword, ApiError> {
    let mut fields = form.into_fields();
    let password = fields.required::<CurrentPassword>("password");
    fields.finish()?;
    Ok(password?)
}

async fn show_codes(
    app: &App,
    admin: &Permit<EnrollingStaff>,
    view: &View,
    codes: Vec<String>,
) -> poem::Result<Response> {
    let mut page = Page::load(app, admin, view, FormState::default()).await?;
    page.recovery_codes = codes;
    view.page(StatusCode::OK, &page)
}

async fn show_error(
    app: &App,
    admin: &Permit<EnrollingStaff>,
    view: &View,
    error: ApiError,
) -> poem::Result<Response> {
    let form = FormState::default().with_error(view.t, &error);
    let page = Page::load(app, admin, view, form).await?;
    view.page_with_error(error, &page)
}

impl Page {
    /// Loads the state after an action, which the permit does not show.
    async fn load(
        app: &App,
        admin: &Admin,
        view: &View,
        form: FormState,
    ) -> Result<Self, ApiError> {
        let (id, now) = (admin.user.id, app.now());
        let totp = totp_secret::find_confirmed(&app.db, id).await?;
        let is_required = app.config.sessions.admin_second_factor == AdminSecondFactor::Required;
        let mut sessions = session::list_alive(&app.db, id, now).await?;
        sessions.retain(|session| session.is_alive(now, app.config.sessions.idle));
        Ok(Self {
            title: view.t.factors().security,
            section: "account",
            v: view.with_path(SECURITY_PAGE),
            me: CurrentAdmin::of(admin),
            form,
            is_missing: is_required && totp.is_none(),
            totp_since: totp.and_then(|totp| totp.confirmed_at),
            codes_left: recovery_code::count_unused(&app.db, id).await?,
            pending: None,
            recovery_codes: Vec::new(),
            sessions,
            current: admin.current_user()?.session.id,
        })
    }
}

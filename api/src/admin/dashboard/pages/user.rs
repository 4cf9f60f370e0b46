//! `/admin/users/{id}/`: one account, with its form, sessions, password resets, mails and audit events.

use askama::Template;
use chrono::{DateTime, Utc};
use latchkey_shared::models::{
    audit, mail,
    password_reset::{self, Purpose},
    role, session, user,
};
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Path},
};
use uuid::Uuid;

use crate::admin::{
    actions::{self, create_user, edit_user},
    dashboard::{
        audit_event::{EventRow, Part, event_rows},
        components::{PermissionBox, SelectOption, language_options, permission_boxes},
        context::View,
        csrf::Form,
        current_admin::CurrentAdmin,
        form_state::FormState,
        pages::{
            user_form::{
                RoleBox, Roles, conflicting_values, entered_form, parse, role_boxes,
                status_options, stored_form,
            },
            users::bulk,
        },
        redirect::redirect_with_flash,
    },
    permissions::{Admin, ChangeUsers, Permit, Superuser, ViewUsers},
};
use crate::{
    app_state::App, http::error::ApiError, passwords::CurrentPassword, rate_limit::Lockout,
};

#[derive(Template)]
#[template(path = "admin/user.html")]
#[expect(clippy::struct_excessive_bools, reason = "independent permissions")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: String,
    section: &'static str,
    now: DateTime<Utc>,
    user: user::Model,
    form: FormState,
    statuses: Vec<SelectOption>,
    languages: Vec<SelectOption>,
    can_change: bool,
    can_delete: bool,
    can_invite: bool,
    can_set_permissions: bool,
    permissions: Vec<PermissionBox>,
    /// The roles of the account.
    roles: Vec<role::Model>,
    role_boxes: Vec<RoleBox>,
    lockouts: Vec<Lockout>,
    /// The email that gets the codes of password resets, if it is not the current one.
    codes_to: Option<String>,
    sessions: Vec<session::Model>,
    resets: Vec<password_reset::Model>,
    mails: Vec<mail::Model>,
    /// The query string that filters the list of mails by the account's email.
    mails_query: String,
    events: Vec<EventRow>,
}

/// Shows the page.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<ViewUsers>,
    view: View,
    Path(id): Path<i64>,
) -> poem::Result<Response> {
    let user = find(app, id).await?;
    let roles = Roles::load(app, id).await?;
    let form = stored_form(&user, &roles);
    let page = load(app, &admin, &view, user, &roles, form).await?;
    view.page(StatusCode::OK, &page)
}

/// Saves the form. After an error or an edit conflict, the page keeps the entered values.
#[handler]
pub async fn save(
    Data(app): Data<&App>,
    admin: Permit<ChangeUsers>,
    view: View,
    Path(id): Path<i64>,
    form: Form,
) -> poem::Result<Response> {
    let user = find(app, id).await?;
    let roles = Roles::load(app, id).await?;
    // The form keeps its version until the page has shown the edit conflict. An invalid field must not hide the conflict.
    let mut entered = entered_form(&form, &roles);
    let is_outdated = entered.version != user.version;
    let saved = match parse(app, &admin, &user, &roles, form).await {
        Ok(_) if is_outdated => Err(ApiError::EditConflict),
        Ok((change, picture)) => edit_user::change(app, &admin, &user, change, picture).await,
        Err(error) => Err(error),
    };
    let Err(error) = saved else {
        let target = format!("/admin/users/{id}/");
        return Ok(redirect_with_flash(app, &target, "saved", 1));
    };
    let status = error.problem_type().status;
    if status.is_server_error() {
        return Err(error.into());
    }
    let (stored, roles) = (find(app, id).await?, Roles::load(app, id).await?);
    if let ApiError::EditConflict = error {
        entered.problem = Some(view.t.edit_conflict.to_owned());
        entered.stored = conflicting_values(&view, &admin, &entered, &stored, &roles);
        entered.version = stored.version;
    } else {
        entered = entered.with_error(view.t, &error);
    }
    let page = load(app, &admin, &view, stored, &roles, entered).await?;
    view.page(status, &page)
}

/// Ends a session of the account.
#[handler]
pub async fn end_session(
    Data(app): Data<&App>,
    admin: Permit<ChangeUsers>,
    Path(id): Path<i64>,
    form: Form,
) -> poem::Result<Response> {
    let session: Uuid = form
        .text("session")
        .parse()
        .map_err(|_| ApiError::NotFound)?;
    actions::users::end_session(app, &admin, id, session).await?;
    let target = format!("/admin/users/{id}/");
    Ok(redirect_with_flash(app, &target, "session_ended", 1))
}

/// Sends codes to the unconfirmed email of the account from now on.
#[handler]
pub async fn trust_email(
    Data(app): Data<&App>,
    admin: Permit<Superuser>,
    view: View,
    Path(id): Path<i64>,
    form: Form,
) -> poem::Result<Response> {
    match trust(app, &admin, id, form).await {
        Ok(()) => {
            let target = format!("/admin/users/{id}/");
            Ok(redirect_with_flash(app, &target, "email_trusted", 1))
        }
        Err(error) => show_error(app, &admin, &view, id, error).await,
    }
}

async fn trust(app: &App, admin: &Permit<Superuser>, id: i64, form: Form) -> Result<(), ApiError> {
    let password = read_password(form)?;
    actions::trust_email::trust_email(app, admin, id, password).await
}

fn read_password(form: Form) -> Result<CurrentPassword, ApiError> {
    let mut fields = form.into_fields();
    let password = fields.required::<CurrentPassword>("password");
    fields.finish()?;
    Ok(password?)
}

/// Removes the second factors of the account.
#[handler]
pub async fn remove_second_factor(
    Data(app): Data<&App>,
    admin: Permit<ChangeUsers>,
    view: View,
    Path(id): Path<i64>,
    form: Form,
) -> poem::Result<Response> {
    let removed = async {
        let password = read_password(form)?;
        actions::remove_second_factor::remove_second_factor(app, &admin, id, password).await
    };
    match removed.await {
        Ok(()) => {
            let target = format!("/admin/users/{id}/");
            Ok(redirect_with_flash(app, &target, "factor_removed", 1))
        }
        Err(error) => show_error(app, &admin, &view, id, error).await,
    }
}

/// Shows the page with the error of an action on the account.
pub(super) async fn show_error(
    app: &App,
    admin: &Admin,
    view: &View,
    id: i64,
    error: ApiError,
) -> poem::Result<Response> {
    let user = find(app, id).await?;
    let roles = Roles::load(app, id).await?;
    let mut form = stored_form(&user, &roles).with_error(view.t, &error);
    form.problem = form.problem.or_else(|| bulk::id_error(view.t, &error));
    let page = load(app, admin, view, user, &roles, form).await?;
    view.page_with_error(error, &page)
}

async fn find(app: &App, id: i64) -> Result<user::Model, ApiError> {
    user::find(&app.db, id).await?.ok_or(ApiError::NotFound)
}

async fn load(
    app: &App,
    admin: &Admin,
    view: &View,
    user: user::Model,
    roles: &Roles,
    form: FormState,
) -> Result<Page, ApiError> {
    let (now, me) = (app.now(), CurrentAdmin::of(admin));
    let can_manage = admin.can_manage(&user);
    let mut mails = Vec::new();
    if me.can_view_mails() {
        mails = mail::list_about(&app.db, &user, 10).await?;
    }
    let mut events = Vec::new();
    if me.can_view_audit_log() {
        let rows = audit::list_by_user(&app.db, user.id, 15).await?;
        events = event_rows(app, &me, view.t, rows).await?;
    }
    let mut sessions = session::list_alive(&app.db, user.id, now).await?;
    sessions.retain(|session| session.is_alive(now, app.config.sessions.idle));
    let mut lockouts = app.limits.account_lockouts(&[&user], now).await?;
    Ok(Page {
        title: user.email.to_string(),
        section: "users",
        now,
        statuses: status_options(view, &user, &form),
        can_change: me.can_change_users() && can_manage,
        can_delete: me.can_delete_users() && can_manage,
        can_invite: me.can_add_users() && can_manage && create_user::can_invite(&user),
        can_set_permissions: admin.can_set_permissions(&user),
        permissions: permission_boxes(view.t),
        role_boxes: role_boxes(view, roles),
        roles: roles.assigned(),
        lockouts: lockouts.remove(&user.id).unwrap_or_default(),
        codes_to: user.other_reset_email(now).map(ToString::to_string),
        sessions,
        resets: password_reset::list(&app.db, Some(Purpose::Reset), Some(user.id), None, 5).await?,
        mails,
        mails_query: form_urlencoded::Serializer::new(String::new())
            .append_pair("to", user.email.as_str())
            .finish(),
        events,
        languages: language_options(app, form.value("language")),
        form,
        user,
        v: view.clone(),
        me,
    })
}

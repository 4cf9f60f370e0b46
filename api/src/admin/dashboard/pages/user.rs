//! `/admin/users/{id}/`: one account, with its form, sessions, password resets, mails and audit events.

use askama::Template;
use chrono::{DateTime, Utc};
use latchkey_shared::{
    models::{
        audit, mail,
        password_reset::{self, Purpose},
        session,
        user::{self, staff::Change},
    },
    types::permission::{Permission, Permissions},
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
        components::{EventRow, event_rows},
        context::View,
        csrf::Form,
        current_admin::CurrentAdmin,
        form_state::{FormState, StoredValue},
        redirect::{redirect_with_flash, with_retry_after},
    },
    permissions::{Admin, ChangeUsers, Permit, ViewUsers},
};
use crate::{
    accounts::{pictures::PictureChange, profile},
    app_state::App,
    http::error::ApiError,
    rate_limit::Lockout,
};

/// The text fields of the form.
const TEXT_FIELDS: [&str; 5] = ["email", "username", "phoneNumber", "dateBirth", "gender"];
/// The checkboxes of the form, besides the permissions.
const CHECKBOXES: [&str; 4] = ["is_activated", "is_active", "is_staff", "is_superuser"];

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
    can_change: bool,
    can_delete: bool,
    can_invite: bool,
    can_set_permissions: bool,
    permissions: Vec<PermissionBox>,
    lockouts: Vec<Lockout>,
    sessions: Vec<session::Model>,
    resets: Vec<password_reset::Model>,
    mails: Vec<mail::Model>,
    events: Vec<EventRow>,
}

/// The checkbox of a permission.
struct PermissionBox {
    name: &'static str,
    label: &'static str,
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
    let form = stored_form(&user);
    let page = load(app, &admin, &view, user, form).await?;
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
    // The form keeps its version until the page has shown the edit conflict. An invalid field must not hide the conflict.
    let mut entered = entered_form(&form);
    let is_outdated = entered.version != user.version;
    let saved = match parse(app, &admin, &user, form).await {
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
    let stored = find(app, id).await?;
    if let ApiError::EditConflict = error {
        entered.problem = Some(view.t.edit_conflict.to_owned());
        entered.stored = conflicting_values(&view, &admin, &entered, &stored);
        entered.version = stored.version;
    } else {
        entered = entered.with_error(view.t, &error);
    }
    let page = load(app, &admin, &view, stored, entered).await?;
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

/// Shows the page with the error of an action on the account.
pub(super) async fn show_error(
    app: &App,
    admin: &Permit<ViewUsers>,
    view: &View,
    id: i64,
    error: &ApiError,
) -> poem::Result<Response> {
    let user = find(app, id).await?;
    let form = stored_form(&user).with_error(view.t, error);
    let page = load(app, admin, view, user, form).await?;
    let page = view.page(error.problem_type().status, &page)?;
    Ok(with_retry_after(page, error.retry_after()))
}

async fn find(app: &App, id: i64) -> Result<user::Model, ApiError> {
    user::find(&app.db, id).await?.ok_or(ApiError::NotFound)
}

async fn load(
    app: &App,
    admin: &Admin,
    view: &View,
    user: user::Model,
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
        events = event_rows(app, &me, rows).await?;
    }
    let mut sessions = session::list_alive(&app.db, user.id, now).await?;
    sessions.retain(|session| session.is_alive(now, app.config.sessions.idle));
    let mut lockouts = app.limits.account_lockouts(&[&user], now).await?;
    Ok(Page {
        title: user.email.to_string(),
        section: "users",
        now,
        can_change: me.can_change_users() && can_manage,
        can_delete: me.can_delete_users() && can_manage,
        can_invite: me.can_add_users() && can_manage && create_user::can_invite(&user),
        can_set_permissions: admin.can_set_permissions(&user),
        permissions: Permission::ALL
            .map(|permission| PermissionBox {
                name: permission.as_str(),
                label: view.t.permission(permission),
            })
            .into(),
        lockouts: lockouts.remove(&user.id).unwrap_or_default(),
        sessions,
        resets: password_reset::list(&app.db, Some(Purpose::Reset), Some(user.id), None, 5).await?,
        mails,
        events,
        form,
        user,
        v: view.clone(),
        me,
    })
}

/// Returns the form with the stored values.
fn stored_form(user: &user::Model) -> FormState {
    let checked = |flag: bool| if flag { "on" } else { "" }.to_owned();
    let text = |value: Option<String>| value.unwrap_or_default();
    let fields = [
        ("email", user.email.to_string()),
        ("username", user.username.to_string()),
        (
            "phoneNumber",
            text(user.phone_number.as_ref().map(ToString::to_string)),
        ),
        (
            "dateBirth",
            text(user.date_birth.map(|date| date.to_string())),
        ),
        ("gender", text(user.gender.map(|gender| gender.to_string()))),
        ("is_activated", checked(user.is_activated)),
        ("is_active", checked(user.is_active)),
        ("is_staff", checked(user.is_staff)),
        ("is_superuser", checked(user.is_superuser)),
    ];
    let permissions = Permission::ALL.map(|permission| {
        (
            permission.as_str(),
            checked(user.permissions.contains(permission)),
        )
    });
    let mut form = FormState::new(fields.into_iter().chain(permissions));
    form.version = user.version;
    form
}

/// Returns the form with the entered values. A form without a version matches no version.
fn entered_form(form: &Form) -> FormState {
    let permissions = Permission::ALL.map(Permission::as_str);
    let names = TEXT_FIELDS.into_iter().chain(CHECKBOXES);
    let names: Vec<_> = names.chain(permissions).chain(["image_clear"]).collect();
    let mut entered = FormState::from_form(form, &names);
    entered.version = form.text("version").parse().unwrap_or(-1);
    entered
}

/// Returns the stored values that differ from the entered ones, for the fields that the form shows.
fn conflicting_values(
    view: &View,
    admin: &Admin,
    entered: &FormState,
    stored: &user::Model,
) -> Vec<StoredValue> {
    let can_set_permissions = admin.can_set_permissions(stored);
    let (t, current) = (view.t, stored_form(stored));
    let labels = [
        ("email", t.email),
        ("username", t.name),
        ("phoneNumber", t.phone),
        ("dateBirth", t.date_birth),
        ("gender", t.gender),
        ("is_activated", t.activated),
        ("is_active", t.active),
        ("is_staff", t.staff),
        ("is_superuser", t.superuser),
    ];
    let permissions = Permission::ALL.map(|it| (it.as_str(), t.permission(it)));
    let is_shown = |name: &str| match name {
        "is_active" => admin.user.id != stored.id,
        name => can_set_permissions || TEXT_FIELDS.contains(&name) || name == "is_activated",
    };
    labels
        .into_iter()
        .chain(permissions)
        .filter(|(name, _)| is_shown(name))
        .filter(|(name, _)| entered.value(name) != current.value(name))
        .map(|(name, label)| StoredValue {
            label,
            value: match current.value(name) {
                "on" => t.yes.to_owned(),
                "" => "–".to_owned(),
                value => value.to_owned(),
            },
        })
        .collect()
}

async fn parse(
    app: &App,
    admin: &Admin,
    user: &user::Model,
    form: Form,
) -> Result<(Change, PictureChange), ApiError> {
    let is_checked = |name| form.is_checked(name);
    let can_set_permissions = admin.can_set_permissions(user);
    let mut change = Change {
        is_activated: Some(is_checked("is_activated")),
        is_active: (admin.user.id != user.id).then(|| is_checked("is_active")),
        is_staff: can_set_permissions.then(|| is_checked("is_staff")),
        is_superuser: can_set_permissions.then(|| is_checked("is_superuser")),
        permissions: can_set_permissions.then(|| {
            let checked = Permission::ALL.into_iter();
            let checked = checked.filter(|permission| is_checked(permission.as_str()));
            checked.collect::<Permissions>()
        }),
        ..Change::default()
    };
    let clear = is_checked("image_clear");
    // Browsers submit the file field even without a file, which must keep the picture.
    let (profile, picture) = profile::parse(form.into_fields_without_empty("image"), app).await?;
    change.profile = profile;
    let picture = picture.or_else(|| clear.then_some(None));
    Ok((change, picture))
}

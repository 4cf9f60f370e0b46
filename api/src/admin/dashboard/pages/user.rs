//! `/admin/users/{id}/`: one account, all of it, and its form.

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
    actions::{self, edit_user},
    dashboard::{
        context::{CurrentAdmin, View, back, with_wait},
        csrf::Form,
        form_state::{FormState, StoredValue},
        pages::audit_log::{self, Line},
    },
    permissions::{Admin, ChangeUsers, Permit, ViewUsers},
};
use crate::{
    accounts::{pictures::PictureChange, profile},
    app_state::App,
    http::error::ApiError,
    rate_limit::Lockout,
};

/// The fields of the form that are texts.
const TEXTS: [&str; 5] = ["email", "username", "phoneNumber", "dateBirth", "gender"];
/// Those that are ticked or not.
const TICKS: [&str; 4] = ["is_activated", "is_active", "is_staff", "is_superuser"];

#[derive(Template)]
#[template(path = "admin/user.html")]
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
    sets_rights: bool,
    rights: Vec<RightTick>,
    held: Vec<Lockout>,
    sessions: Vec<session::Model>,
    resets: Vec<password_reset::Model>,
    mails: Vec<mail::Model>,
    events: Vec<Line>,
}

struct RightTick {
    name: &'static str,
    label: &'static str,
}

/// The page.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<ViewUsers>,
    view: View,
    Path(id): Path<i64>,
) -> poem::Result<Response> {
    let user = find(app, id).await?;
    let form = filled(&user);
    let page = collect(app, &admin, &view, user, form).await?;
    view.page(StatusCode::OK, &page)
}

/// Saves the form. A bad field, or somebody who saved first, keeps what was entered.
#[handler]
pub async fn save(
    Data(app): Data<&App>,
    admin: Permit<ChangeUsers>,
    view: View,
    Path(id): Path<i64>,
    form: Form,
) -> poem::Result<Response> {
    let user = find(app, id).await?;
    // It keeps the version it was made of, until its sender was told of another: a bad field in it is no reason to overwrite
    // what somebody else has saved meanwhile.
    let mut entered = again(&form);
    // The form was made of another version: nothing is written.
    let outdated = entered.version != user.version;
    let saved = match parse(app, &admin, &user, form).await {
        Ok(_) if outdated => Err(ApiError::EditConflict),
        Ok((change, picture)) => edit_user::change(app, &admin, &user, change, picture).await,
        Err(error) => Err(error),
    };
    let Err(error) = saved else {
        return Ok(back(app, &format!("/admin/users/{id}/"), "saved", 1));
    };
    let status = error.kind().status;
    if status.is_server_error() {
        return Err(error.into());
    }
    let stored = find(app, id).await?;
    if let ApiError::EditConflict = error {
        entered.problem = Some(view.t.edit_conflict.to_owned());
        entered.theirs = theirs(&view, &admin, &entered, &stored);
        entered.version = stored.version;
    } else {
        entered = entered.refused(view.t, &error);
    }
    let page = collect(app, &admin, &view, stored, entered).await?;
    view.page(status, &page)
}

/// Ends one of its sessions.
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
    actions::end_session(app, &admin, id, session).await?;
    Ok(back(
        app,
        &format!("/admin/users/{id}/"),
        "session_ended",
        1,
    ))
}

/// The page, with why something was not done to its account.
///
/// # Errors
/// When the account is gone, or something else fails.
pub(super) async fn refused(
    app: &App,
    admin: &Permit<ViewUsers>,
    view: &View,
    id: i64,
    error: &ApiError,
) -> poem::Result<Response> {
    let user = find(app, id).await?;
    let form = filled(&user).refused(view.t, error);
    let page = collect(app, admin, view, user, form).await?;
    let page = view.page(error.kind().status, &page)?;
    Ok(with_wait(page, error.retry_after()))
}

async fn find(app: &App, id: i64) -> Result<user::Model, ApiError> {
    user::find(&app.db, id).await?.ok_or(ApiError::NotFound)
}

async fn collect(
    app: &App,
    admin: &Admin,
    view: &View,
    user: user::Model,
    form: FormState,
) -> Result<Page, ApiError> {
    let (now, me) = (app.now(), CurrentAdmin::of(admin));
    let can_manage = admin.can_manage(&user);
    let mut mails = Vec::new();
    if me.sees_mails() {
        mails = mail::list_about(&app.db, &user, 10).await?;
    }
    let mut events = Vec::new();
    if me.sees_audit() {
        let rows = audit::list_of(&app.db, user.id, 15).await?;
        events = audit_log::lines(app, &me, rows).await?;
    }
    let mut sessions = session::list_alive(&app.db, user.id, now).await?;
    sessions.retain(|session| session.is_alive(now, app.config.session_idle));
    Ok(Page {
        title: user.email.to_string(),
        section: "users",
        now,
        can_change: me.changes_users() && can_manage,
        can_delete: me.deletes_users() && can_manage,
        sets_rights: admin.may_set_rights_of(&user),
        rights: Permission::ALL
            .map(|permission| RightTick {
                name: permission.as_str(),
                label: view.t.right(permission),
            })
            .into(),
        held: app
            .limits
            .account_lockouts(user.id, &user.email, now)
            .await?,
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

/// The form as the account is stored.
fn filled(user: &user::Model) -> FormState {
    let tick = |flag: bool| if flag { "on" } else { "" }.to_owned();
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
        ("is_activated", tick(user.is_activated)),
        ("is_active", tick(user.is_active)),
        ("is_staff", tick(user.is_staff)),
        ("is_superuser", tick(user.is_superuser)),
    ];
    let rights = Permission::ALL.map(|permission| {
        (
            permission.as_str(),
            tick(user.permissions.contains(permission)),
        )
    });
    let mut form = FormState::with(fields.into_iter().chain(rights));
    form.version = user.version;
    form
}

/// The form as it was sent. One without a version is of none that there is.
fn again(form: &Form) -> FormState {
    let rights = Permission::ALL.map(Permission::as_str);
    let names = TEXTS.into_iter().chain(TICKS).chain(rights);
    let names: Vec<_> = names.chain(["image_clear"]).collect();
    let mut filled = FormState::again(form, &names);
    filled.version = form.text("version").parse().unwrap_or(-1);
    filled
}

/// What is stored otherwise than it was entered, of what the form shows.
fn theirs(
    view: &View,
    admin: &Admin,
    entered: &FormState,
    stored: &user::Model,
) -> Vec<StoredValue> {
    let sets_rights = admin.may_set_rights_of(stored);
    let (t, now) = (view.t, filled(stored));
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
    let rights = Permission::ALL.map(|right| (right.as_str(), view.t.right(right)));
    let is_shown = |name: &str| match name {
        "is_active" => admin.user.id != stored.id,
        name => sets_rights || TEXTS.contains(&name) || name == "is_activated",
    };
    labels
        .into_iter()
        .chain(rights)
        .filter(|(name, _)| is_shown(name))
        .filter(|(name, _)| entered.value(name) != now.value(name))
        .map(|(name, label)| StoredValue {
            label,
            value: match now.value(name) {
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
    let tick = |name| form.is_ticked(name);
    let rights = admin.may_set_rights_of(user);
    let mut change = Change {
        is_activated: Some(tick("is_activated")),
        is_active: (admin.user.id != user.id).then(|| tick("is_active")),
        is_staff: rights.then(|| tick("is_staff")),
        is_superuser: rights.then(|| tick("is_superuser")),
        permissions: rights.then(|| {
            let ticked = Permission::ALL.into_iter();
            let ticked = ticked.filter(|permission| tick(permission.as_str()));
            ticked.collect::<Permissions>()
        }),
        ..Change::default()
    };
    let clear = tick("image_clear");
    // A file field without a file is no wish to have no picture.
    let (profile, picture) = profile::parse(form.into_fields_without("image"), app).await?;
    change.profile = profile;
    let picture = picture.or_else(|| clear.then_some(None));
    Ok((change, picture))
}

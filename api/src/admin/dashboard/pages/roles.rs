//! `/admin/roles/`: roles of staff, for superusers.

use std::collections::HashMap;

use askama::Template;
use latchkey_shared::{
    models::{role, user},
    types::role_name::RoleName,
};
use poem::{
    Response, Route, get, handler,
    http::StatusCode,
    post,
    web::{Data, Path},
};

use crate::admin::{
    actions::roles::{self, RoleValues},
    dashboard::{
        components::{PermissionBox, add_permission_boxes, checked_permissions, permission_boxes},
        context::View,
        csrf::Form,
        current_admin::CurrentAdmin,
        form_state::FormState,
        redirect::redirect_with_flash,
    },
    permissions::{Permit, Superuser},
};
use crate::{app_state::App, http::error::ApiError};

/// The maximum number of members on the page of a role.
const MAX_MEMBERS: u64 = 100;

#[derive(Template)]
#[template(path = "admin/roles.html")]
struct ListPage {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    rows: Vec<role::Model>,
    members: HashMap<i64, i64>,
}

#[derive(Template)]
#[template(path = "admin/role.html")]
struct RolePage {
    v: View,
    me: CurrentAdmin,
    title: String,
    section: &'static str,
    form: FormState,
    permissions: Vec<PermissionBox>,
    /// The stored role. `None` for a new one.
    role: Option<role::Model>,
    members: Vec<user::Model>,
    /// Whether the page asks to confirm the deletion.
    is_deletion: bool,
}

/// Returns the routes of these pages, relative to `/admin/roles`.
#[must_use]
pub fn routes() -> Route {
    Route::new()
        .at("/", get(list))
        .at("/add", get(show_new).post(create))
        .at("/:id<\\d+>", get(show).post(save))
        .at("/:id<\\d+>/delete", post(delete))
}

/// Shows the list.
#[handler]
async fn list(
    Data(app): Data<&App>,
    admin: Permit<Superuser>,
    view: View,
) -> poem::Result<Response> {
    let page = ListPage {
        v: view.clone(),
        me: CurrentAdmin::of(&admin),
        title: view.t.roles,
        section: "roles",
        rows: role::list(&app.db).await.map_err(ApiError::from)?,
        members: role::count_members(&app.db).await.map_err(ApiError::from)?,
    };
    view.page(StatusCode::OK, &page)
}

/// Shows the form of a new role.
#[handler]
async fn show_new(
    Data(app): Data<&App>,
    admin: Permit<Superuser>,
    view: View,
) -> poem::Result<Response> {
    let page = RolePage::load(app, &admin, &view, None, FormState::default()).await?;
    view.page(StatusCode::OK, &page)
}

/// Creates a role.
#[handler]
async fn create(
    Data(app): Data<&App>,
    admin: Permit<Superuser>,
    view: View,
    form: Form,
) -> poem::Result<Response> {
    let entered = entered_form(&form);
    let created = match parse(form) {
        Ok(values) => roles::create(app, &admin, values).await.map(drop),
        Err(error) => Err(error),
    };
    respond(app, &admin, &view, None, entered, created).await
}

/// Shows a role with its members.
#[handler]
async fn show(
    Data(app): Data<&App>,
    admin: Permit<Superuser>,
    view: View,
    Path(id): Path<i64>,
) -> poem::Result<Response> {
    let role = find(app, id).await?;
    let form = stored_form(&role);
    let page = RolePage::load(app, &admin, &view, Some(role), form).await?;
    view.page(StatusCode::OK, &page)
}

/// Saves a role. After an edit conflict, the form keeps the entered values and takes the stored version.
#[handler]
async fn save(
    Data(app): Data<&App>,
    admin: Permit<Superuser>,
    view: View,
    Path(id): Path<i64>,
    form: Form,
) -> poem::Result<Response> {
    let role = find(app, id).await?;
    let entered = entered_form(&form);
    let is_outdated = entered.version != role.version;
    let saved = match parse(form) {
        Ok(_) if is_outdated => Err(ApiError::EditConflict),
        Ok(values) => roles::change(app, &admin, &role, values).await,
        Err(error) => Err(error),
    };
    respond(app, &admin, &view, Some(id), entered, saved).await
}

/// Deletes a role, after a confirmation.
#[handler]
async fn delete(
    Data(app): Data<&App>,
    admin: Permit<Superuser>,
    view: View,
    Path(id): Path<i64>,
    form: Form,
) -> poem::Result<Response> {
    if form.is_checked("confirmed") {
        roles::delete(app, &admin, id).await?;
        return Ok(redirect_with_flash(app, "/admin/roles/", "deleted", 1));
    }
    let role = find(app, id).await?;
    let view = view.with_path(&format!("/admin/roles/{id}/"));
    let form = stored_form(&role);
    let mut page = RolePage::load(app, &admin, &view, Some(role), form).await?;
    page.is_deletion = true;
    view.page(StatusCode::OK, &page)
}

async fn find(app: &App, id: i64) -> Result<role::Model, ApiError> {
    role::find(&app.db, id).await?.ok_or(ApiError::NotFound)
}

/// Redirects to the list, or shows the form again with the error.
async fn respond(
    app: &App,
    admin: &Permit<Superuser>,
    view: &View,
    id: Option<i64>,
    mut entered: FormState,
    saved: Result<(), ApiError>,
) -> poem::Result<Response> {
    let Err(error) = saved else {
        return Ok(redirect_with_flash(app, "/admin/roles/", "saved", 1));
    };
    let status = error.problem_type().status;
    if status.is_server_error() {
        return Err(error.into());
    }
    let role = match id {
        Some(id) => Some(find(app, id).await?),
        None => None,
    };
    if let (ApiError::EditConflict, Some(role)) = (&error, &role) {
        entered.version = role.version;
        entered.problem = Some(view.t.role_conflict.to_owned());
    } else {
        entered = entered.with_error(view.t, &error);
    }
    let page = RolePage::load(app, admin, view, role, entered).await?;
    view.page(status, &page)
}

fn stored_form(role: &role::Model) -> FormState {
    let mut form = FormState::new([("name", role.name.to_string())]);
    add_permission_boxes(&mut form, &role.permissions);
    form.version = role.version;
    form
}

fn entered_form(form: &Form) -> FormState {
    let mut entered = FormState::from_form(form, &["name"]);
    add_permission_boxes(&mut entered, &checked_permissions(form));
    entered.version = form.text("version").parse().unwrap_or(-1);
    entered
}

fn parse(form: Form) -> Result<RoleValues, ApiError> {
    let permissions = checked_permissions(&form);
    let mut fields = form.into_fields();
    let name = fields.required::<RoleName>("name");
    fields.finish()?;
    Ok(RoleValues {
        name: name?,
        permissions,
    })
}

impl RolePage {
    async fn load(
        app: &App,
        admin: &Permit<Superuser>,
        view: &View,
        role: Option<role::Model>,
        form: FormState,
    ) -> Result<Self, ApiError> {
        let members = match &role {
            Some(role) => role::members(&app.db, role.id, MAX_MEMBERS).await?,
            None => Vec::new(),
        };
        let title = role.as_ref().map(|role| role.name.to_string());
        Ok(Self {
            v: view.clone(),
            me: CurrentAdmin::of(admin),
            title: title.unwrap_or_else(|| view.t.add_role.to_owned()),
            section: "roles",
            form,
            permissions: permission_boxes(view.t),
            role,
            members,
            is_deletion: false,
        })
    }
}

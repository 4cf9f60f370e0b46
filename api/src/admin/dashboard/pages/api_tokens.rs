//! `/admin/tokens/`: API tokens of the staff member, or of all accounts for superusers.

use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    models::{api_token, user},
    types::{api_token_name::ApiTokenName, permission::Permission, validation_error::Invalid},
};
use poem::{
    Response, Route, get, handler,
    http::StatusCode,
    web::{Data, Path, Query},
};
use serde::Deserialize;
use uuid::Uuid;

use crate::admin::{
    actions::api_tokens::{self, LIFETIMES, MAX_LIVE, NewToken},
    dashboard::{
        components::{
            PermissionBox, SelectOption, add_permission_boxes, checked_permissions,
            permission_boxes,
        },
        context::View,
        csrf::Form,
        current_admin::CurrentAdmin,
        form_state::FormState,
        redirect::{redirect, redirect_with_flash},
    },
    paginate,
    permissions::{Admin, AnyStaff, Permit},
};
use crate::{
    app_state::App,
    auth::api_token::ApiToken,
    http::{body::fields::FromField, error::ApiError},
    passwords::CurrentPassword,
};

const PAGE: &str = "/admin/tokens/";

const PAGE_SIZE: u16 = 50;

#[derive(Template)]
#[template(path = "admin/api_tokens.html")]
struct ListPage {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    now: DateTime<Utc>,
    rows: Vec<(api_token::Model, user::Model)>,
    is_first: bool,
    next: Option<String>,
    /// Whether the account may have another token.
    can_create: bool,
}

#[derive(Template)]
#[template(path = "admin/new_api_token.html")]
struct NewPage {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    form: FormState,
    permissions: Vec<PermissionBox>,
    lifetimes: Vec<SelectOption>,
}

#[derive(Template)]
#[template(path = "admin/created_api_token.html")]
struct CreatedPage {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    token: api_token::Model,
    text: ApiToken,
}

#[derive(Template)]
#[template(path = "admin/revoke_api_token.html")]
struct RevokePage {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    token: api_token::Model,
}

#[derive(Deserialize)]
struct ApiTokenListQuery {
    before: Option<String>,
}

/// The chosen number of days until a token expires.
struct Lifetime(i64);

impl FromField for Lifetime {
    const MAX_BYTES: usize = 64;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        let chosen = LIFETIMES.into_iter().find(|days| days.to_string() == text);
        let detail = "One of 30, 90, 365.";
        chosen
            .map(Self)
            .ok_or_else(|| Invalid::new("choice", detail))
    }
}

/// Returns the routes of these pages, relative to `/admin/tokens`.
#[must_use]
pub fn routes() -> Route {
    Route::new()
        .at("/", get(list))
        .at("/add", get(show_new).post(create))
        .at("/:id/revoke", get(redirect_to_list).post(revoke))
}

/// Shows the list.
#[handler]
async fn list(
    Data(app): Data<&App>,
    admin: Permit<AnyStaff>,
    view: View,
    Query(query): Query<ApiTokenListQuery>,
) -> poem::Result<Response> {
    let before = query.before.and_then(|id| id.parse().ok());
    let limit = u64::from(PAGE_SIZE) + 1;
    let rows = api_tokens::list(app, &admin, before, limit).await?;
    let (rows, next) = paginate(rows, PAGE_SIZE.into(), |(token, _)| token.id.to_string());
    let live = api_token::list_live(&app.db, admin.user.id, app.now())
        .await
        .map_err(ApiError::from)?;
    let page = ListPage {
        title: view.t.api_tokens().title,
        section: "account",
        me: CurrentAdmin::of(&admin),
        now: app.now(),
        is_first: before.is_none(),
        next,
        rows,
        can_create: live.len() < MAX_LIVE,
        v: view.clone(),
    };
    view.page(StatusCode::OK, &page)
}

/// Shows the form of a new token.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "poem passes extractors by value"
)]
fn show_new(admin: Permit<AnyStaff>, view: View) -> poem::Result<Response> {
    let form = FormState::new([("days", "90".to_owned())]);
    view.page(StatusCode::OK, &NewPage::new(&view, &admin, form))
}

/// Creates a token. The response is the only one that contains its text.
#[handler]
async fn create(
    Data(app): Data<&App>,
    admin: Permit<AnyStaff>,
    view: View,
    form: Form,
) -> poem::Result<Response> {
    let mut entered = FormState::from_form(&form, &["name", "days"]);
    add_permission_boxes(&mut entered, &checked_permissions(&form));
    let created = match parse(form) {
        Ok((new, password)) => api_tokens::create(app, &admin, new, password).await,
        Err(error) => Err(error),
    };
    match created {
        Ok((token, text)) => {
            let view = view.with_path(PAGE);
            let page = CreatedPage {
                title: view.t.api_tokens().created_title,
                section: "account",
                me: CurrentAdmin::of(&admin),
                token,
                text,
                v: view.clone(),
            };
            view.page(StatusCode::OK, &page)
        }
        Err(error) => {
            let form = entered.with_error(view.t, &error);
            view.page_with_error(error, &NewPage::new(&view, &admin, form))
        }
    }
}

/// Redirects to the list, for a reload of the confirmation page.
#[handler]
fn redirect_to_list(Data(app): Data<&App>) -> Response {
    redirect(app, PAGE)
}

/// Revokes a token, after a confirmation.
#[handler]
async fn revoke(
    Data(app): Data<&App>,
    admin: Permit<AnyStaff>,
    view: View,
    Path(id): Path<String>,
    form: Form,
) -> poem::Result<Response> {
    let id: Uuid = id.parse().map_err(|_| ApiError::NotFound)?;
    if form.is_checked("confirmed") {
        api_tokens::revoke(app, &admin, id).await?;
        return Ok(redirect_with_flash(app, PAGE, "api_token_revoked", 1));
    }
    let view = view.with_path(PAGE);
    let page = RevokePage {
        title: view.t.api_tokens().revoke_title,
        section: "account",
        me: CurrentAdmin::of(&admin),
        token: api_tokens::find_revocable(app, &admin, id).await?,
        v: view.clone(),
    };
    view.page(StatusCode::OK, &page)
}

fn parse(form: Form) -> Result<(NewToken, CurrentPassword), ApiError> {
    let permissions = checked_permissions(&form);
    let mut fields = form.into_fields();
    let name = fields.required::<ApiTokenName>("name");
    let lifetime = fields.required::<Lifetime>("days");
    let password = fields.required::<CurrentPassword>("password");
    if permissions.is_empty() {
        let invalid = Invalid::new("required", "Choose at least one permission.");
        fields.add_error("permissions", invalid);
    }
    fields.finish()?;
    let new = NewToken {
        name: name?,
        permissions,
        lifetime: TimeDelta::days(lifetime?.0),
    };
    Ok((new, password?))
}

impl NewPage {
    fn new(view: &View, admin: &Admin, form: FormState) -> Self {
        let held = |name: &str| {
            let permission = name.parse::<Permission>();
            permission.is_ok_and(|it| admin.has_permission(it))
        };
        let mut permissions = permission_boxes(view.t);
        permissions.retain(|it| held(it.name));
        let t = view.t.api_tokens();
        let lifetimes = [("30", t.days_30), ("90", t.days_90), ("365", t.days_365)];
        Self {
            title: t.create,
            section: "account",
            v: view.clone(),
            me: CurrentAdmin::of(admin),
            permissions,
            lifetimes: SelectOption::list(lifetimes, form.value("days")),
            form,
        }
    }
}

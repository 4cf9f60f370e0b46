//! `/admin/users/bulk/`: bulk actions on the selected users, and actions on one user.

use askama::Template;
use latchkey_shared::{
    models::user::{
        self as account,
        staff::{self, DependentCounts},
    },
    types::validation_error::Invalid,
};
use poem::{FromRequest, Request, RequestBody, Response, handler, http::StatusCode, web::Data};

use crate::admin::{
    actions,
    dashboard::{
        context::View,
        csrf::Form,
        current_admin::CurrentAdmin,
        form_state::FormState,
        i18n::Texts,
        pages::{
            user,
            users::{self, UserListQuery},
        },
        redirect::{redirect, redirect_with_flash, safe_redirect},
    },
    permissions::{AddUsers, Admin, ChangeUsers, DeleteUsers, Permit, Requirement, ViewUsers},
};
use crate::{app_state::App, http::error::ApiError};

/// Redirects to the list, for a reload of the confirmation page.
#[handler]
pub fn redirect_to_list(Data(app): Data<&App>) -> Response {
    redirect(app, "/admin/users/")
}

/// Runs a bulk action, after a confirmation page where necessary. After an error, the page keeps the selection.
#[handler]
pub async fn run(
    Data(app): Data<&App>,
    view: View,
    request: &Request,
    form: Form,
) -> poem::Result<Response> {
    let selection = BulkSelection::parse(&form);
    if selection.ids.is_empty() {
        let target = &selection.target;
        return Ok(redirect_with_flash(app, target, "none_selected", 1));
    }
    let outcome = if selection.action == "delete" {
        let admin = permit::<DeleteUsers>(request).await?;
        selection.delete(app, &view, &admin).await
    } else if selection.action == "invite" {
        let admin = permit::<AddUsers>(request).await?;
        selection.invite(app, &admin).await
    } else {
        let admin = permit::<ChangeUsers>(request).await?;
        selection.change(app, &view, &admin).await
    };
    match outcome {
        Ok(Outcome::Done(flash, count)) => {
            let target = selection.next_target();
            Ok(redirect_with_flash(app, target, flash, count))
        }
        Ok(Outcome::Confirm(page)) => view.page(StatusCode::OK, &*page),
        Err(error) if error.problem_type().status.is_server_error() => Err(error.into()),
        Err(error) => {
            let admin = permit::<ViewUsers>(request).await?;
            selection.show_error(app, &view, &admin, error).await
        }
    }
}

async fn permit<R: Requirement>(request: &Request) -> poem::Result<Permit<R>> {
    Permit::from_request(request, &mut RequestBody::default()).await
}

/// A bulk action and the selected accounts.
struct BulkSelection {
    action: String,
    ids: Vec<i64>,
    /// The path of the page with the selection.
    target: String,
    is_confirmed: bool,
}

/// The outcome of a bulk action without an error.
enum Outcome {
    /// The key of the flash message, and the number of changed accounts.
    Done(&'static str, usize),
    Confirm(Box<ConfirmPage>),
}

#[derive(Template)]
#[template(path = "admin/confirm.html")]
struct ConfirmPage {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    question: &'static str,
    button: &'static str,
    action: String,
    back: String,
    users: Vec<account::Model>,
    /// The rows that the deletion of the accounts also deletes.
    dependents: Option<DependentCounts>,
    pictures: usize,
}

impl BulkSelection {
    fn parse(form: &Form) -> Self {
        let ids = form.texts("id");
        Self {
            action: form.text("act"),
            ids: ids.iter().filter_map(|id| id.parse().ok()).collect(),
            target: safe_redirect(&form.text("back")),
            is_confirmed: form.is_checked("confirmed"),
        }
    }

    /// Returns the account of an action that accepts only one account.
    fn single_id(&self) -> Result<i64, ApiError> {
        match self.ids[..] {
            [id] => Ok(id),
            _ => Err(ApiError::invalid_field(
                "id",
                Invalid::new("single", "Select only one account for this action."),
            )),
        }
    }

    async fn invite(&self, app: &App, admin: &Permit<AddUsers>) -> Result<Outcome, ApiError> {
        actions::create_user::invite(app, admin, self.single_id()?).await?;
        Ok(Outcome::Done("invited", 1))
    }

    async fn change(
        &self,
        app: &App,
        view: &View,
        admin: &Permit<ChangeUsers>,
    ) -> Result<Outcome, ApiError> {
        let ids = &self.ids;
        Ok(match self.action.as_str() {
            "activate" => {
                // Reactivation needs a confirmation, as it reverts a decision of another staff member.
                if !self.is_confirmed {
                    let users = actions::users::find_selected(app, admin, ids, false).await?;
                    if users.iter().any(|user| !user.is_active) {
                        return Ok(self.confirm(view, admin, users, None));
                    }
                }
                let count = actions::users::activate(app, admin, ids).await?;
                Outcome::Done("activated", count)
            }
            "deactivate" if !self.is_confirmed => {
                let users = actions::users::find_selected(app, admin, ids, true).await?;
                self.confirm(view, admin, users, None)
            }
            "deactivate" => {
                let count = actions::users::deactivate(app, admin, ids).await?;
                Outcome::Done("deactivated", count)
            }
            "sign_out" => {
                let count = actions::users::end_all_sessions(app, admin, ids).await?;
                Outcome::Done("sessions_ended", count)
            }
            "request_password_reset" => {
                actions::users::request_password_reset(app, admin, self.single_id()?).await?;
                Outcome::Done("reset_requested", 1)
            }
            _ => return Err(ApiError::NotFound),
        })
    }

    async fn delete(
        &self,
        app: &App,
        view: &View,
        admin: &Permit<DeleteUsers>,
    ) -> Result<Outcome, ApiError> {
        if self.is_confirmed {
            let count = actions::users::delete(app, admin, &self.ids).await?;
            return Ok(Outcome::Done("deleted", count));
        }
        let users = actions::users::find_selected(app, admin, &self.ids, true).await?;
        let dependents = staff::count_dependents(&app.db, &self.ids, app.now()).await?;
        Ok(self.confirm(view, admin, users, Some(dependents)))
    }

    fn confirm(
        &self,
        view: &View,
        admin: &Admin,
        users: Vec<account::Model>,
        dependents: Option<DependentCounts>,
    ) -> Outcome {
        let t = view.t;
        let (button, one, several) = match self.action.as_str() {
            "delete" => (t.delete, t.confirm_delete_one, t.confirm_delete),
            "deactivate" => (t.deactivate, t.confirm_deactivate_one, t.confirm_deactivate),
            _ => (t.activate, t.confirm_reactivate_one, t.confirm_reactivate),
        };
        Outcome::Confirm(Box::new(ConfirmPage {
            v: view.with_path(&self.target),
            me: CurrentAdmin::of(admin),
            title: button,
            section: "users",
            question: if users.len() == 1 { one } else { several },
            button,
            action: self.action.clone(),
            back: self.target.clone(),
            pictures: users.iter().filter(|user| user.picture.is_some()).count(),
            dependents,
            users,
        }))
    }

    /// Returns the path of the next page: not the page of a deleted account.
    fn next_target(&self) -> &str {
        let is_page_of = |id| self.target.starts_with(&format!("/admin/users/{id}/"));
        if self.action == "delete" && self.ids.iter().any(is_page_of) {
            "/admin/users/"
        } else {
            &self.target
        }
    }

    /// Shows the page with the selection again, with the error.
    async fn show_error(
        &self,
        app: &App,
        view: &View,
        admin: &Permit<ViewUsers>,
        error: ApiError,
    ) -> poem::Result<Response> {
        let view = view.with_path(&self.target);
        let rest = self.target.strip_prefix("/admin/users/").unwrap_or("-");
        if let Ok(id) = rest.trim_end_matches('/').parse() {
            return user::show_error(app, admin, &view, id, error).await;
        }
        if !(rest.is_empty() || rest.starts_with('?')) {
            return Err(error.into());
        }
        let query = UserListQuery::parse(rest.trim_start_matches('?'));
        let mut page = users::Page::load(app, CurrentAdmin::of(admin), &view, &query).await?;
        let problem = FormState::default().with_error(view.t, &error).problem;
        page.problem = problem.or_else(|| id_error(view.t, &error));
        page.results.selected.clone_from(&self.ids);
        view.page_with_error(error, &page)
    }
}

/// Returns the error of the field `id`, which no form shows.
pub(in crate::admin::dashboard::pages) fn id_error(t: &Texts, error: &ApiError) -> Option<String> {
    let form = FormState::default().with_error(t, error);
    form.error("id").map(|error| format!("id: {error}"))
}

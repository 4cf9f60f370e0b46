//! The dashboard at `/admin/`: HTML rendered on the server, which works with and without JavaScript.

use poem::{Endpoint, EndpointExt as _, Response, Route, get, post};

use crate::admin::dashboard::pages::{
    account, api_tokens, audit_log, cancel_email, forgot_password, lockouts, mails, new_user,
    overview, own_email, resets, roles, second_step, security, setup, sign_in, user,
    users::{self, bulk, csv},
    verify,
};

pub mod account_status;
pub mod assets;
pub mod audit_event;
pub mod branding;
pub mod code_cookie;
pub mod components;
pub mod context;
pub mod cookies;
pub mod csrf;
pub mod current_admin;
pub mod error_page;
pub mod form_state;
pub mod i18n;
pub mod pages;
pub mod redirect;
pub mod session;

/// Returns the routes of all pages, relative to `/admin`.
pub fn routes() -> impl Endpoint<Output = Response> {
    Route::new()
        .at("/", get(overview::show))
        .at("/login", get(sign_in::show).post(sign_in::sign_in))
        .at(
            "/login/code",
            get(second_step::show).post(second_step::sign_in),
        )
        .at("/logout", post(sign_in::sign_out))
        .at(
            "/forgot",
            get(forgot_password::show_request).post(forgot_password::request_code),
        )
        .at(
            "/reset",
            get(forgot_password::show_reset).post(forgot_password::reset_password),
        )
        .at("/preferences", post(sign_in::save_preferences))
        .at("/setup/:token", get(setup::show).post(setup::create))
        .nest("/account", account_routes())
        .at(
            "/cancel-email",
            get(cancel_email::show).post(cancel_email::cancel),
        )
        .nest("/tokens", api_tokens::routes())
        .at("/users", get(users::show))
        .at("/users/add", get(new_user::show).post(new_user::create))
        .at("/users/bulk", get(bulk::redirect_to_list).post(bulk::run))
        .at("/users/export", get(csv::export))
        .at("/users/:id<\\d+>", get(user::show).post(user::save))
        .at("/users/:id<\\d+>/sessions", post(user::end_session))
        .at("/users/:id<\\d+>/trust-email", post(user::trust_email))
        .at(
            "/users/:id<\\d+>/remove-factor",
            post(user::remove_second_factor),
        )
        .at("/resets", get(resets::show))
        .nest("/roles", roles::routes())
        .at("/mails", get(mails::list))
        .at(
            "/mails/retry",
            get(mails::redirect_to_list).post(mails::retry_failed),
        )
        .at("/mails/:id", get(mails::show).post(mails::change))
        .at("/mails/:id/preview", get(mails::show_preview))
        .at("/limits", get(lockouts::show))
        .at("/limits/release", post(lockouts::unlock))
        .at("/audit", get(audit_log::show))
        .at(
            "/audit/verify",
            get(audit_log::redirect_to_list).post(audit_log::verify),
        )
        .at("/assets/:name", get(assets::serve))
        .around(csrf::check)
        .around(error_page::render_errors)
}

/// Returns the routes of the administrator's own account, relative to `/admin/account`.
fn account_routes() -> Route {
    Route::new()
        .at("/", get(account::show).post(account::change_password))
        .at(
            "/email",
            get(own_email::show).post(own_email::request_change),
        )
        .at(
            "/email/confirm",
            get(own_email::show).post(own_email::confirm),
        )
        .at("/verify", get(verify::show).post(verify::check))
        .nest("/security", security::routes())
}

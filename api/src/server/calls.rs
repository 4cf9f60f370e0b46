//! The operations of the OpenAPI document.

use poem_openapi::{LicenseObject, OpenApiService};

use crate::{
    accounts::{
        activation::Activation, activity::Activities, data_export::DataExport,
        delete_account::DeleteAccount, profile::Profile, register::Register,
    },
    admin,
    auth::{
        email_confirmation::EmailConfirmation, login::Login, logout::Logout,
        password_change::PasswordChange, password_reset::PasswordReset, refresh::Refresh,
        second_factor, sessions::Sessions, well_known::WellKnown,
    },
    openapi::Description,
    server::health::Health,
};

/// The handlers of all documented operations.
type Calls = (
    Register,
    Profile,
    PasswordChange,
    (Login, second_factor::Calls),
    Refresh,
    Logout,
    Sessions,
    WellKnown,
    Activities,
    DataExport,
    DeleteAccount,
    PasswordReset,
    Activation,
    EmailConfirmation,
    admin::api::Calls,
    Health,
);

/// Returns the service of all documented operations.
#[must_use]
pub fn service() -> OpenApiService<Calls, ()> {
    OpenApiService::new(
        (Register, Profile, PasswordChange, (Login, second_factor::CALLS), Refresh, Logout, Sessions, WellKnown, Activities, DataExport, DeleteAccount, PasswordReset, Activation, EmailConfirmation, admin::api::CALLS, Health),
        "Latchkey",
        env!("CARGO_PKG_VERSION"),
    )
    .description(
        "Accounts for your product: sign-up, login with access and refresh tokens, password reset by a mailed one-time \
         code, and user profiles.\n\nEvery path works with and without its trailing slash, and every body may be \
         JSON, form-urlencoded or multipart. Every error is an RFC 9457 problem; the header `X-Request-Id` names the \
         request in the server's log.\n\nIn addition to the listed errors, every call can return 400 `invalid-host`, 414 \
         `uri-too-long` (over 8 KiB) and 431 `header-too-large` (over 16 KiB or 64 fields).",
    )
    .license(LicenseObject::new("MIT").url("https://opensource.org/license/mit"))
}

/// Returns the description of the service, from which the OpenAPI document is made.
#[must_use]
pub fn description() -> Description {
    Description::new(&service())
}

//! The dashboard at `/admin/`: HTML pages, cookies, CSRF protection and translations.

pub mod assets;
pub mod context;
pub mod csrf;
pub mod form_state;
pub mod i18n;
pub mod pages;
pub mod session;

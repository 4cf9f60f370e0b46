//! The pages of the dashboard.

pub(crate) mod access;
pub(crate) mod browser;
pub(crate) mod delivery_health;
pub(crate) mod overview;
pub(crate) mod pages;
pub(crate) mod users;

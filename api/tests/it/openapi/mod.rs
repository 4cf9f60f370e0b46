//! The OpenAPI document and Swagger UI.

pub(crate) mod document;
pub(crate) mod swagger_ui;

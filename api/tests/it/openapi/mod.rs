//! The OpenAPI document and Swagger UI.

pub(crate) mod document;
mod request_examples;
mod swagger_ui;

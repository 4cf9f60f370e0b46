//! The OpenAPI document and Swagger UI.

mod document;
mod request_examples;
mod swagger_ui;

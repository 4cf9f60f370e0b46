//! The OpenAPI document and Swagger UI.

mod document;
mod swagger_ui;

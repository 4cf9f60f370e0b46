//! The OpenAPI document: what `poem-openapi` derives from the handlers, with the corrections that it has no attributes for.
//!
//! The document is a pure function of the code. The committed files, the endpoints and Swagger UI all use it.

use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Map, Value, json};

use crate::{config::passwords::MIN_PASSWORD_LENGTH, openapi::swagger_ui::Bundle};

mod bodies;
mod examples;
mod fixes;
mod swagger_ui;

/// The settings of an installation that change the document. The committed document has the defaults.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The path of `PUBLIC_URL`; empty when there is none.
    pub base: String,
    /// `PASSWORD_MIN_LENGTH`
    pub min_password: usize,
    /// `REFRESH_COOKIE`
    pub refresh_cookie: bool,
}

impl Default for Installation {
    fn default() -> Self {
        Self {
            base: String::new(),
            min_password: MIN_PASSWORD_LENGTH,
            refresh_cookie: false,
        }
    }
}

/// The description of a service, before an installation's settings are applied.
pub struct Description {
    /// The document as `poem-openapi` writes it.
    spec: String,
    /// Swagger UI as `poem-openapi` renders it.
    page: String,
}

impl Description {
    /// Describes the handlers of a service.
    #[must_use]
    pub fn new<T: OpenApi>(service: &OpenApiService<T, ()>) -> Self {
        Self {
            spec: service.spec(),
            page: service.swagger_ui_html(),
        }
    }

    /// Returns the corrected document with default settings.
    ///
    /// # Panics
    /// When the handlers describe something that is no document. The test of the committed document would show it.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut document: Value =
            serde_json::from_str(&self.spec).expect("poem-openapi writes valid JSON");
        fixes::apply(&mut document);
        bodies::describe(&mut document);
        examples::add(&mut document);
        document
    }

    /// Returns the document of an installation.
    fn document_of(&self, installation: &Installation) -> Value {
        let mut document = self.document();
        let base = installation.base.as_str();
        if !base.is_empty() {
            prefix_problem_types(&mut document, base);
            document["servers"] = json!([{"url": base}]);
        }
        if installation.refresh_cookie {
            // Pages send the token as a cookie, and no body.
            for path in ["/auth/refresh/", "/auth/logout/"] {
                document["paths"][path]["post"]["requestBody"]["required"] = json!(false);
            }
        }
        let schemas = document["components"]["schemas"].as_object_mut();
        for schema in schemas.into_iter().flat_map(Map::values_mut) {
            for password in ["/properties/password", "/properties/new_password"] {
                if let Some(password) = schema.pointer_mut(password) {
                    set_min_length(password, installation.min_password);
                }
            }
        }
        document
    }

    /// Returns the document of an installation as JSON.
    ///
    /// # Panics
    /// Never: every JSON value serialises.
    #[must_use]
    pub fn json(&self, installation: &Installation) -> String {
        let document = self.document_of(installation);
        let mut text = serde_json::to_string_pretty(&document).expect("a JSON value serialises");
        text.push('\n');
        text
    }

    /// Returns the document of an installation as YAML.
    ///
    /// # Panics
    /// Never: every JSON value serialises.
    #[must_use]
    pub fn yaml(&self, installation: &Installation) -> String {
        serde_yaml::to_string(&self.document_of(installation)).expect("a JSON value serialises")
    }

    /// Returns the page of Swagger UI with the document of an installation, and its Content-Security-Policy. The page loads nothing
    /// from another server.
    #[must_use]
    pub fn swagger_ui(&self, installation: &Installation) -> (String, String) {
        let document = self.document_of(installation);
        self.bundle().page(&document, &installation.base)
    }

    /// Returns the script of Swagger UI.
    #[must_use]
    pub fn swagger_ui_script(&self) -> &str {
        self.bundle().script
    }

    fn bundle(&self) -> Bundle<'_> {
        Bundle::find_in(&self.page).expect("poem-openapi renders a page with its bundle")
    }

    /// Returns the methods of each path, for the `Allow` header of a 405 (RFC 9110, 15.5.6). A path is its segments; those in
    /// braces match any text. Paths with fewer braces come first, as the router prefers them.
    #[must_use]
    pub fn methods(&self) -> Vec<(Vec<String>, String)> {
        let mut document = self.document();
        let paths = document["paths"].take();
        let mut methods: Vec<(Vec<String>, String)> = paths
            .as_object()
            .into_iter()
            .flatten()
            .map(|(path, calls)| {
                let segments = path.trim_matches('/').split('/').map(str::to_owned);
                let methods: Vec<_> = calls
                    .as_object()
                    .into_iter()
                    .flat_map(Map::keys)
                    .map(|method| method.to_uppercase())
                    .collect();
                (segments.collect(), methods.join(", "))
            })
            .collect();
        methods
            .sort_by_key(|(segments, _)| segments.iter().filter(|it| it.starts_with('{')).count());
        methods
    }
}

/// Sets the configured minimum length of a new password. The handlers declare the default.
fn set_min_length(password: &mut Value, min_length: usize) {
    if password["minLength"] != MIN_PASSWORD_LENGTH {
        return;
    }
    password["minLength"] = json!(min_length);
    if let Some(text) = password["description"].as_str() {
        let default = format!("{MIN_PASSWORD_LENGTH} to ");
        password["description"] = json!(text.replace(&default, &format!("{min_length} to ")));
    }
}

/// Adds the path of `PUBLIC_URL` to the problem types in the examples.
fn prefix_problem_types(value: &mut Value, base: &str) {
    match value {
        Value::String(text) if text.starts_with("/problems/") => text.insert_str(0, base),
        Value::Array(items) => {
            for item in items {
                prefix_problem_types(item, base);
            }
        }
        Value::Object(members) => {
            for member in members.values_mut() {
                prefix_problem_types(member, base);
            }
        }
        _ => {}
    }
}

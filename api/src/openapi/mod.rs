//! The OpenAPI document, a pure function of the code, and Swagger UI around it.

use poem_openapi::{LicenseObject, OpenApiService, Tags};
use serde_json::{Map, Value, json};

use crate::{
    accounts::{
        activation::Activation, activity::Activities, profile::Profile, register::Register,
    },
    admin,
    auth::{
        login::Login, logout::Logout, password_change::PasswordChange,
        password_reset::PasswordReset, refresh::Refresh, sessions::Sessions,
    },
    passwords::policy::MIN_LENGTH,
    server::health::Health,
};

mod examples;

/// The chapters of the document.
#[derive(Tags)]
pub enum Tag {
    /// Making an account, and the own profile.
    Account,
    /// Logging in and out, and renewing the access token.
    Session,
    /// A forgotten password, in three steps.
    Reset,
    /// For staff and scripts, with the permissions of the dashboard.
    Administration,
    /// For those who run the service.
    Operation,
}

/// All calls.
type Calls = (
    Register,
    Profile,
    PasswordChange,
    Login,
    Refresh,
    Logout,
    Sessions,
    Activities,
    PasswordReset,
    Activation,
    admin::api::Calls,
    Health,
);

/// All calls, with their documentation.
#[must_use]
pub fn service() -> OpenApiService<Calls, ()> {
    OpenApiService::new(
        (Register, Profile, PasswordChange, Login, Refresh, Logout, Sessions, Activities, PasswordReset, Activation, admin::api::CALLS, Health),
        "Latchkey",
        env!("CARGO_PKG_VERSION"),
    )
    .description(
        "Accounts for your product: sign-up, login with access and refresh tokens, password reset by a mailed one-time \
         code, and the own profile.\n\nEvery path works with and without its trailing slash, and every body may be \
         JSON, form-urlencoded or multipart. Every error is an RFC 9457 problem; the header `X-Request-Id` names the \
         request in our log.\n\nBeside the errors that are listed, every call can end with 400 `invalid-host`, 414 \
         `uri-too-long` (over 8 KiB) and 431 `header-too-large` (over 16 KiB or 64 fields).",
    )
    .license(LicenseObject::new("MIT").url("https://opensource.org/license/mit"))
}

/// The document. What poem-openapi cannot say is mended here, once for the file, the endpoint and Swagger UI.
///
/// # Panics
/// When the code describes something that is no document, which the test of the committed one would show.
#[must_use]
pub fn document() -> Value {
    let mut document: Value =
        serde_json::from_str(&service().spec()).expect("poem-openapi writes valid JSON");
    strip_charsets(&mut document);
    fix_schemas(&mut document["components"]["schemas"]);
    name_bodies(&mut document);
    restore_slashes(&mut document);
    describe_answers(&mut document);
    examples::add(&mut document);
    order_chapters(&mut document);
    document
}

/// What an installation changes of the document. The committed document is that of the default.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The path of `PUBLIC_URL`; empty when there is none.
    pub base: String,
    /// `PASSWORD_MIN_LENGTH`
    pub min_password: usize,
}

impl Default for Installation {
    fn default() -> Self {
        Self {
            base: String::new(),
            min_password: MIN_LENGTH,
        }
    }
}

/// The document of an installation.
fn document_of(installation: &Installation) -> Value {
    let mut document = document();
    let base = installation.base.as_str();
    if !base.is_empty() {
        place_problems_below(&mut document, base);
        document["servers"] = json!([{"url": base}]);
    }
    let schemas = document["components"]["schemas"].as_object_mut();
    for schema in schemas.into_iter().flat_map(Map::values_mut) {
        for name in ["password", "new_password"] {
            if let Some(password) = schema["properties"].get_mut(name) {
                set_min_length(password, installation.min_password);
            }
        }
    }
    document
}

/// Says of a new password what is configured. The code has the default.
fn set_min_length(password: &mut Value, min_length: usize) {
    if password["minLength"] != MIN_LENGTH {
        return;
    }
    password["minLength"] = json!(min_length);
    if let Some(text) = password["description"].as_str() {
        let default = format!("{MIN_LENGTH} to ");
        password["description"] = json!(text.replace(&default, &format!("{min_length} to ")));
    }
}

/// Puts a path in front of the problem types of the examples.
fn place_problems_below(value: &mut Value, base: &str) {
    match value {
        Value::String(text) if text.starts_with("/problems/") => text.insert_str(0, base),
        Value::Array(items) => {
            for item in items {
                place_problems_below(item, base);
            }
        }
        Value::Object(members) => {
            for member in members.values_mut() {
                place_problems_below(member, base);
            }
        }
        _ => {}
    }
}

/// The document of an installation as text, JSON.
///
/// # Panics
/// Never: a JSON value is valid JSON.
#[must_use]
pub fn document_json(installation: &Installation) -> String {
    let mut text =
        serde_json::to_string_pretty(&document_of(installation)).expect("a JSON value serialises");
    text.push('\n');
    text
}

/// The document of an installation as text, YAML.
///
/// # Panics
/// Never: a JSON value is valid YAML.
#[must_use]
pub fn document_yaml(installation: &Installation) -> String {
    serde_yaml::to_string(&document_of(installation)).expect("a JSON value serialises")
}

/// Swagger UI with everything embedded: nothing is asked of any other server.
#[must_use]
pub fn swagger_ui(installation: &Installation) -> String {
    let service = service();
    // The page embeds the document as it is; `<` could end its script.
    let document = document_of(installation)
        .to_string()
        .replace('<', "\\u003c");
    let page = service
        .swagger_ui_html()
        .replace(&service.spec(), &document)
        .replace("<html charset=\"UTF-8\">", "<html lang=\"en\">")
        .replace("<title>Swagger UI</title>", PAGE_HEAD);
    // Without a document type browsers fall back to the rules of 1998, under which tables inherit no colour.
    format!("<!DOCTYPE html>{}", page.trim_start())
}

/// A title, the width of phones, and a dark scheme, none of which the page brings.
const PAGE_HEAD: &str = r#"<title>Latchkey API</title>
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <link rel="icon" href="data:,">
    <style>
        body { margin: 0 }
        @media (prefers-color-scheme: dark) {
            html { background: #14161a }
            .swagger-ui { filter: invert(0.9) hue-rotate(180deg); color-scheme: light; color: #3b4151 }
            .swagger-ui .highlight-code, .swagger-ui .curl-command .curl { filter: invert(1) hue-rotate(180deg) }
            html .swagger-ui .scheme-container { background: none; box-shadow: none }
            html .swagger-ui .opblock .opblock-summary-method { color: #000; text-shadow: none }
            html .swagger-ui .btn.authorize { color: #14532d; border-color: #14532d }
            html .swagger-ui .btn.authorize svg { fill: #14532d }
        }
        @media (max-width: 600px) {
            .swagger-ui .opblock .opblock-summary-description { display: none }
            .swagger-ui .wrapper { padding: 0 10px }
            .swagger-ui .response-col_links { display: none }
        }
    </style>"#;

/// What the page may do: run what it embeds and call us.
pub const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                               font-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// `application/json; charset=utf-8` is a media type that generators stumble over, and JSON is UTF-8 anyway.
fn strip_charsets(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let renamed = std::mem::take(members)
                .into_iter()
                .map(|(name, mut member)| {
                    strip_charsets(&mut member);
                    (name.replace("; charset=utf-8", ""), member)
                });
            *members = renamed.collect();
        }
        Value::Array(items) => items.iter_mut().for_each(strip_charsets),
        _ => {}
    }
}

/// What a change may leave out, but not clear.
const NEVER_NULL: [&str; 8] = [
    "email",
    "username",
    "is_activated",
    "is_active",
    "is_staff",
    "is_superuser",
    "permissions",
    "version",
];

/// Answers that have every member always.
const ALWAYS_REQUIRED: [&str; 12] = [
    "User",
    "Account",
    "AccountList",
    "Reset",
    "ResetList",
    "Mail",
    "MailList",
    "WrittenMail",
    "Hold",
    "AuditEvent",
    "AuditList",
    "Verified",
];

/// A member that may be absent may be null, too: that is how a profile says that it has no picture, and how a change
/// clears one. Only a problem leaves out what it has not, and some things can be changed but not cleared.
fn fix_schemas(schemas: &mut Value) {
    let Some(schemas) = schemas.as_object_mut() else {
        return;
    };
    let gender = schemas
        .remove("Gender")
        .map(|gender| nullable_choice(&gender));
    // openapi-python-client takes no reference to a choice that has a description beside it.
    let act = schemas.remove("AccountAct");
    for (name, schema) in schemas.iter_mut() {
        let required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
        let Some(members) = schema["properties"].as_object_mut() else {
            continue;
        };
        for (member, description) in members.iter_mut() {
            let refers_to = |name| {
                let reference = format!("#/components/schemas/{name}\"");
                description.to_string().contains(&reference)
            };
            if refers_to("Gender") {
                *description = gender.clone().unwrap_or_default();
            } else if refers_to("AccountAct") {
                *description = act.clone().unwrap_or_default();
            }
            match member.as_str() {
                "email" => description["format"] = json!("email"),
                "password" | "new_password" => {
                    description["format"] = json!("password");
                    at_least_one(description);
                }
                "token" | "otp" | "refresh" => at_least_one(description),
                "dateBirth" => description["format"] = json!("date"),
                _ => {}
            }
            let is_kept = name == "Problem" || name == "Refreshed";
            if !is_kept
                && !NEVER_NULL.contains(&member.as_str())
                && !required.contains(&json!(member))
            {
                description["nullable"] = json!(true);
            }
        }
        if ALWAYS_REQUIRED.contains(&name.as_str()) {
            schema["required"] = members_of(schema);
        }
    }
}

/// No text that has to be given may be empty.
fn at_least_one(text: &mut Value) {
    if text["type"] == "string" && text.get("minLength").is_none() {
        text["minLength"] = json!(1);
    }
}

fn nullable_choice(choice: &Value) -> Value {
    let mut choice = choice.clone();
    if let Some(values) = choice["enum"].as_array_mut() {
        values.push(Value::Null);
    }
    choice
}

fn members_of(schema: &Value) -> Value {
    schema["properties"]
        .as_object()
        .map(|members| members.keys().cloned().collect())
        .unwrap_or_default()
}

/// The methods of each path, for the `Allow` header of a 405 (RFC 9110, 15.5.6): segments as in the document, those in
/// braces stand for any. Paths with fewer of these come first, as the router prefers them.
#[must_use]
pub fn methods() -> Vec<(Vec<String>, String)> {
    let mut document = document();
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
    methods.sort_by_key(|(segments, _)| segments.iter().filter(|it| it.starts_with('{')).count());
    methods
}

/// Gives each media type of a body a schema of its own name: a generated client tells by the type of the body how to
/// send it. In a multipart body a picture is a file.
fn name_bodies(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let mut named = Map::new();
    for call in calls(document).filter(|call| call.get("requestBody").is_some()) {
        for (media_type, suffix) in [
            ("application/x-www-form-urlencoded", "Form"),
            ("multipart/form-data", "Multipart"),
        ] {
            let reference = &mut call["requestBody"]["content"][media_type]["schema"]["$ref"];
            let Some(name) = reference.as_str().and_then(|path| path.rsplit('/').next()) else {
                continue;
            };
            let mut schema = schemas[name].clone();
            as_form(&mut schema);
            if suffix == "Multipart" && schema["properties"].get("image").is_some() {
                schema["properties"]["image"] = json!({
                    "type": "string",
                    "format": "binary",
                    "description": "PNG, JPEG, GIF or WebP, at most 5 MiB and 25 megapixels.",
                });
                // It is one for JSON.
                schema
                    .as_object_mut()
                    .and_then(|schema| schema.remove("example"));
            }
            let name = format!("{name}{suffix}");
            schema["title"] = json!(name);
            *reference = json!(format!("#/components/schemas/{name}"));
            named.insert(name, schema);
        }
    }
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.extend(named);
    }
}

/// Forms have no null: what is blank is cleared, or not said. Nor have they lists: those are texts with commas.
fn as_form(schema: &mut Value) {
    if let Some(example) = schema.get_mut("example").and_then(Value::as_object_mut) {
        example.retain(|_, value| !value.is_null());
        for value in example.values_mut() {
            if let Value::Array(items) = value {
                let items: Vec<_> = items
                    .iter()
                    .map(|item| {
                        item.as_str()
                            .map_or_else(|| item.to_string(), str::to_owned)
                    })
                    .collect();
                *value = json!(items.join(","));
            }
        }
    }
    let members = schema["properties"].as_object_mut().into_iter();
    for member in members
        .flat_map(Map::values_mut)
        .filter_map(Value::as_object_mut)
    {
        member.remove("nullable");
        if member.get("type") == Some(&json!("array")) {
            let description = member.remove("description").unwrap_or_default();
            let description = description.as_str().unwrap_or_default();
            let description = format!("{description} With commas between them.");
            member.clear();
            member.insert("type".to_owned(), json!("string"));
            member.insert("description".to_owned(), json!(description));
        }
        if let Some(values) = member.get_mut("enum").and_then(Value::as_array_mut) {
            values.retain(|value| !value.is_null());
            values.push(json!(""));
        }
        if member.get("format") == Some(&json!("date")) {
            member.remove("format");
            member.insert(
                "pattern".to_owned(),
                json!("^([0-9]{4}-[0-9]{2}-[0-9]{2})?$"),
            );
        }
    }
}

/// The order in which somebody new meets them, not the alphabet's.
fn order_chapters(document: &mut Value) {
    const ORDER: [&str; 5] = ["Account", "Session", "Reset", "Administration", "Operation"];
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.sort_by_key(|tag| ORDER.iter().position(|name| tag["name"] == *name));
    }
}

/// Says of each answer what it is where the code says so of its body alone.
fn describe_answers(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let said = |schema: &Value| {
        let name = schema["$ref"].as_str()?.rsplit('/').next()?;
        schemas[name]["description"].as_str().map(str::to_owned)
    };
    let answers = calls(document)
        .filter_map(|call| call["responses"].as_object_mut())
        .flat_map(Map::values_mut);
    for answer in answers.filter(|answer| answer["description"] == "") {
        let schema = &answer["content"]["application/json"]["schema"];
        let of_each = || said(&schema["items"]).map(|item| format!("A list. {item}"));
        if let Some(description) = said(schema).or_else(of_each) {
            answer["description"] = json!(description);
        }
    }
}

fn calls(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    document["paths"]
        .as_object_mut()
        .into_iter()
        .flat_map(|paths| paths.values_mut())
        .filter_map(Value::as_object_mut)
        .flat_map(|methods| methods.values_mut())
}

/// poem-openapi drops the trailing slash; the contract's paths have it.
fn restore_slashes(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else {
        return;
    };
    *paths = std::mem::take(paths)
        .into_iter()
        .map(|(path, calls)| {
            let has_slash = path.starts_with("/api/") || path.starts_with("/auth/");
            (if has_slash { path + "/" } else { path }, calls)
        })
        .collect::<Map<_, _>>();
}

//! Corrections of the document where `poem-openapi` has no attribute for them.

use serde_json::{Map, Value, json};

/// Applies every correction.
pub(super) fn apply(document: &mut Value) {
    // The server that the document was loaded from (RFC 3986, 4.2).
    document["servers"] = json!([{"url": "/"}]);
    strip_charsets(document);
    fix_schemas(&mut document["components"]["schemas"]);
    restore_slashes(document);
    describe_answers(document);
    declare_public_calls(document);
    order_tags(document);
}

/// Declares that calls without a security scheme need no login (OpenAPI 3.0.3, 4.8.10).
fn declare_public_calls(document: &mut Value) {
    for call in calls(document).filter_map(Value::as_object_mut) {
        call.entry("security").or_insert_with(|| json!([]));
    }
}

/// Removes `; charset=utf-8` from media types: some generators do not accept it, and JSON is always UTF-8.
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

/// Members that a PATCH may omit but not set to null.
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

/// Schemas whose members are all present in every answer.
const ALWAYS_REQUIRED: [&str; 12] = [
    "User",
    "Account",
    "AccountList",
    "Reset",
    "ResetList",
    "Mail",
    "MailList",
    "MailWithText",
    "Lockout",
    "AuditEvent",
    "AuditList",
    "AuditVerification",
];

/// Enums that are members of several schemas or of a request body.
const ENUMS: [&str; 2] = ["Gender", "BulkAction"];

/// The answers that omit `language` unless the owner has set it, and the member.
const OMITTED: [(&str, &str); 3] = [
    ("User", "language"),
    ("NewAccount", "language"),
    ("ChangedUser", "language"),
];

/// Makes optional members nullable: a profile without a picture has `null`, and a PATCH clears a member with `null`. The
/// exceptions are problems, which omit members, and the members in [`NEVER_NULL`].
fn fix_schemas(schemas: &mut Value) {
    let Some(schemas) = schemas.as_object_mut() else {
        return;
    };
    if let Some(gender) = schemas.get_mut("Gender") {
        make_choice_nullable(gender);
    }
    for (name, schema) in schemas.iter_mut() {
        let required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
        let Some(members) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            continue;
        };
        for (member, description) in members.iter_mut() {
            // A `$ref` has no siblings (OpenAPI 3.0.3, 4.8.23), and one enum serves all models of a generated client.
            let text = description.to_string();
            let mut enums = ENUMS.into_iter();
            if let Some(name) = enums.find(|name| text.contains(&reference_to(name).to_string())) {
                *description = reference_to(name);
                continue;
            }
            // The type of poem-openapi has the format `naive-date`.
            if member == "dateBirth" || member == "date_birth" {
                description["format"] = json!("date");
            }
            let is_kept = matches!(
                name.as_str(),
                "Problem" | "Refreshed" | "TokenPair" | "PublicKey"
            );
            let is_omitted = OMITTED.contains(&(name.as_str(), member.as_str()));
            // Most events name no email.
            let is_never_null = NEVER_NULL.contains(&member.as_str())
                && !matches!(name.as_str(), "AuditDetails" | "ExportedEvent");
            if !is_kept && !is_omitted && !is_never_null && !required.contains(&json!(member)) {
                description["nullable"] = json!(true);
                // `nullable` needs a `type` beside it (OpenAPI 3.0.3, Schema Object).
                if description.get("allOf").is_some() {
                    description["type"] = json!("object");
                }
            }
        }
        if ALWAYS_REQUIRED.contains(&name.as_str()) {
            let mut members = members_of(schema);
            if let Some(members) = members.as_array_mut() {
                members.retain(|member| {
                    !OMITTED.contains(&(name.as_str(), member.as_str().unwrap_or_default()))
                });
            }
            schema["required"] = members;
        }
    }
}

fn make_choice_nullable(choice: &mut Value) {
    choice["nullable"] = json!(true);
    if let Some(values) = choice["enum"].as_array_mut() {
        values.push(Value::Null);
    }
}

/// Returns a reference to a schema.
pub(super) fn reference_to(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// Returns the name of the schema that a value refers to.
pub(super) fn referred_name(value: &Value) -> Option<&str> {
    value["$ref"].as_str()?.rsplit('/').next()
}

fn members_of(schema: &Value) -> Value {
    schema["properties"]
        .as_object()
        .map(|members| members.keys().cloned().collect())
        .unwrap_or_default()
}

/// Sorts the tags in the order in which a new user needs them.
fn order_tags(document: &mut Value) {
    const ORDER: [&str; 6] = [
        "Account",
        "Session",
        "Reset",
        "Verification",
        "Administration",
        "Operation",
    ];
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.sort_by_key(|tag| ORDER.iter().position(|name| tag["name"] == *name));
    }
}

/// Describes each answer by its body's description where it has none of its own.
fn describe_answers(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let said = |schema: &Value| {
        schemas[referred_name(schema)?]["description"]
            .as_str()
            .map(str::to_owned)
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

pub(super) fn calls(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    document["paths"]
        .as_object_mut()
        .into_iter()
        .flat_map(|paths| paths.values_mut())
        .filter_map(Value::as_object_mut)
        .flat_map(|methods| methods.values_mut())
}

/// Restores the trailing slashes of the contract's paths, which `poem-openapi` drops.
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

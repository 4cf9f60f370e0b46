//! Corrections of the document where `poem-openapi` has no attribute for them.

use serde_json::{Map, Value, json};

/// Applies every correction.
pub(super) fn apply(document: &mut Value) {
    // The server that the document was loaded from (RFC 3986, 4.2).
    document["servers"] = json!([{"url": "/"}]);
    strip_charsets(document);
    fix_schemas(&mut document["components"]["schemas"]);
    name_bodies(document);
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

/// Makes optional members nullable: a profile without a picture has `null`, and a PATCH clears a member with `null`. The
/// exceptions are problems, which omit members, and the members in [`NEVER_NULL`].
fn fix_schemas(schemas: &mut Value) {
    let Some(schemas) = schemas.as_object_mut() else {
        return;
    };
    let gender = schemas
        .remove("Gender")
        .map(|gender| nullable_choice(&gender));
    // openapi-python-client accepts no `$ref` with a sibling description.
    let act = schemas.remove("BulkAction");
    for (name, schema) in schemas.iter_mut() {
        let required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
        let Some(members) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            continue;
        };
        for (member, description) in members.iter_mut() {
            let refers_to = |name| {
                let reference = format!("#/components/schemas/{name}\"");
                description.to_string().contains(&reference)
            };
            if refers_to("Gender") {
                *description = gender.clone().unwrap_or_default();
            } else if refers_to("BulkAction") {
                *description = act.clone().unwrap_or_default();
            }
            // The type of poem-openapi has the format `naive-date`.
            if member == "dateBirth" {
                description["format"] = json!("date");
            }
            let is_kept = matches!(
                name.as_str(),
                "Problem" | "Refreshed" | "TokenPair" | "PublicKey"
            );
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

/// Gives the form and multipart bodies schemas of their own, since generated clients choose the media type by the body's
/// type. In a multipart body a picture is a file.
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
                // The example is for JSON.
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

/// Adapts a schema to forms: an empty value stands for null, and a list is a text with commas.
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

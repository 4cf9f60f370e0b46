//! Request bodies in the document: the schemas of forms, and examples that a client can send as printed.

use serde_json::{Map, Value, json};

use crate::openapi::fixes::{calls, reference_to, referred_name};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

/// Gives each media type of a body its schema and an example.
///
/// A form has a schema of its own where it differs from JSON. Every other body shares the schema of JSON, so that generated
/// clients have one model for it.
pub(super) fn describe(document: &mut Value) {
    let mut schemas = document["components"]["schemas"].take();
    let bodies = calls(document).filter_map(|call| call.get_mut("requestBody"));
    for body in bodies {
        let name = referred_name(&body["content"][JSON]["schema"]).unwrap_or_default();
        // The server accepts a PATCH without a body as a change of nothing.
        let is_needed = schemas[name].get("required").is_some() || !name.ends_with("Change");
        body["required"] = json!(is_needed);
        describe_content(&mut body["content"], &mut schemas);
    }
    // The media types have the examples now.
    let described = schemas.as_object_mut().into_iter();
    for schema in described
        .flat_map(Map::values_mut)
        .filter_map(Value::as_object_mut)
    {
        schema.remove("example");
    }
    document["components"]["schemas"] = schemas;
}

/// Describes the media types of one body, which all have the schema of JSON.
fn describe_content(content: &mut Value, schemas: &mut Value) {
    let Some(name) = referred_name(&content[JSON]["schema"]).map(str::to_owned) else {
        return;
    };
    let example = without_nulls(&schemas[&name]["example"]);
    set_member_examples(&mut schemas[&name], &example);
    content[JSON]["example"] = json!(example);

    let example = as_form_example(example);
    let mut form = as_form(&schemas[&name], schemas);
    set_member_examples(&mut form, &example);
    let mut multipart = form.clone();
    set_file(&mut multipart);
    let suffix = if multipart == form {
        "Form"
    } else {
        "Multipart"
    };
    for (media_type, mut schema, suffix) in [(FORM, form, "Form"), (MULTIPART, multipart, suffix)] {
        let mut form_name = name.clone();
        if schema["properties"] != schemas[&name]["properties"] {
            form_name.push_str(suffix);
            schema["title"] = json!(form_name);
            schemas[&form_name] = schema;
        }
        content[media_type] = json!({
            "schema": reference_to(&form_name),
            "example": example,
        });
    }
}

/// Returns the members of an example that have a value: null would clear a member of a profile.
fn without_nulls(example: &Value) -> Map<String, Value> {
    let members = example.as_object().into_iter().flatten();
    members
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Sets the example of each member, with which Swagger UI fills the fields of a form.
fn set_member_examples(schema: &mut Value, example: &Map<String, Value>) {
    for (name, value) in example {
        let member = &mut schema["properties"][name];
        if member.get("$ref").is_none() {
            member["example"] = value.clone();
        }
    }
}

/// Returns an example as a form sends it: a list is a text with commas.
fn as_form_example(mut example: Map<String, Value>) -> Map<String, Value> {
    for value in example.values_mut() {
        if let Value::Array(items) = value {
            let items: Vec<_> = items.iter().map(as_text).collect();
            *value = json!(items.join(","));
        }
    }
    example
}

fn as_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns a schema for forms: an empty value stands for null, and a list is a text with commas.
fn as_form(schema: &Value, schemas: &Value) -> Value {
    let mut form = schema.clone();
    let members = form["properties"].as_object_mut().into_iter();
    for member in members.flat_map(Map::values_mut) {
        if let Some(name) = referred_name(member) {
            *member = schemas[name].clone();
        }
        let is_nullable = member["nullable"] == true;
        let Some(member) = member.as_object_mut() else {
            continue;
        };
        member.remove("nullable");
        if member.get("type") == Some(&json!("array")) {
            let description = member.remove("description").unwrap_or_default();
            let description = description.as_str().unwrap_or_default();
            let description = format!("{description} Separated by commas.");
            member.clear();
            member.insert("type".to_owned(), json!("string"));
            member.insert("description".to_owned(), json!(description));
        }
        if is_nullable && let Some(values) = member.get_mut("enum").and_then(Value::as_array_mut) {
            values.retain(|value| !value.is_null());
            values.push(json!(""));
        }
        if member.get("format") == Some(&json!("date")) {
            member.remove("format");
            let pattern = json!("^([0-9]{4}-[0-9]{2}-[0-9]{2})?$");
            member.insert("pattern".to_owned(), pattern);
        }
    }
    form
}

/// Makes the picture of a multipart body a file.
fn set_file(schema: &mut Value) {
    if schema["properties"].get("image").is_some() {
        schema["properties"]["image"] = json!({
            "type": "string",
            "format": "binary",
            "description": "PNG, JPEG, GIF or WebP, at most 5 MiB and 25 megapixels.",
        });
    }
}

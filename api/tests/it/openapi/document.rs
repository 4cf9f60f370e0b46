//! The OpenAPI document.

use std::{collections::BTreeSet, fs, path::Path};

use chrono::{DateTime, Utc};
use latchkey_api::{openapi::Installation, server::calls::description};
use reqwest::Method;
use serde_json::Value;

use crate::support::test_app::TestApp;

#[test]
fn the_committed_document_is_that_of_the_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi");
    for (name, current) in [
        ("openapi.json", description().json(&Installation::default())),
        ("openapi.yaml", description().yaml(&Installation::default())),
    ] {
        let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            committed == current,
            "openapi/{name} is not what the code says; renew it: cargo run --bin latchkey-api -- openapi --write openapi"
        );
    }
}

/// The contract's calls are all there, once, with their trailing slash.
#[test]
fn every_call_of_the_contract_is_documented_once() {
    let document = description().document();
    let mut calls = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            calls.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let contract = [
        "DELETE /api/admin/users/{id}/",
        "DELETE /api/admin/users/{id}/sessions/{session}/",
        "DELETE /auth/sessions/{id}/",
        "GET /api/admin/audit/",
        "GET /api/admin/limits/",
        "GET /api/admin/mails/",
        "GET /api/admin/mails/{id}/",
        "GET /api/admin/resets/",
        "GET /api/admin/users/",
        "GET /api/admin/users/{id}/",
        "GET /api/admin/users/{id}/sessions/",
        "GET /api/user/",
        "GET /auth/activity/",
        "GET /auth/sessions/",
        "GET /health/live",
        "GET /health/ready",
        "PATCH /api/admin/users/{id}/",
        "PATCH /api/user/",
        "POST /api/admin/audit/verify/",
        "POST /api/admin/limits/release/",
        "POST /api/admin/mails/{id}/cancel/",
        "POST /api/admin/mails/{id}/retry/",
        "POST /api/admin/users/bulk/",
        "POST /api/admin/users/{id}/activate/",
        "POST /api/admin/users/{id}/deactivate/",
        "POST /api/admin/users/{id}/request_password_reset/",
        "POST /api/admin/users/{id}/sign_out/",
        "POST /api/login/",
        "POST /api/register/",
        "POST /auth/activate/",
        "POST /auth/change_password/",
        "POST /auth/check_otp/",
        "POST /auth/email_request/",
        "POST /auth/logout/",
        "POST /auth/logout_all/",
        "POST /auth/refresh/",
        "POST /auth/reset_password/",
    ];
    assert_eq!(calls.into_iter().collect::<Vec<_>>(), contract);
}

#[test]
fn the_document_says_what_generators_understand() {
    let document = description().document();
    assert_eq!(document["openapi"], "3.0.0");
    let text = document.to_string();
    assert!(!text.contains("charset="), "media types carry a charset");
    for path in document["paths"].as_object().unwrap().values() {
        for call in path.as_object().unwrap().values() {
            assert!(call["operationId"].is_string(), "{call}");
            for (status, response) in call["responses"].as_object().unwrap() {
                let problem = response["content"].get("application/problem+json");
                let is_error = status.as_str() >= "400"
                    && !call["operationId"].as_str().unwrap().contains("ready");
                assert_eq!(
                    problem.is_some(),
                    is_error,
                    "{status} of {}",
                    call["operationId"]
                );
            }
        }
    }
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["RegistrationMultipart"]["properties"]["image"]["format"],
        "binary"
    );
    assert_eq!(
        schemas["Registration"]["properties"]["image"].get("format"),
        None
    );
    for path in document["paths"].as_object().unwrap().values() {
        for body in path
            .as_object()
            .unwrap()
            .values()
            .filter_map(|call| call.get("requestBody"))
        {
            let named: std::collections::HashSet<_> = body["content"]
                .as_object()
                .unwrap()
                .values()
                .map(|content| content["schema"]["$ref"].to_string())
                .collect();
            assert_eq!(named.len(), 3, "{body}");
        }
    }
    let user = &document["components"]["schemas"]["User"];
    assert_eq!(user["required"].as_array().unwrap().len(), 7);
    assert_eq!(user["properties"]["image"]["nullable"], true);
}

#[tokio::test]
async fn the_document_is_served_as_it_is_committed() {
    let app = TestApp::new().await;
    let json = app.send(app.request(Method::GET, "/openapi.json")).await;
    assert_eq!(json.headers["content-type"], "application/json");
    assert_eq!(json.body, description().document());

    let yaml = app.send(app.request(Method::GET, "/openapi.yaml")).await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    assert_eq!(
        yaml.body.as_str().unwrap(),
        description().yaml(&Installation::default())
    );
}

/// Whoever tries the calls in a browser sees what comes back before they do: of every answer, whole and of the right types.
#[test]
fn every_answer_has_an_example_that_fits_its_schema() {
    let document = description().document();
    let mut seen = 0;
    for (path, calls) in document["paths"].as_object().unwrap() {
        for (method, call) in calls.as_object().unwrap() {
            for (status, response) in call["responses"].as_object().unwrap() {
                let place = format!("{method} {path} {status}");
                assert_ne!(response["description"], "", "{place}");
                let contents = response.get("content").and_then(Value::as_object);
                for content in contents.into_iter().flat_map(|types| types.values()) {
                    let several = content["examples"].as_object();
                    let mut examples: Vec<_> = several
                        .into_iter()
                        .flat_map(|named| named.values())
                        .map(|named| &named["value"])
                        .collect();
                    examples.extend(content.get("example"));
                    assert!(!examples.is_empty(), "{place}");
                    for example in examples {
                        fits(&document, &content["schema"], example, &place);
                        if status.as_str() >= "400" && !path.starts_with("/health/") {
                            assert_eq!(example["status"].to_string(), *status, "{place}");
                        }
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

/// Whether a value is of the schema, with all of its members that have to be there and no others.
fn fits(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        let schema = &document["components"]["schemas"][name];
        return fits(document, schema, value, &format!("{place}, {name}"));
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return fits(document, &parts[0], value, place);
    }
    if value.is_null() {
        assert_eq!(schema["nullable"], true, "{place}: {schema}");
        return;
    }
    match schema["type"].as_str().unwrap() {
        "object" => {
            let members = value.as_object().unwrap();
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(
                    members.contains_key(name.as_str().unwrap()),
                    "{place}: {name}"
                );
            }
            for (name, member) in members {
                let schema = &schema["properties"][name];
                assert!(schema.is_object(), "{place} knows no {name}");
                fits(document, schema, member, &format!("{place}, {name}"));
            }
        }
        "array" => {
            for item in value.as_array().unwrap() {
                fits(document, &schema["items"], item, place);
            }
        }
        "string" => {
            let text = value.as_str().unwrap_or_else(|| panic!("{place}: {value}"));
            if schema["format"] == "date-time" {
                // As answers have it.
                let moment: DateTime<Utc> = text.parse().unwrap();
                assert_eq!(moment.to_rfc3339(), text, "{place}");
            }
            if let Some(choices) = schema["enum"].as_array() {
                assert!(choices.contains(value), "{place}: {text}");
            }
        }
        "integer" => assert!(value.is_i64(), "{place}: {value}"),
        "boolean" => assert!(value.is_boolean(), "{place}: {value}"),
        other => panic!("{place}: a type that nothing here has, {other}"),
    }
}

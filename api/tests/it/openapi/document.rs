//! The OpenAPI document: content, examples, and the committed copy.

use std::{collections::BTreeSet, fs, path::Path};

use chrono::{DateTime, Utc};
use latchkey_api::{openapi::Installation, server::calls::description};
use reqwest::Method;
use serde_json::Value;

use crate::support::test_app::TestApp;

/// Clients find the current document in the repository.
#[test]
fn committed_openapi_document_matches_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi");
    for (name, current) in [
        ("openapi.json", description().json(&Installation::default())),
        ("openapi.yaml", description().yaml(&Installation::default())),
    ] {
        let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            committed == current,
            "openapi/{name} is outdated. Update it: cargo run --bin latchkey-api -- openapi --write openapi"
        );
    }
}

/// The document has each operation of the contract once, with its trailing slash.
#[test]
fn openapi_document_has_exactly_contract_operations() {
    let document = description().document();
    let mut operations = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            operations.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let contract = [
        "DELETE /api/admin/users/{id}/",
        "DELETE /api/admin/users/{id}/sessions/{session}/",
        "DELETE /auth/sessions/{id}/",
        "GET /.well-known/jwks.json",
        "GET /.well-known/openid-configuration",
        "GET /api/admin/audit/",
        "GET /api/admin/limits/",
        "GET /api/admin/mails/",
        "GET /api/admin/mails/{id}/",
        "GET /api/admin/resets/",
        "GET /api/admin/roles/",
        "GET /api/admin/users/",
        "GET /api/admin/users/{id}/",
        "GET /api/admin/users/{id}/sessions/",
        "GET /api/user/",
        "GET /auth/activity/",
        "GET /auth/export/",
        "GET /auth/second_factor/",
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
        "POST /api/admin/users/{id}/invite/",
        "POST /api/admin/users/{id}/remove_second_factor/",
        "POST /api/admin/users/{id}/request_password_reset/",
        "POST /api/admin/users/{id}/sign_out/",
        "POST /api/admin/users/{id}/trust_email/",
        "POST /api/login/",
        "POST /api/register/",
        "POST /auth/activate/",
        "POST /auth/activate/resend/",
        "POST /auth/change_password/",
        "POST /auth/check_otp/",
        "POST /auth/confirm_email/",
        "POST /auth/confirm_email/resend/",
        "POST /auth/delete_account/",
        "POST /auth/email_request/",
        "POST /auth/logout/",
        "POST /auth/logout_all/",
        "POST /auth/recovery_codes/",
        "POST /auth/refresh/",
        "POST /auth/reset_password/",
        "POST /auth/second_factor/",
        "POST /auth/second_factor/verify/",
        "POST /auth/totp/",
        "POST /auth/totp/confirm/",
        "POST /auth/totp/disable/",
    ];
    assert_eq!(operations.into_iter().collect::<Vec<_>>(), contract);
}

/// Client generators understand the document: operation ids, problem responses, picture types and named schemas.
#[test]
fn openapi_document_is_accepted_by_client_generators() {
    let document = description().document();
    assert_eq!(document["openapi"], "3.0.0");
    let text = document.to_string();
    assert!(!text.contains("charset="), "a media type has a charset");
    for path in document["paths"].as_object().unwrap().values() {
        for operation in path.as_object().unwrap().values() {
            assert!(operation["operationId"].is_string(), "{operation}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let problem = response["content"].get("application/problem+json");
                let is_error = status.as_str() >= "400"
                    && !operation["operationId"]
                        .as_str()
                        .unwrap()
                        .contains("Readiness");
                assert_eq!(
                    problem.is_some(),
                    is_error,
                    "{status} of {}",
                    operation["operationId"]
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
        let operations = path.as_object().unwrap().values();
        for body in operations.filter_map(|operation| operation.get("requestBody")) {
            let schema = &body["content"]["application/json"]["schema"]["$ref"];
            let name = schema.as_str().unwrap().rsplit('/').next().unwrap();
            let is_change = ["ProfileChange", "AccountChange"].contains(&name);
            assert_eq!(body["required"], !is_change, "{body}");
        }
    }
    // One enum for all models, as generators name inline ones after each model.
    for model in ["Registration", "ProfileChange", "User", "NewAccount"] {
        assert_eq!(
            schemas[model]["properties"]["gender"]["$ref"], "#/components/schemas/Gender",
            "{model}"
        );
    }
    // A form has a schema of its own only where it differs from JSON.
    assert!(schemas.get("CredentialsForm").is_none());
    let user = &document["components"]["schemas"]["User"];
    assert_eq!(user["required"].as_array().unwrap().len(), 7);
    assert_eq!(user["properties"]["image"]["nullable"], true);
}

/// With `REFRESH_COOKIE=on`, pages send the refresh token as a cookie and no body.
#[test]
fn refresh_body_is_optional_with_refresh_cookie() {
    let document = description().json(&Installation {
        refresh_cookie: true,
        ..Installation::default()
    });
    let document: Value = serde_json::from_str(&document).unwrap();
    for (path, is_required) in [
        ("/auth/refresh/", false),
        ("/auth/logout/", false),
        ("/api/login/", true),
    ] {
        let body = &document["paths"][path]["post"]["requestBody"];
        assert_eq!(body["required"], is_required, "{path}");
    }
}

/// Clients get the committed document from `/openapi.json` and `/openapi.yaml`.
#[tokio::test]
async fn served_openapi_document_matches_committed() {
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

/// Users see an example of every response, complete and of the right types.
#[test]
fn openapi_responses_have_examples_matching_schema() {
    let document = description().document();
    let mut count = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let location = format!("{method} {path} {status}");
                assert_ne!(response["description"], "", "{location}");
                let contents = response.get("content").and_then(Value::as_object);
                for content in contents.into_iter().flat_map(|types| types.values()) {
                    let named = content["examples"].as_object();
                    let mut examples: Vec<_> = named
                        .into_iter()
                        .flat_map(|examples| examples.values())
                        .map(|example| &example["value"])
                        .collect();
                    examples.extend(content.get("example"));
                    assert!(!examples.is_empty(), "{location}");
                    for example in examples {
                        assert_matches_schema(&document, &content["schema"], example, &location);
                        if status.as_str() >= "400" && !path.starts_with("/health/") {
                            assert_eq!(example["status"].to_string(), *status, "{location}");
                        }
                        count += 1;
                    }
                }
            }
        }
    }
    assert!(count > 100, "{count}");
}

/// Asserts that a value matches a schema, has every required member, and no unknown ones.
pub(crate) fn assert_matches_schema(
    document: &Value,
    schema: &Value,
    value: &Value,
    location: &str,
) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        let schema = &document["components"]["schemas"][name];
        return assert_matches_schema(document, schema, value, &format!("{location}, {name}"));
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return assert_matches_schema(document, &parts[0], value, location);
    }
    assert!(!value.is_null(), "{location}: {schema}");
    match schema["type"].as_str().unwrap() {
        "object" => {
            let members = value.as_object().unwrap();
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(
                    members.contains_key(name.as_str().unwrap()),
                    "{location}: {name}"
                );
            }
            for (name, member) in members {
                let schema = &schema["properties"][name];
                assert!(schema.is_object(), "{location} has no {name}");
                assert_matches_schema(document, schema, member, &format!("{location}, {name}"));
            }
        }
        "array" => {
            for item in value.as_array().unwrap() {
                assert_matches_schema(document, &schema["items"], item, location);
            }
        }
        "string" => {
            let text = value
                .as_str()
                .unwrap_or_else(|| panic!("{location}: {value}"));
            if schema["format"] == "date-time" {
                // Responses use this form of RFC 3339.
                let moment: DateTime<Utc> = text.parse().unwrap();
                assert_eq!(moment.to_rfc3339(), text, "{location}");
            }
            if let Some(choices) = schema["enum"].as_array() {
                assert!(choices.contains(value), "{location}: {text}");
            }
        }
        "integer" => assert!(value.is_i64(), "{location}: {value}"),
        "boolean" => assert!(value.is_boolean(), "{location}: {value}"),
        other => panic!("{location}: unexpected type {other}"),
    }
}

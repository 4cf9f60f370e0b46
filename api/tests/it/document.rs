//! The OpenAPI document.

use std::{collections::BTreeSet, fs, path::Path};

use latchkey_api::openapi;
use reqwest::Method;

use crate::world::World;

#[test]
fn the_committed_document_is_that_of_the_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi");
    for (name, current) in [
        ("openapi.json", openapi::document_json()),
        ("openapi.yaml", openapi::document_yaml()),
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
    let document = openapi::document();
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
        "POST /api/admin/users/act/",
        "POST /api/admin/users/{id}/activate/",
        "POST /api/admin/users/{id}/ask_for_reset/",
        "POST /api/admin/users/{id}/deactivate/",
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
    let document = openapi::document();
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
    let world = World::new().await;
    let json = world
        .send(world.request(Method::GET, "/openapi.json"))
        .await;
    assert_eq!(json.headers["content-type"], "application/json");
    assert_eq!(json.body, openapi::document());

    let yaml = world
        .send(world.request(Method::GET, "/openapi.yaml"))
        .await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    assert_eq!(yaml.body.as_str().unwrap(), openapi::document_yaml());
}

//! poem-openapi enables poem's feature `xml` and with it a vulnerable quick-xml (RUSTSEC-2026-0194, RUSTSEC-2026-0195). No
//! request reaches it: only poem's XML payloads call it, and no operation uses them.

use std::{fs, path::Path};

use latchkey_api::server::calls::description;
use reqwest::Method;

use crate::support::test_app::{PASSWORD, TestApp};

/// XML that triggers the vulnerabilities: an unclosed element, and nested entities.
const BODIES: [&str; 2] = [
    "<a",
    r#"<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;&b;">]><a>&d;</a>"#,
];

/// A3: every operation with a body rejects XML. A superuser sends it, so that no permission check refuses it first.
#[tokio::test]
async fn xml_body_returns_415_on_every_operation() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let access = app.login("root@example.com", PASSWORD).await.access;
    let id = app.user("root@example.com").await.id.to_string();
    let document = description().document();
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let described = operation.to_string().to_lowercase();
            assert!(!described.contains("xml"), "{method} {path}");
            if operation.get("requestBody").is_none() {
                continue;
            }
            operations += 1;
            let path = path.replace("{id}", &id);
            let method: Method = method.to_uppercase().parse().unwrap();
            for media_type in ["application/xml", "text/xml", "application/soap+xml"] {
                for body in BODIES {
                    let request = app
                        .request(method.clone(), &path)
                        .bearer_auth(&access)
                        .header("content-type", media_type)
                        .body(body);
                    let answer = app.send(request).await;
                    answer.assert_problem(415, "unsupported-media-type");
                }
            }
        }
    }
    assert!(operations > 12, "{operations}");
}

/// A3: no other crate parses XML with the vulnerable version.
#[test]
fn vulnerable_quick_xml_is_used_only_by_poem() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let dependents: Vec<_> = lock
        .split("[[package]]")
        .filter(|package| package.contains("\n \"quick-xml 0.36"))
        .filter_map(|package| package.split('"').nth(1))
        .collect();
    assert_eq!(dependents, ["poem", "poem-openapi"]);

    let mut folders = vec![root.join("api/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                assert!(!source.contains("Xml"), "{}", path.display());
            }
        }
    }
}

//! poem-openapi turns poem's feature `xml` on, and with it a quick-xml that has known faults (RUSTSEC-2026-0194,
//! RUSTSEC-2026-0195). No request reaches it: no payload is XML, and only poem's unused XML payloads call it.

use std::{fs, path::Path};

use latchkey_api::server::calls::description;
use reqwest::Method;

use crate::support::test_app::{PASSWORD, TestApp};

/// Two of the faults' kind: an element without end, and more entities than memory.
const BODIES: [&str; 2] = [
    "<a",
    r#"<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;&b;">]><a>&d;</a>"#,
];

/// C1: every call with a body, as somebody who may make it, so that nothing else refuses the request.
#[tokio::test]
async fn xml_body_returns_415_on_every_operation() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let access = app.login("root@example.com", PASSWORD).await.access;
    let id = app.user("root@example.com").await.id.to_string();
    let document = description().document();
    let mut calls = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, call) in methods.as_object().unwrap() {
            let described = call.to_string().to_lowercase();
            assert!(!described.contains("xml"), "{method} {path}");
            if call.get("requestBody").is_none() {
                continue;
            }
            calls += 1;
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
                    assert_eq!(answer.status, 415, "{method} {path}: {answer:?}");
                    answer.assert_problem(415, "unsupported-media-type");
                }
            }
        }
    }
    assert!(calls > 12, "{calls}");
}

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

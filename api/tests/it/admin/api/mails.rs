//! The list of mails, cancellation and retry.

use serde_json::{Value, json};

use super::{assert_invalid_parameter, get, logged_in_staff, post};
use crate::admin::admin_events;
use crate::support::test_app::TestApp;

/// Operators cancel queued mails and retry cancelled ones.
#[tokio::test]
async fn mails_are_listed_cancelled_and_retried() {
    let app = TestApp::new().await;
    let clerk = logged_in_staff(&app, "clerk@example.com", "mails").await;
    app.logged_in_user("ada@example.com").await;
    app.deliver_all().await;
    for _ in 0..3 {
        app.post("/auth/email_request/", json!({"email": "Ada@example.com"}))
            .await;
    }
    let list = async |query: &str| {
        let response = get(&app, &clerk, &format!("/api/admin/mails/?{query}")).await;
        assert_eq!(response.status, 200, "{query}: {response:?}");
        (
            response.body["mails"].as_array().unwrap().clone(),
            response.body["before"].clone(),
        )
    };
    let (codes, before) = list("state=queued&kind=reset_code&to=ADA@example.com").await;
    assert_eq!((codes.len(), before), (3, Value::Null));
    let (two, before) = list("kind=reset_code&limit=2").await;
    assert_eq!(two[..], codes[..2]);
    let (third, end) = list(&format!(
        "kind=reset_code&limit=2&before={}",
        before.as_str().unwrap()
    ))
    .await;
    assert_eq!((&third[..], end), (&codes[2..], Value::Null));
    assert!(list("state=failed").await.0.is_empty());

    let mail = codes[0]["id"].as_str().unwrap();
    let path = format!("/api/admin/mails/{mail}/");
    let shown = get(&app, &clerk, &path).await;
    assert_eq!(shown.body["mail"], codes[0]);
    assert!(shown.text("/subject").contains("code") && shown.text("/text").contains("Latchkey"));

    let response = post(&app, &clerk, &format!("{path}retry/"), Value::Null).await;
    response.assert_problem(409, "invalid-state");
    let response = post(&app, &clerk, &format!("{path}cancel/"), Value::Null).await;
    assert_eq!(response.status, 204, "{response:?}");
    let response = post(&app, &clerk, &format!("{path}cancel/"), Value::Null).await;
    response.assert_problem(409, "invalid-state");
    assert_eq!(
        get(&app, &clerk, &path).await.text("/mail/state"),
        "cancelled"
    );
    let response = post(&app, &clerk, &format!("{path}retry/"), Value::Null).await;
    assert_eq!(response.status, 204, "{response:?}");
    app.deliver_all().await;
    assert_eq!(get(&app, &clerk, &path).await.text("/mail/state"), "sent");
    let details: Vec<_> = admin_events(&app)
        .await
        .into_iter()
        .map(|event| event.detail.unwrap())
        .collect();
    assert_eq!(
        details,
        [
            format!("mail {mail} sent again"),
            format!("mail {mail} cancelled")
        ]
    );

    for query in ["state=x", "kind=x", "to=x", "to=%00", "before=x", "limit=0"] {
        assert_invalid_parameter(&app, &clerk, "mails", query).await;
    }
    let response = get(&app, &clerk, "/api/admin/mails/x/").await;
    response.assert_problem(404, "not-found");
}

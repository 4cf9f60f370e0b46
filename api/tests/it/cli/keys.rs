//! `latchkey-api keys`

use serde_json::Value;

use crate::support::{test_app::TestApp, tokens::settings};

async fn list(app: &TestApp) -> Vec<(String, String)> {
    let output = app.run(&["keys", "list", "--json"], 0).await;
    let start = output.find('[').unwrap();
    let keys: Vec<Value> = serde_json::from_str(&output[start..]).unwrap();
    let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    keys.iter()
        .map(|key| (text(key, "kid"), text(key, "state")))
        .collect()
}

async fn states(app: &TestApp) -> Vec<String> {
    list(app)
        .await
        .into_iter()
        .map(|(_, state)| state)
        .collect()
}

/// Operators rotate and revoke keys, and find each action in the audit log.
#[tokio::test]
async fn keys_command_lists_rotates_and_revokes() {
    let app = TestApp::new().await;
    assert_eq!(states(&app).await, ["active"]);

    app.run(&["keys", "rotate"], 0).await;
    assert_eq!(states(&app).await, ["active", "standby"]);
    app.run(&["keys", "rotate", "--now"], 0).await;
    assert_eq!(states(&app).await, ["retired", "retired", "active"]);
    let active = list(&app).await.pop().unwrap().0;
    let output = app.run(&["keys", "revoke", &active], 0).await;
    assert!(output.contains("It signs now"), "{output}");
    let expected = ["retired", "retired", "revoked", "active"];
    assert_eq!(states(&app).await, expected);
    let table = app.run(&["keys", "list"], 0).await;
    for part in ["KID", "ES256", "retired", &active] {
        assert!(table.contains(part), "{part} is not in: {table}");
    }

    let events = app.run(&["audit", "list"], 0).await;
    assert_eq!(
        events.matches("signing key created: ").count(),
        3,
        "{events}"
    );
    let revoked = format!("signing key revoked: {active}");
    assert!(events.contains(&revoked), "{events}");
    for kid in [active.as_str(), "unknown"] {
        let output = app.run(&["keys", "revoke", kid], 1).await;
        assert!(output.contains("can be revoked"), "{output}");
    }
}

#[tokio::test]
async fn keys_rotate_with_shared_secret_is_refused() {
    let app = TestApp::with(&settings("HS256")).await;
    let output = app.run(&["keys", "rotate"], 1).await;
    assert!(
        output.contains("ACCESS_TOKEN_ALGORITHM is HS256"),
        "{output}"
    );
}

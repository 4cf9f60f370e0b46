//! Numbers, codes and names as users type them: digits of any script, blanks, invisible characters of copied text.

use latchkey_shared::models::password_reset as resets;
use reqwest::Method;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};

use crate::support::test_app::{PASSWORD, TestApp, assert_same_problems, registration, wrong_code};

/// Writes a code in the script with this zero.
fn in_script(code: &str, zero: char) -> String {
    let digit = |c: char| char::from_u32(u32::from(zero) + c.to_digit(10).unwrap()).unwrap();
    code.chars().map(digit).collect()
}

/// Returns the number of attempts of each reset.
async fn attempts(app: &TestApp) -> Vec<i32> {
    let rows = resets::Entity::find().all(&app.database.db).await;
    rows.unwrap().into_iter().map(|row| row.tries).collect()
}

/// Users can type their phone number in their own script, or paste it.
#[tokio::test]
async fn phone_number_in_any_script_becomes_e164() {
    let app = TestApp::new().await;
    for (index, typed) in [
        "+٢٠١٠٠١٢٣٤٥٦٧",
        "+۲۰۱۰۰۱۲۳۴۵۶۷",
        "＋２０１００１２３４５６７",
        "\u{202a}+20 100 123 4567\u{202c}",
        "+20\u{a0}100\u{a0}123\u{2011}4567\u{200f}",
    ]
    .into_iter()
    .enumerate()
    {
        let mut form = registration(&format!("ada{index}@example.com"));
        form["phoneNumber"] = json!(typed);
        let answer = app.post("/api/register/", form).await;
        assert_eq!(answer.status, 201, "{typed}: {answer:?}");
        assert_eq!(answer.text("/phoneNumber"), "+201001234567", "{typed}");
    }
}

/// A client learns that a field is invalid, not that it is missing, whatever its value and encoding.
#[tokio::test]
async fn present_field_is_never_reported_as_missing() {
    let app = TestApp::new().await;
    let values = [
        json!(5),
        json!(-1.5),
        json!(201_001_234_567_u64),
        json!(true),
        json!([]),
        json!([1]),
        json!({"a": 1}),
        json!("\u{3164}"),
        json!("٥"),
        json!("\u{0}"),
    ];
    let forms = [
        (
            "/api/register/",
            vec![
                "email",
                "username",
                "password",
                "phoneNumber",
                "dateBirth",
                "gender",
                "image",
            ],
        ),
        ("/api/login/", vec!["email", "password"]),
        ("/auth/email_request/", vec!["email"]),
        ("/auth/check_otp/", vec!["token", "otp"]),
        ("/auth/reset_password/", vec!["token", "new_password"]),
    ];
    for (path, names) in forms {
        for value in &values {
            let body: Value = names
                .iter()
                .map(|name| ((*name).to_owned(), value.clone()))
                .collect::<serde_json::Map<_, _>>()
                .into();
            let answer = app.post(path, body.clone()).await;
            assert_eq!(answer.status, 400, "{path} {body}: {answer:?}");
            assert!(!answer.text("/detail").contains("Missing"), "{answer:?}");
            let codes = answer.body["errors"].as_array().into_iter().flatten();
            let mut codes = codes.map(|error| &error["code"]);
            assert!(
                !codes.any(|code| code == "required"),
                "{path} {body}: {answer:?}"
            );
        }
    }
    let body = json!({"email": "unknown", "phoneNumber": "x"});
    let answer = app.post("/api/register/", body).await;
    assert_eq!(
        answer.text("/detail"),
        "Missing: username, password. Wrong: email, phoneNumber."
    );
    // `curl -d` sends JSON with this type by default.
    let request = app
        .request(Method::POST, "/api/login/")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(json!({"email": "ada@example.com", "password": PASSWORD}).to_string());
    let answer = app.send(request).await;
    answer.assert_problem(400, "malformed-body");
    assert!(
        answer.text("/detail").contains("application/json"),
        "{answer:?}"
    );
}

/// O3: users can type the code in any script, and in groups.
#[tokio::test]
async fn code_in_another_script_or_grouping_is_accepted() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let typed: [fn(&str) -> String; 5] = [
        |code| in_script(code, '\u{660}'),
        |code| in_script(code, '\u{6f0}'),
        |code| in_script(code, '\u{ff10}'),
        |code| format!("{} {}", &code[..3], &code[3..]),
        |code| format!("\u{200f}{}-{}\u{a0}", &code[..3], &code[3..]),
    ];
    for typed in typed {
        let (token, code) = app.request_reset("ada@example.com").await;
        let answer = app.check_otp(&token, &typed(&code)).await;
        assert_eq!(answer.status, 200, "{}: {answer:?}", typed(&code));
    }
}

/// O3: a client may send the code as a JSON number, which has no leading zeros.
#[tokio::test]
async fn numeric_code_gets_its_leading_zeros_back() {
    let app = TestApp::new().await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app
        .request_reset_with("ada@example.com", |code| code.starts_with('0'))
        .await;
    let number: u32 = code.parse().unwrap();
    let body = json!({"token": token, "otp": number});
    let answer = app.post("/auth/check_otp/", body).await;
    assert_eq!(answer.status, 200, "{number}: {answer:?}");
}

/// O3, N1: a typing mistake costs no attempt of the reset or the mailbox. The response does not tell whether an account exists.
#[tokio::test]
async fn code_of_wrong_length_costs_no_attempt() {
    let app = TestApp::with(&[("LIMIT_OTP_EMAIL", "2/86400")]).await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    let request = json!({"email": "unknown@example.com"});
    let unknown = app.post("/auth/email_request/", request).await;
    let unknown = unknown.text("/token");

    let mut answers = Vec::new();
    for token in [&*token, &*unknown, "no token at all"] {
        for otp in [
            json!("12345"),
            json!("1234567"),
            json!(1_234_567),
            json!(-12345),
            json!("12345a"),
            json!("abcdef"),
            json!(in_script("12345", '\u{660}')),
        ] {
            let body = json!({"token": token, "otp": otp});
            let answer = app.post("/auth/check_otp/", body).await;
            answer.assert_problem(400, "invalid-otp");
            answers.push(answer);
        }
    }
    assert_same_problems(answers);
    assert_eq!(attempts(&app).await, [0, 0]);

    // A wrong code of the right length costs one attempt. The right code is still accepted.
    let wrong = in_script(&wrong_code(&code), '\u{660}');
    app.check_otp(&token, &wrong)
        .await
        .assert_problem(400, "invalid-otp");
    let mut counts = attempts(&app).await;
    counts.sort_unstable();
    assert_eq!(counts, [0, 1]);
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
}

/// O1: operators choose the length of the codes.
#[tokio::test]
async fn code_has_the_configured_length() {
    let app = TestApp::with(&[("OTP_DIGITS", "8")]).await;
    app.logged_in_user("ada@example.com").await;
    let answer = app
        .post("/auth/email_request/", json!({"email": "ada@example.com"}))
        .await;
    let mails = app.mails_to("ada@example.com").await;
    let code = mails.last().unwrap().subject.split(' ').next().unwrap();
    assert_eq!(code.len(), 8);
    assert_eq!(
        app.check_otp(&answer.text("/token"), code).await.status,
        200
    );
}

/// M2: a username cannot imitate another one with invisible characters. Names of every script are accepted.
#[tokio::test]
async fn invisible_username_returns_400_with_the_reason() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    for bad in [
        "\u{3164}",
        "Ada\u{200b}",
        "\u{202e}adA",
        "Ada\u{2066}",
        "\u{200d}",
    ] {
        let body = json!({"username": bad});
        let answer = app.patch_user(&tokens.access, body).await;
        answer.assert_problem(400, "invalid-input");
        assert_eq!(
            answer.invalid_fields(),
            [("username".to_owned(), "character".to_owned())]
        );
    }
    for good in [
        "محمد علي",
        "می\u{200c}رود",
        "👨\u{200d}👩\u{200d}👧",
        "🏳\u{fe0f}\u{200d}🌈",
        "漢字",
    ] {
        let answer = app
            .patch_user(&tokens.access, json!({"username": good}))
            .await;
        assert_eq!(answer.text("/username"), good);
    }
}

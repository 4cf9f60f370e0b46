//! The client IP that a limit counts: proxies, forwarding headers and IPv6 networks (T4).

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    rate_limit::{WRONG, active_limits, login_from, post_from, start, unlock_first},
    support::test_app::{PASSWORD, TestApp, registration},
};

/// T4: a client cannot avoid its limit by naming another client IP.
#[tokio::test]
async fn untrusted_forwarding_headers_are_ignored() {
    let app = TestApp::with(&[("LIMIT_LOGIN_IP", "3/60")]).await;
    for number in 0..3 {
        let client_ip = format!("192.0.2.{number}");
        let answer = login_from(&app, &client_ip, "a@example.com", WRONG).await;
        assert_eq!(answer.status, 401);
    }
    let answer = login_from(&app, "192.0.2.9", "a@example.com", WRONG).await;
    answer.assert_problem(429, "too-many-requests");
}

/// T4: behind trusted proxies, the client IP is the last untrusted address. An IPv6 address counts by its /64.
#[tokio::test]
async fn client_ip_is_last_untrusted_proxy_hop() {
    let app = TestApp::with(&[
        ("LIMIT_LOGIN_IP", "1/60"),
        ("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8"),
    ])
    .await;
    for (name, value, status) in [
        ("x-forwarded-for", "198.51.100.7, 192.0.2.1, 10.0.0.5", 401),
        ("x-forwarded-for", "203.0.113.9, 192.0.2.1", 429),
        ("x-forwarded-for", "192.0.2.1:4711", 429),
        (
            "forwarded",
            "for=203.0.113.9, for=192.0.2.1;proto=https, for=10.0.0.5",
            429,
        ),
        ("forwarded", "for=\"[2001:db8:1:2::1]:4711\"", 401),
        ("x-forwarded-for", "2001:db8:1:2:ffff::9", 429),
        ("x-forwarded-for", "2001:db8:1:3::1", 401),
    ] {
        let body = json!({"email": "a@example.com", "password": WRONG});
        let request = app.request(Method::POST, "/api/login/").json(&body);
        let answer = app.send(request.header(name, value)).await;
        assert_eq!(answer.status, status, "{name}: {value}: {answer:?}");
    }
}

/// T4: a proxy that appends to one header passes the other one on unchanged. A client that sets it counts as the proxy.
#[tokio::test]
async fn conflicting_forwarding_headers_use_the_proxy_ip() {
    let app = TestApp::with(&[("LIMIT_LOGIN_IP", "1/60"), ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let mut failed = 0;
    for number in 0..5 {
        let body = json!({"email": "a@example.com", "password": WRONG});
        let request = app
            .request(Method::POST, "/api/login/")
            .header("x-forwarded-for", "192.0.2.1")
            .header("forwarded", format!("for=203.0.113.{number}"));
        let answer = app.send(request.json(&body)).await;
        failed += u32::from(answer.status == 401);
    }
    assert_eq!(failed, 1);
}

/// T4, C2: all networks of a /48 together have ten times the limit of one network, for every limit by client IP.
#[tokio::test]
async fn ipv6_site_has_ten_times_network_limit() {
    let app = start(&[
        ("LIMIT_LOGIN_IP", "1/60"),
        ("LIMIT_REGISTER_IP", "1/3600"),
        ("LIMIT_RESET_IP", "1/3600"),
        ("LIMIT_OTP_IP", "1/60"),
        ("LIMIT_RESET_PASSWORD_IP", "1/60"),
    ])
    .await;
    let post = async |site: u8, network: u8, path, body: &Value| {
        let client_ip = format!("2001:db8:{site:x}:{network:x}::1");
        post_from(&app, &client_ip, path, body.clone()).await.status
    };
    for (path, body, expected) in [
        (
            "/api/login/",
            json!({"email": "a@example.com", "password": WRONG}),
            401,
        ),
        ("/api/register/", registration("taken@example.com"), 409),
        (
            "/auth/email_request/",
            json!({"email": "a@example.com"}),
            201,
        ),
        (
            "/auth/check_otp/",
            json!({"token": "x", "otp": "123456"}),
            400,
        ),
        (
            "/auth/reset_password/",
            json!({"token": "x", "new_password": PASSWORD}),
            400,
        ),
    ] {
        if path == "/api/register/" {
            let answer = post_from(&app, "192.0.2.1", path, body.clone()).await;
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        for network in 0..10 {
            let status = post(1, network, path, &body).await;
            assert_eq!(status, expected, "{path}, network {network}");
        }
        assert_eq!(post(1, 10, path, &body).await, 429, "{path}");
        assert_eq!(post(2, 0, path, &body).await, expected, "{path}");
    }
}

/// T4: staff see a /48 that is rate limited and unlock it.
#[tokio::test]
async fn ipv6_site_rate_limited_is_listed_and_unlocked() {
    let app = start(&[("LIMIT_RESET_IP", "1/3600")]).await;
    app.create_superuser("root@example.com").await;
    let root = app.login("root@example.com", PASSWORD).await;
    let request = async |network: u8| {
        let client_ip = format!("2001:db8:1:{network:x}::1");
        let body = json!({"email": "a@example.com"});
        let answer = post_from(&app, &client_ip, "/auth/email_request/", body).await;
        answer.status
    };
    for network in 0..10 {
        assert_eq!(request(network).await, 201);
    }
    assert_eq!(request(10).await, 429);

    let limits = active_limits(&app, &root.access).await;
    assert_eq!(limits.text("/limits/0/whom"), "2001:db8:1::/48");
    unlock_first(&app, &root.access, &limits).await;
    assert_eq!(request(10).await, 201);
}

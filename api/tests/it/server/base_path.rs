//! A base path in `PUBLIC_URL`, behind a proxy that strips it: every URL that a client gets starts with it and works.

use std::collections::{BTreeSet, VecDeque};

use poem::{
    Body, Endpoint, EndpointExt as _, Request, Response, Server,
    endpoint::make,
    http::StatusCode,
    listener::{Acceptor as _, Listener as _, TcpListener},
};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::{
    accounts::pictures::{data_url, png},
    http::register_with_picture,
    support::{
        dashboard::Dashboard,
        test_app::{PASSWORD, TestApp},
    },
};

const BASE: &str = "/accounts";

/// Starts an application whose clients go through the proxy.
async fn with_base_path(more: &[(&str, &str)]) -> TestApp {
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await;
    let acceptor = acceptor.unwrap();
    let address = *acceptor.local_addr()[0].as_socket_addr().unwrap();
    let public_url = format!("http://{address}{BASE}");
    let mut variables = vec![("PUBLIC_URL", public_url.as_str())];
    variables.extend_from_slice(more);
    let mut app = TestApp::with(&variables).await;
    let proxy = proxy(app.base.clone(), app.http.clone());
    tokio::spawn(Server::new_with_acceptor(acceptor).run(proxy));
    app.base = public_url;
    app
}

/// Forwards requests below the base path without it. Other paths return 502.
fn proxy(target: String, http: reqwest::Client) -> impl Endpoint {
    make(move |request| forward(target.clone(), http.clone(), request)).map_to_response()
}

async fn forward(target: String, http: reqwest::Client, request: Request) -> Response {
    let path = request.original_uri().path_and_query().unwrap().as_str();
    let Some(rest) = path.strip_prefix(BASE).filter(|rest| rest.starts_with('/')) else {
        return StatusCode::BAD_GATEWAY.into();
    };
    let url = format!("{target}{rest}");
    let (parts, body) = request.into_parts();
    let answer = http
        .request(parts.method, url)
        .headers(parts.headers)
        .body(body.into_bytes().await.unwrap())
        .send()
        .await
        .unwrap();
    let mut response = Response::builder().status(answer.status()).finish();
    *response.headers_mut() = answer.headers().clone();
    response.headers_mut().remove("transfer-encoding");
    response.set_body(Body::from(answer.bytes().await.unwrap()));
    response
}

/// Returns the URLs in a page with their attributes.
fn links(html: &str) -> Vec<(&'static str, String)> {
    let mut links = Vec::new();
    for attribute in ["href", "src", "action", "hx-get"] {
        for part in html.split(&format!(" {attribute}=\"")).skip(1) {
            let link = part.split('"').next().unwrap().replace("&amp;", "&");
            links.push((attribute, link));
        }
    }
    links.retain(|(_, link)| !link.starts_with('#') && !link.starts_with("data:"));
    links
}

/// A staff member who must sign in first returns to the requested page.
#[tokio::test]
async fn dashboard_login_redirects_stay_below_base_path() {
    let app = with_base_path(&[]).await;
    app.create_superuser("root@example.com").await;
    let visitor = Dashboard::open(&app).await;
    let login_url = format!("{BASE}/admin/login/?next=%2Fadmin%2Fusers%2F%3Fq%3Dada");
    let page = visitor.get("/admin/users/?q=ada").await;
    assert_eq!(page.location(), login_url);
    let htmx = visitor.post_request("/admin/users/bulk/");
    let referer = format!("{}/admin/users/?q=ada", app.base);
    let csrf = visitor.csrf.as_str();
    let form = [("csrf", csrf), ("act", "activate"), ("id", "1")];
    let htmx = htmx
        .header("hx-request", "true")
        .header("referer", referer)
        .form(&form);
    let page = visitor.send(htmx).await;
    assert_eq!(page.status, 204, "{page:?}");
    assert_eq!(
        page.headers["hx-redirect"],
        format!("{login_url}&unsaved=yes")
    );
    let next = [
        ("email", "root@example.com"),
        ("password", PASSWORD),
        ("next", "/admin/users/?q=ada"),
    ];
    let page = visitor.post("/admin/login/", &next).await;
    assert_eq!(page.location(), format!("{BASE}/admin/users/?q=ada"));
    for cookie in page.headers.get_all("set-cookie") {
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.contains(&format!("Path={BASE}")), "{cookie}");
    }
}

/// Every link in the dashboard, each page opened once, leads to an existing page below the base path.
#[tokio::test]
async fn dashboard_links_stay_below_base_path() {
    let app = with_base_path(&[("LIMIT_LOGIN_FREE_FAILURES", "1")]).await;
    app.create_superuser("root@example.com").await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let picture = json!({"image": data_url(&png(5, 5))});
    app.patch_user(&tokens.access, picture).await;
    app.request_reset("ada@example.com").await;
    // Locks the account out, so that the list of limits has a row.
    for _ in 0..3 {
        app.try_login("ada@example.com", "wrong wrong").await;
    }
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let base = Url::parse(&app.base).unwrap();
    let (mut seen, mut queue) = (BTreeSet::new(), VecDeque::new());
    queue.push_back(format!("{BASE}/admin/"));
    while let Some(path) = queue.pop_front() {
        let page = root.get_url(base.join(&path).unwrap()).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        let is_page = page.headers["content-type"] == "text/html; charset=utf-8";
        if !is_page || path.ends_with("/docs") {
            continue;
        }
        for (attribute, link) in links(&page.html) {
            assert!(
                link.starts_with(&format!("{BASE}/")),
                "{attribute}={link} in {path}"
            );
            // A page with another filter is the same page.
            let page = link.split('?').next().unwrap().to_owned();
            if attribute != "action" && seen.insert(page) {
                queue.push_back(link);
            }
        }
    }
    for page in [
        "users/", "resets/", "limits/", "mails/", "audit/", "account/",
    ] {
        assert!(seen.contains(&format!("{BASE}/admin/{page}")), "{seen:?}");
    }
    assert!(seen.iter().any(|path| path.contains("/media/")), "{seen:?}");
    assert!(seen.contains(&format!("{BASE}/docs")));
}

/// A staff member who submits a form returns to a page below the base path.
#[tokio::test]
async fn dashboard_forms_redirect_below_base_path() {
    let app = with_base_path(&[]).await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    let id = app.user("ada@example.com").await.id.to_string();
    let root = Dashboard::signed_in(&app, "root@example.com").await;

    let activate = [("act", "activate"), ("id", &id), ("back", "/admin/users/")];
    let page = root.post("/admin/users/bulk/", &activate).await;
    assert_eq!(page.location(), format!("{BASE}/admin/users/"));
    assert!(app.user("ada@example.com").await.is_activated);
    let delete = [
        ("act", "delete"),
        ("id", &id),
        ("back", "/admin/users/?q=a"),
    ];
    let page = root.post("/admin/users/bulk/", &delete).await;
    assert!(
        page.html
            .contains(&format!("href=\"{BASE}/admin/users/?q=a\""))
    );
    let theme = [("theme", "dark"), ("back", "/admin/users/")];
    let page = root.post("/admin/preferences/", &theme).await;
    assert_eq!(page.location(), format!("{BASE}/admin/users/"));
    for path in ["/admin/users/bulk/", "/admin/audit/verify/"] {
        let page = root.get(path).await;
        assert!(page.location().starts_with(&format!("{BASE}/admin/")));
    }
    let page = root.post("/admin/logout/", &[]).await;
    assert_eq!(page.location(), format!("{BASE}/admin/login/"));
}

/// Clients can use every URL that the API returns: problem types, pictures and those of the OpenAPI document.
#[tokio::test]
async fn api_urls_include_the_base_path() {
    let app = with_base_path(&[("CORS_ORIGINS", "https://app.example.com")]).await;
    for (method, path, status, name) in [
        (Method::GET, "/nope", 404, "not-found"),
        (Method::DELETE, "/api/login/", 405, "method-not-allowed"),
        (Method::POST, "/api/login/", 400, "invalid-input"),
        (Method::GET, "/api/user/", 401, "not-authenticated"),
    ] {
        let answer = app.send(app.request(method, path)).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem_type = answer.text("/type");
        assert_eq!(problem_type, format!("{BASE}/problems/{name}"));
        let url = Url::parse(&app.base).unwrap().join(&problem_type).unwrap();
        let page = app.http.get(url).send().await.unwrap();
        assert_eq!(page.status(), 200, "{problem_type}");
    }
    let picture = register_with_picture(&app, "ada@example.com").await;
    assert!(picture.starts_with("/media/"), "{picture}");
    let picture = app.request(Method::GET, &picture).send().await;
    assert_eq!(picture.unwrap().status(), 200);

    let get = |path: &str| app.send(app.request(Method::GET, path));
    let document = get("/openapi.json").await.body;
    assert_eq!(document["servers"], json!([{"url": BASE}]));
    let text = document.to_string();
    assert!(!text.contains("\"/problems/") && text.contains("\"/accounts/problems/"));
    let yaml = get("/openapi.yaml").await.body;
    assert!(yaml.as_str().unwrap().contains("- url: /accounts"));
    let docs = get("/docs").await.body;
    assert!(
        docs.as_str()
            .unwrap()
            .contains("\"servers\":[{\"url\":\"/accounts\"}]")
    );
    let own = app
        .request(Method::POST, "/api/login/")
        .header("origin", app.base.trim_end_matches(BASE))
        .json(&json!({}));
    assert_eq!(app.send(own).await.status, 400);
}

/// A4: cookies of a base path are sent to it only. The prefix `__Host-` would require the path `/`.
#[tokio::test]
async fn base_path_cookies_are_secure_and_scoped() {
    for (url, prefix, path) in [
        ("https://h.example/accounts/", "__Secure-", BASE),
        ("https://h.example", "__Host-", "/"),
    ] {
        let app = TestApp::with(&[("PUBLIC_URL", url)]).await;
        let page = app.request(Method::GET, "/admin/login/").send().await;
        let cookies: Vec<_> = page
            .unwrap()
            .headers()
            .get_all("set-cookie")
            .iter()
            .map(|cookie| cookie.to_str().unwrap().to_owned())
            .collect();
        assert_eq!(cookies.len(), 1);
        let cookie = &cookies[0];
        assert!(
            cookie.starts_with(&format!("{prefix}latchkey_")),
            "{cookie}"
        );
        assert!(cookie.contains("Secure"), "{cookie}");
        assert!(
            cookie.contains(&format!("Path={path};")) || cookie.ends_with(&format!("Path={path}")),
            "{cookie}"
        );
    }
}

/// Links in mails and the link for the first administrator work.
#[tokio::test]
async fn mails_and_setup_link_include_base_path() {
    let mut app = with_base_path(&[]).await;
    app.register("ada@example.com").await;
    let mails = app.mails_to("ada@example.com").await;
    let mails = format!("{mails:?}");
    assert!(
        !mails.contains("http") || mails.contains(&app.base),
        "{mails}"
    );
    app.set("BIND", "127.0.0.1:0");
    let mut process = app.process(&["serve"]);
    let line = process.wait_for_line("/admin/setup/").await;
    assert!(
        line.contains(&format!("{}/admin/setup/", app.base)),
        "{line}"
    );
    let rest = line.split("link=").nth(1).unwrap();
    let setup_url = rest.split_whitespace().next().unwrap();
    let page = app.http.get(setup_url).send().await.unwrap();
    assert_eq!(page.status(), 200, "{setup_url}");
    let html = page.text().await.unwrap();
    assert!(
        html.contains(&format!("action=\"{BASE}/admin/setup/")),
        "{html}"
    );
}

/// The committed OpenAPI document is for any server, so its server is the one that it was loaded from.
#[test]
fn document_without_base_path_names_no_host() {
    let document: Value = serde_json::from_str(
        &latchkey_api::server::calls::description()
            .json(&latchkey_api::openapi::Installation::default()),
    )
    .unwrap();
    assert_eq!(document["servers"], json!([{"url": "/"}]));
}

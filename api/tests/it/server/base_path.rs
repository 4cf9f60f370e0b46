//! A path in `PUBLIC_URL`, behind a proxy that takes it off: every path that a client gets begins with it, and works.

use std::collections::{BTreeSet, VecDeque};

use poem::{
    Body, Endpoint, EndpointExt as _, Request, Response, Server,
    endpoint::make,
    http::StatusCode,
    listener::{Acceptor as _, Listener as _, TcpListener},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    accounts::pictures::{data_url, png},
    support::dashboard::Dashboard,
    support::test_app::{PASSWORD, TestApp},
};

const BASE: &str = "/accounts";

/// A app whose clients go through the proxy.
async fn below_a_path(more: &[(&str, &str)]) -> TestApp {
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

/// Forwards what is below the path, without the path; nothing else is there.
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

/// The paths in a page, by attribute.
fn links(html: &str) -> Vec<(&'static str, String)> {
    let attributes = ["href", "src", "action", "hx-get"];
    let mut links = Vec::new();
    for attribute in attributes {
        for part in html.split(&format!(" {attribute}=\"")).skip(1) {
            let link = part.split('"').next().unwrap().replace("&amp;", "&");
            links.push((attribute, link));
        }
    }
    links.retain(|(_, link)| !link.starts_with('#') && !link.starts_with("data:"));
    links
}

#[tokio::test]
async fn dashboard_links_stay_below_base_path() {
    let mut app = below_a_path(&[("LIMIT_LOGIN_FREE_FAILURES", "1")]).await;
    app.create_superuser("root@example.com").await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let picture = json!({"image": data_url(&png(5, 5))});
    app.patch_user(&tokens.access, picture).await;
    app.request_reset("ada@example.com").await;
    // Somebody whom a limit holds.
    app.try_login("ada@example.com", "wrong wrong").await;
    app.try_login("ada@example.com", "wrong wrong").await;
    app.try_login("ada@example.com", "wrong wrong").await;
    let visitor = Dashboard::open(&app).await;
    let away = visitor.get("/admin/users/?q=ada").await;
    assert_eq!(
        away.location(),
        format!("{BASE}/admin/login/?next=%2Fadmin%2Fusers%2F%3Fq%3Dada")
    );
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
        format!("{BASE}/admin/login/?next=%2Fadmin%2Fusers%2F%3Fq%3Dada&unsaved=yes")
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

    let root = Dashboard::signed_in(&app, "root@example.com").await;
    // From here on the paths are those of the pages.
    app.base.truncate(app.base.len() - BASE.len());
    let (mut seen, mut waiting) = (BTreeSet::new(), VecDeque::new());
    waiting.push_back(format!("{BASE}/admin/"));
    while let Some(path) = waiting.pop_front() {
        let request = app.request(Method::GET, "").build().unwrap();
        let mut url = request.url().clone();
        let (only, query) = path.split_once('?').unwrap_or((&path, ""));
        url.set_path(only);
        url.set_query((!query.is_empty()).then_some(query));
        let page = root.get_url(url).await;
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
            // Each page once, whatever its filter is.
            let page = link.split('?').next().unwrap().to_owned();
            if attribute != "action" && seen.insert(page) {
                waiting.push_back(link);
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

#[tokio::test]
async fn dashboard_forms_redirect_below_base_path() {
    let app = below_a_path(&[]).await;
    app.create_superuser("root@example.com").await;
    app.register("ada@example.com").await;
    let id = app.user("ada@example.com").await.id.to_string();
    let root = Dashboard::signed_in(&app, "root@example.com").await;

    let chosen = [("act", "activate"), ("id", &id), ("back", "/admin/users/")];
    let page = root.post("/admin/users/bulk/", &chosen).await;
    assert_eq!(page.location(), format!("{BASE}/admin/users/"));
    assert!(app.user("ada@example.com").await.is_activated);
    let asked = [
        ("act", "delete"),
        ("id", &id),
        ("back", "/admin/users/?q=a"),
    ];
    let page = root.post("/admin/users/bulk/", &asked).await;
    assert!(
        page.html
            .contains(&format!("href=\"{BASE}/admin/users/?q=a\""))
    );
    let preferred = [("theme", "dark"), ("back", "/admin/users/")];
    let page = root.post("/admin/preferences/", &preferred).await;
    assert_eq!(page.location(), format!("{BASE}/admin/users/"));
    for path in ["/admin/users/bulk/", "/admin/audit/verify/"] {
        let page = root.get(path).await;
        assert!(page.location().starts_with(&format!("{BASE}/admin/")));
    }
    let page = root.post("/admin/logout/", &[]).await;
    assert_eq!(page.location(), format!("{BASE}/admin/login/"));
}

#[tokio::test]
async fn api_urls_include_the_base_path() {
    let app = below_a_path(&[("CORS_ORIGINS", "https://app.example.com")]).await;
    for (method, path, status, name) in [
        (Method::GET, "/nope", 404, "not-found"),
        (Method::DELETE, "/api/login/", 405, "method-not-allowed"),
        (Method::POST, "/api/login/", 400, "invalid-input"),
        (Method::GET, "/api/user/", 401, "not-authenticated"),
    ] {
        let answer = app.send(app.request(method, path)).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let kind = answer.text("/type");
        assert_eq!(kind, format!("{BASE}/problems/{name}"));
        // Resolved as a client does.
        let url = reqwest::Url::parse(&app.base).unwrap().join(&kind);
        let told = app.http.get(url.unwrap()).send().await.unwrap();
        assert_eq!(told.status(), 200, "{kind}");
    }
    let mut form = crate::support::test_app::registration("ada@example.com");
    form["image"] = data_url(&png(4, 4)).into();
    let url = app.post("/api/register/", form).await.text("/image");
    assert!(url.starts_with(&format!("{}/media/", app.base)), "{url}");
    assert_eq!(app.http.get(url).send().await.unwrap().status(), 200);

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

/// A4: `__Host-` needs the path `/`.
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

/// The mails that begin links with it, and the link of the first administrator.
#[tokio::test]
async fn mails_and_setup_link_include_base_path() {
    let mut app = below_a_path(&[]).await;
    app.register("ada@example.com").await;
    let mails = app.mails_to("ada@example.com").await;
    let mails = format!("{mails:?}");
    assert!(
        !mails.contains("http") || mails.contains(&app.base),
        "{mails}"
    );
    app.variables
        .insert("BIND".to_owned(), "127.0.0.1:0".to_owned());
    let mut process = app.process(&["serve"]);
    let line = process.wait_for_line("/admin/setup/").await;
    assert!(
        line.contains(&format!("{}/admin/setup/", app.base)),
        "{line}"
    );
    let logged = line.split("link=").nth(1).unwrap();
    let setup_url = logged.split_whitespace().next().unwrap();
    let page = app.http.get(setup_url).send().await.unwrap();
    assert_eq!(page.status(), 200, "{setup_url}");
    let html = page.text().await.unwrap();
    assert!(
        html.contains(&format!("action=\"{BASE}/admin/setup/")),
        "{html}"
    );
}

/// The committed document is of a service without a path.
#[test]
fn document_without_base_path_lists_no_server() {
    let document: Value = serde_json::from_str(
        &latchkey_api::server::calls::description()
            .json(&latchkey_api::openapi::Installation::default()),
    )
    .unwrap();
    assert_eq!(document["servers"], json!([]));
}

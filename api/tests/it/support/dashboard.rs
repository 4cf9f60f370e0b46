//! A dashboard client that works like a browser without JavaScript.

use reqwest::{RequestBuilder, StatusCode, header::HeaderMap};

use crate::support::test_app::{PASSWORD, TestApp};

/// A browser at the dashboard, with its own cookies. It does not follow redirects.
pub(crate) struct Dashboard {
    http: reqwest::Client,
    base: String,
    /// The CSRF token of this browser's forms.
    pub(crate) csrf: String,
}

/// A response of the dashboard: a page or a redirect.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) html: String,
}

impl Dashboard {
    /// Opens the sign-in page.
    pub(crate) async fn open(app: &TestApp) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let mut dashboard = Self {
            http,
            base: app.base.clone(),
            csrf: String::new(),
        };
        dashboard.csrf = dashboard.get("/admin/login/").await.csrf();
        dashboard
    }

    /// Creates the superuser root@example.com and signs in.
    pub(crate) async fn superuser(app: &TestApp) -> Self {
        app.create_superuser("root@example.com").await;
        Self::signed_in(app, "root@example.com").await
    }

    /// Signs in with [`PASSWORD`].
    pub(crate) async fn signed_in(app: &TestApp, email: &str) -> Self {
        let mut dashboard = Self::open(app).await;
        let page = dashboard.sign_in(email, PASSWORD).await;
        assert_eq!(page.status, 303, "{page:?}");
        dashboard.csrf = dashboard.get("/admin/account/").await.csrf();
        dashboard
    }

    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Page {
        self.post(
            "/admin/login/",
            &[
                ("email", email),
                ("password", password),
                ("next", "/admin/"),
            ],
        )
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(self.http.get(self.url(path))).await
    }

    /// Gets an absolute URL.
    pub(crate) async fn get_url(&self, url: reqwest::Url) -> Page {
        self.send(self.http.get(url)).await
    }

    /// Returns the HTML of a page that responds with 200.
    pub(crate) async fn get_html(&self, path: &str) -> String {
        let page = self.get(path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        page.html
    }

    /// Posts a form with its CSRF token.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let mut fields = fields.to_vec();
        fields.push(("csrf", &self.csrf));
        self.send(self.http.post(self.url(path)).form(&fields))
            .await
    }

    /// Posts a form, follows the redirect and returns the flash message.
    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let page = self.post(path, fields).await;
        self.follow(&page).await
    }

    /// Follows a redirect and returns the flash message.
    pub(crate) async fn follow(&self, page: &Page) -> String {
        assert_eq!(page.status, 303, "{page:?}");
        flash_message(&self.get_html(page.location()).await)
    }

    /// Posts a bulk action on accounts, with more form fields such as `confirmed`.
    pub(crate) async fn bulk(&self, action: &str, ids: &[i64], more: &[(&str, &str)]) -> Page {
        let ids: Vec<_> = ids.iter().map(i64::to_string).collect();
        let mut fields: Vec<_> = ids.iter().map(|id| ("id", id.as_str())).collect();
        fields.push(("act", action));
        fields.extend(more);
        self.post("/admin/users/bulk/", &fields).await
    }

    /// Sends a request with this browser's cookies, also one that another client built.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Page {
        let response = self.http.execute(request.build().unwrap()).await.unwrap();
        Page {
            status: response.status(),
            headers: response.headers().clone(),
            html: response.text().await.unwrap(),
        }
    }

    pub(crate) fn post_request(&self, path: &str) -> RequestBuilder {
        self.http.post(self.url(path))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Page {
    /// The target of a redirect.
    pub(crate) fn location(&self) -> &str {
        self.headers["location"].to_str().unwrap()
    }

    /// The `Set-Cookie` value of a cookie, with its attributes.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.headers
            .get_all("set-cookie")
            .iter()
            .map(|cookie| cookie.to_str().unwrap().to_owned())
            .find(|cookie| cookie.starts_with(&format!("{name}=")))
    }

    fn csrf(&self) -> String {
        field_value(&self.html, "csrf")
    }
}

/// The value of a form field.
pub(crate) fn field_value(html: &str, name: &str) -> String {
    let (_, rest) = html
        .split_once(&format!("name=\"{name}\""))
        .unwrap_or_else(|| panic!("no field {name} in {html}"));
    let (_, rest) = rest.split_once("value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// The text of a page's flash message, empty without one.
pub(crate) fn flash_message(html: &str) -> String {
    let (_, rest) = html.split_once("<p class=\"flash\"").unwrap_or(("", ">"));
    let text = rest.split_once('>').unwrap().1;
    text.split('<').next().unwrap().to_owned()
}

/// Asserts that a page contains a text; prints the page otherwise.
#[track_caller]
pub(crate) fn assert_contains(html: &str, text: &str) {
    assert!(html.contains(text), "{text:?} is not in {html}");
}

#[track_caller]
pub(crate) fn assert_not_contains(html: &str, text: &str) {
    assert!(!html.contains(text), "{text:?} is in {html}");
}

//! Somebody at the dashboard with a browser that runs no JavaScript.

use reqwest::{RequestBuilder, StatusCode, header::HeaderMap};

use crate::support::test_app::{PASSWORD, TestApp};

pub(crate) struct Dashboard {
    http: reqwest::Client,
    base: String,
    /// The token of this browser's forms.
    pub(crate) csrf: String,
}

/// A page, or the way to one.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) html: String,
}

impl Dashboard {
    /// Somebody who has opened the sign-in page.
    pub(crate) async fn visit(app: &TestApp) -> Self {
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

    /// Somebody who is signed in.
    pub(crate) async fn of(app: &TestApp, email: &str) -> Self {
        let mut dashboard = Self::visit(app).await;
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

    /// What is at any URL.
    pub(crate) async fn get_url(&self, url: reqwest::Url) -> Page {
        self.send(self.http.get(url)).await
    }

    /// A page that has to be there.
    pub(crate) async fn see(&self, path: &str) -> String {
        let page = self.get(path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        page.html
    }

    /// A form with its token.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let mut fields = fields.to_vec();
        fields.push(("csrf", &self.csrf));
        self.send(self.http.post(self.url(path)).form(&fields))
            .await
    }

    /// A form that was done, and what the page after it says.
    pub(crate) async fn done(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let page = self.post(path, fields).await;
        assert_eq!(page.status, 303, "{path}: {page:?}");
        let html = self.see(page.headers["location"].to_str().unwrap()).await;
        said(&html)
    }

    /// A request of any kind, by this browser.
    pub(crate) async fn send_as(&self, request: RequestBuilder) -> Page {
        let request = request.build().unwrap();
        Self::read(self.http.execute(request).await.unwrap()).await
    }

    pub(crate) fn request(&self, path: &str) -> RequestBuilder {
        self.http.post(self.url(path))
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Page {
        Self::read(request.send().await.unwrap()).await
    }

    async fn read(response: reqwest::Response) -> Page {
        Page {
            status: response.status(),
            headers: response.headers().clone(),
            html: response.text().await.unwrap(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Page {
    /// Where it sends the browser.
    pub(crate) fn location(&self) -> &str {
        self.headers["location"].to_str().unwrap()
    }

    /// The cookie that it sets, with its attributes.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.headers
            .get_all("set-cookie")
            .iter()
            .map(|cookie| cookie.to_str().unwrap().to_owned())
            .find(|cookie| cookie.starts_with(&format!("{name}=")))
    }

    fn csrf(&self) -> String {
        value(&self.html, "csrf")
    }
}

/// The value of a field of a form.
pub(crate) fn value(html: &str, name: &str) -> String {
    let (_, rest) = html
        .split_once(&format!("name=\"{name}\""))
        .unwrap_or_else(|| panic!("no field {name} in {html}"));
    let (_, rest) = rest.split_once("value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// What a page says was done.
pub(crate) fn said(html: &str) -> String {
    let (_, rest) = html.split_once("<p class=\"flash\"").unwrap_or(("", ">"));
    let text = rest.split_once('>').unwrap().1;
    text.split('<').next().unwrap().to_owned()
}

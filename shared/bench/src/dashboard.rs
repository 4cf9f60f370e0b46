//! A browser that signs in to the dashboard and loads pages, without scripts.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::{installation::Running, load, seed::PASSWORD};

/// The lists that an administrator loads in turn, each with its second page.
const LISTS: [&str; 5] = [
    "/admin/users/",
    "/admin/users/?sort=email",
    "/admin/users/?status=active&sort=-last_login",
    "/admin/users/?status=active&sort=name",
    "/admin/users/?q=u12%40example",
];

/// An administrator who is signed in to the dashboard.
pub(crate) struct Administrator {
    cookie: String,
    pages: Vec<String>,
}

impl Administrator {
    /// Signs in with the first account and finds the second page of each list.
    pub(crate) fn sign_in(api: &Running) -> anyhow::Result<Self> {
        let login_page = fetch_page(api.address, "/admin/login/", "")?;
        let visitor = cookies(&login_page);
        let token = between(&login_page, "name=\"csrf\" value=\"", "\"")
            .context("the login page has no CSRF token")?;
        let form: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("csrf", token)
            .append_pair("email", "u1@example.com")
            .append_pair("password", PASSWORD)
            .append_pair("next", "/admin/users/")
            .finish();
        let mut request = Vec::new();
        load::write_form(&mut request, "/admin/login/", &visitor, &form);
        let (status, response) = load::send(api.address, &request)?;
        anyhow::ensure!(status == 303, "the dashboard's login returned {status}");
        let cookie = cookies(&response);
        let mut pages = Vec::new();
        for list in LISTS {
            let page = fetch_page(api.address, list, &cookie)?;
            pages.push(list.to_owned());
            if let Some(next) = between(&page, "rel=\"next\" href=\"", "\"") {
                pages.push(next.replace("&amp;", "&").replace("&#38;", "&"));
            }
        }
        Ok(Self { cookie, pages })
    }

    /// Writes the request for one of the pages.
    pub(crate) fn write_request(&self, number: u64, request: &mut Vec<u8>) {
        let page = &self.pages[number as usize % self.pages.len()];
        load::write_page(request, page, &self.cookie);
    }
}

fn fetch_page(server: SocketAddr, path: &str, cookie: &str) -> anyhow::Result<String> {
    let mut request = Vec::new();
    load::write_page(&mut request, path, cookie);
    let (status, page) = load::send(server, &request)?;
    anyhow::ensure!(status == 200, "{path} returned {status}");
    Ok(page)
}

/// Returns the cookies that a response sets, in the form of the `Cookie` header.
fn cookies(response: &str) -> String {
    let set = response.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let cookie = value.split(';').next()?;
        name.eq_ignore_ascii_case("set-cookie").then_some(cookie)
    });
    set.collect::<Vec<_>>().join("; ")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

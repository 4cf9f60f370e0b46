//! The dashboard, as a browser without scripts asks for it: signs in, and has whole pages made.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::{
    load,
    stage::{PASSWORD, Running},
};

/// What an administrator looks at: each of these in turn, and the page after each.
const LISTS: [&str; 5] = [
    "/admin/users/",
    "/admin/users/?sort=email",
    "/admin/users/?activated=yes&sort=-last_login",
    "/admin/users/?active=yes&sort=name",
    "/admin/users/?q=u12%40example",
];

/// An administrator at a dashboard.
pub(crate) struct Administrator {
    cookie: String,
    pages: Vec<String>,
}

impl Administrator {
    /// Signs the first account in and finds the second page of each list.
    pub(crate) fn sign_in(api: &Running) -> anyhow::Result<Self> {
        let door = ask(api.address, "/admin/login/", "")?;
        let visitor = cookies(&door);
        let token = between(&door, "name=\"csrf\" value=\"", "\"").context("a form's token")?;
        let form: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("csrf", token)
            .append_pair("email", "u1@example.com")
            .append_pair("password", PASSWORD)
            .append_pair("next", "/admin/users/")
            .finish();
        let mut request = Vec::new();
        load::post_form(&mut request, "/admin/login/", &visitor, &form);
        let (status, answer) = load::ask(api.address, &request)?;
        anyhow::ensure!(status == 303, "the dashboard's sign-in answered {status}");
        let cookie = cookies(&answer);
        let mut pages = Vec::new();
        for list in LISTS {
            let page = ask(api.address, list, &cookie)?;
            pages.push(list.to_owned());
            if let Some(next) = between(&page, "rel=\"next\" href=\"", "\"") {
                pages.push(next.replace("&amp;", "&").replace("&#38;", "&"));
            }
        }
        Ok(Self { cookie, pages })
    }

    /// Writes the request for a page.
    pub(crate) fn look(&self, number: u64, request: &mut Vec<u8>) {
        let page = &self.pages[number as usize % self.pages.len()];
        load::page(request, page, &self.cookie);
    }
}

fn ask(server: SocketAddr, path: &str, cookie: &str) -> anyhow::Result<String> {
    let mut request = Vec::new();
    load::page(&mut request, path, cookie);
    let (status, answer) = load::ask(server, &request)?;
    anyhow::ensure!(status == 200, "{path} answered {status}");
    Ok(answer)
}

/// The cookies that an answer sets, as the next request sends them.
fn cookies(answer: &str) -> String {
    let set = answer.lines().filter_map(|line| {
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

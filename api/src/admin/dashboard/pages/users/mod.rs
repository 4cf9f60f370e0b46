//! `/admin/users/`: the list of users.

pub mod bulk;
pub mod csv;
mod filters;
mod query_string;

use std::collections::HashSet;

use askama::Template;
use latchkey_shared::models::user::{
    self as account,
    search::{self, Counts, MAX_COUNTED},
};
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Query},
};

use crate::admin::{
    actions::lockouts,
    dashboard::{
        components::{SelectOption, capped_count},
        context::View,
        current_admin::CurrentAdmin,
        pages::users::{
            filters::{Chip, Column, FilterSelect, StatusTab},
            query_string::UserListQuery,
        },
    },
    permissions::{Permit, ViewUsers},
};
use crate::{app_state::App, http::error::ApiError};

const PAGE_SIZE: usize = 50;

#[derive(Template)]
#[template(path = "admin/users.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    /// The error of a bulk action.
    problem: Option<String>,
    q: String,
    /// The value of the field `status`.
    status: String,
    tabs: Vec<StatusTab>,
    filters: Vec<FilterSelect>,
    /// The number of select fields in use.
    filter_count: usize,
    sort_options: Vec<SelectOption>,
    results: Results,
}

/// The part of the page that htmx replaces.
#[derive(Template)]
#[template(path = "admin/users.html", block = "results")]
struct ResultsPage<'a> {
    v: &'a View,
    me: &'a CurrentAdmin,
    results: &'a Results,
}

struct Results {
    columns: Vec<Column>,
    count: String,
    chips: Vec<Chip>,
    rows: Vec<account::Model>,
    /// The ids of the accounts with a lockout.
    locked_out: HashSet<i64>,
    /// The ids of the selected accounts.
    selected: Vec<i64>,
    /// The query string of filter and order.
    query: String,
    /// The query string of this page.
    page_query: String,
    /// The query strings of the previous and the next page.
    previous: Option<String>,
    next: Option<String>,
    is_later_page: bool,
}

/// Shows the list, or only its results for htmx.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<ViewUsers>,
    view: View,
    Query(query): Query<UserListQuery>,
) -> poem::Result<Response> {
    let me = CurrentAdmin::of(&admin);
    if view.is_partial("results") {
        let page = ResultsPage {
            v: &view,
            me: &me,
            results: &Results::load(app, &view, &query).await?,
        };
        return view.page(StatusCode::OK, &page);
    }
    let page = Page::load(app, me, &view, &query).await?;
    view.page(StatusCode::OK, &page)
}

impl Page {
    async fn load(
        app: &App,
        me: CurrentAdmin,
        view: &View,
        query: &UserListQuery,
    ) -> Result<Self, ApiError> {
        let results = Results::load(app, view, query).await?;
        let counts: Counts = search::counts(&app.db, app.now()).await?;
        Ok(Self {
            title: view.t.users,
            section: "users",
            problem: None,
            q: query.q.clone(),
            status: query.status.clone(),
            tabs: filters::tabs(view.t, query, &counts),
            filters: filters::selects(view.t, query, &counts),
            filter_count: results.chips.len() - usize::from(!query.q.trim().is_empty()),
            sort_options: filters::sort_options(view.t, query),
            results,
            v: view.clone(),
            me,
        })
    }
}

impl Results {
    async fn load(app: &App, view: &View, query: &UserListQuery) -> Result<Self, ApiError> {
        let (filter, sort) = (query.filter(app), query.sort());
        let list = search::page(&app.db, &filter, sort, &query.page_request(), PAGE_SIZE).await?;
        let order = sort.to_string();
        let link = |name, cursor: Option<search::PageCursor>| {
            cursor.map(|cursor| query.link(&[("sort", &order), (name, &cursor.to_string())]))
        };
        Ok(Self {
            columns: filters::columns(view.t, query),
            chips: filters::chips(view.t, query),
            count: capped_count(list.found, MAX_COUNTED),
            selected: Vec::new(),
            query: query.link(&[("sort", &order)]),
            page_query: query.link(&[
                ("sort", &order),
                ("after", &query.after),
                ("before", &query.before),
            ]),
            previous: link("before", list.before),
            next: link("after", list.after),
            is_later_page: query.page_request() != search::PageRequest::First,
            locked_out: lockouts::locked_out(app, &list.rows).await?,
            rows: list.rows,
        })
    }
}

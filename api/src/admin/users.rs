//! `/admin/users/`: the list, and what is done to several at once.

use askama::Template;
use latchkey_shared::{
    gender::Gender,
    user::{
        self,
        search::{self, Counts, Filter, Page as List, Part, Sort, SortBy},
        staff,
    },
};
use poem::{
    FromRequest, Request, RequestBody, Response, handler,
    http::StatusCode,
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    acts,
    form::Form,
    home::at_most,
    permit::{ChangeUsers, DeleteUsers, Permit, Right, ViewUsers},
    texts::Texts,
    view::{Me, View, back, go, place},
};
use crate::{app::App, error::ApiError};

/// How many a page has.
const SIZE: usize = 50;

/// What the address says; what is not understood is not filtered by.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    q: String,
    activated: String,
    active: String,
    staff: String,
    gender: String,
    joined: String,
    sort: String,
    after: String,
    before: String,
}

#[derive(Template)]
#[template(path = "admin/users.html")]
struct Page {
    v: View,
    me: Me,
    title: &'static str,
    section: &'static str,
    q: String,
    sorts: Vec<Item>,
    choices: Vec<Choice>,
    columns: Vec<Column>,
    found: String,
    rows: Vec<user::Model>,
    /// The filter, for a link.
    query: String,
    /// The filter with sort and place.
    here: String,
    before: Option<String>,
    after: Option<String>,
}

/// The same, of which htmx replaces the results alone.
#[derive(Template)]
#[template(path = "admin/users.html", block = "results")]
struct Results<'a> {
    v: &'a View,
    me: &'a Me,
    columns: &'a [Column],
    found: &'a str,
    rows: &'a [user::Model],
    query: &'a str,
    here: &'a str,
    before: &'a Option<String>,
    after: &'a Option<String>,
}

/// One filter with what can be chosen.
struct Choice {
    name: &'static str,
    label: &'static str,
    options: Vec<Item>,
}

/// One thing to choose.
pub(super) struct Item {
    pub value: String,
    pub label: String,
    pub chosen: bool,
}

struct Column {
    label: &'static str,
    /// The link that sorts by it; empty where nothing does.
    sort: String,
    /// `ascending` or `descending`, if the list is sorted by it.
    order: Option<&'static str>,
}

/// The list.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<ViewUsers>,
    view: View,
    Query(asked): Query<Asked>,
) -> poem::Result<Response> {
    let (filter, sort) = (asked.filter(app), asked.sort());
    let list = search::page(&app.db, &filter, sort, &asked.part(), SIZE)
        .await
        .map_err(ApiError::from)?;
    let whole = !view.wants("results");
    let counts = if whole {
        search::counts(&app.db, app.now())
            .await
            .map_err(ApiError::from)?
    } else {
        Counts::default()
    };
    let page = Page::new(&view, Me::of(&admin), &asked, list, &counts);
    if whole {
        view.page(StatusCode::OK, &page)
    } else {
        view.page(StatusCode::OK, &page.results())
    }
}

/// Whoever loads anew what a question stood at.
#[handler]
pub fn list_instead() -> Response {
    go("/admin/users/")
}

/// Does to those who are chosen what is asked for; what cannot be taken back is asked about first.
#[handler]
pub async fn act_on_chosen(
    Data(app): Data<&App>,
    view: View,
    request: &Request,
    form: Form,
) -> poem::Result<Response> {
    let ids: Vec<i64> = form
        .texts("id")
        .iter()
        .filter_map(|id| id.parse().ok())
        .collect();
    let target = place(&form.text("back"));
    let (act, confirmed) = (form.text("act"), form.is_ticked("confirmed"));
    if ids.is_empty() {
        return Ok(back(app, &target, "nothing", 1));
    }
    let (done, count) = match act.as_str() {
        "activate" => {
            let admin = permit::<ChangeUsers>(request).await?;
            ("activated", acts::activate(app, &admin, &ids).await?)
        }
        "sign_out" => {
            let admin = permit::<ChangeUsers>(request).await?;
            ("signed_out", acts::sign_out(app, &admin, &ids).await?)
        }
        "ask_for_reset" => {
            let admin = permit::<ChangeUsers>(request).await?;
            acts::ask_for_reset(app, &admin, ids[0]).await?;
            ("asked", 1)
        }
        "deactivate" => {
            let admin = permit::<ChangeUsers>(request).await?;
            if !confirmed {
                return confirm(app, &view, Me::of(&admin), &ids, &act, target).await;
            }
            ("deactivated", acts::deactivate(app, &admin, &ids).await?)
        }
        "delete" => {
            let admin = permit::<DeleteUsers>(request).await?;
            if !confirmed {
                return confirm(app, &view, Me::of(&admin), &ids, &act, target).await;
            }
            let count = acts::delete(app, &admin, &ids).await?;
            // The page of an account that is gone is no place to go back to.
            let gone = ids
                .iter()
                .any(|id| target.starts_with(&format!("/admin/users/{id}/")));
            let target = if gone { "/admin/users/" } else { &target };
            return Ok(back(app, target, "deleted", count));
        }
        _ => return Err(ApiError::NotFound.into()),
    };
    Ok(back(app, &target, done, count))
}

async fn permit<R: Right>(request: &Request) -> poem::Result<Permit<R>> {
    Permit::from_request(request, &mut RequestBody::default()).await
}

#[derive(Template)]
#[template(path = "admin/confirm.html")]
struct Confirm {
    v: View,
    me: Me,
    title: &'static str,
    section: &'static str,
    question: &'static str,
    button: &'static str,
    act: String,
    back: String,
    users: Vec<user::Model>,
}

async fn confirm(
    app: &App,
    view: &View,
    me: Me,
    ids: &[i64],
    act: &str,
    back: String,
) -> poem::Result<Response> {
    let t = view.t;
    let (button, question) = if act == "delete" {
        (t.delete, t.confirm_delete)
    } else {
        (t.deactivate, t.confirm_deactivate)
    };
    let users = staff::find_all(&app.db, ids)
        .await
        .map_err(ApiError::from)?;
    let page = Confirm {
        v: view.at(&back),
        me,
        title: button,
        section: "users",
        question,
        button,
        act: act.to_owned(),
        back,
        users,
    };
    view.page(StatusCode::OK, &page)
}

impl Asked {
    /// The filter it stands for.
    #[must_use]
    pub fn filter(&self, app: &App) -> Filter {
        let flag = |text: &str| match text {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        };
        Filter {
            text: Some(self.q.trim().to_owned()).filter(|text| !text.is_empty()),
            activated: flag(&self.activated),
            active: flag(&self.active),
            staff: flag(&self.staff),
            gender: match self.gender.as_str() {
                "male" => Some(Some(Gender::Male)),
                "female" => Some(Some(Gender::Female)),
                "none" => Some(None),
                _ => None,
            },
            joined_since: self
                .joined
                .parse()
                .ok()
                .filter(|days| (1..=36_500).contains(days))
                .map(|days| app.now() - chrono::TimeDelta::days(days)),
        }
    }

    /// The order it asks for.
    #[must_use]
    pub fn sort(&self) -> Sort {
        self.sort.parse().unwrap_or_default()
    }

    fn part(&self) -> Part {
        match (self.after.parse(), self.before.parse()) {
            (Ok(place), _) => Part::After(place),
            (_, Ok(place)) => Part::Before(place),
            _ => Part::First,
        }
    }

    /// The filter for a link, with other things added.
    fn link(&self, more: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("q", &self.q),
            ("activated", &self.activated),
            ("active", &self.active),
            ("staff", &self.staff),
            ("gender", &self.gender),
            ("joined", &self.joined),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        for (name, value) in more {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

impl Page {
    fn new(view: &View, me: Me, asked: &Asked, list: List, counts: &Counts) -> Self {
        let sort = asked.sort();
        let by = sort.to_string();
        let page = |name, place: Option<search::Place>| {
            place.map(|place| asked.link(&[("sort", &by), (name, &place.to_string())]))
        };
        Self {
            title: view.t.users,
            section: "users",
            q: asked.q.clone(),
            choices: choices(view.t, asked, counts),
            columns: columns(view.t, asked, sort),
            found: at_most(list.found, search::MOST_COUNTED),
            query: asked.link(&[("sort", &by)]),
            here: asked.link(&[
                ("sort", &by),
                ("after", &asked.after),
                ("before", &asked.before),
            ]),
            before: page("before", list.before),
            after: page("after", list.after),
            rows: list.rows,
            sorts: sorts(view.t, sort),
            v: view.clone(),
            me,
        }
    }

    fn results(&self) -> Results<'_> {
        Results {
            v: &self.v,
            me: &self.me,
            columns: &self.columns,
            found: &self.found,
            rows: &self.rows,
            query: &self.query,
            here: &self.here,
            before: &self.before,
            after: &self.after,
        }
    }
}

fn columns(t: &'static Texts, asked: &Asked, sort: Sort) -> Vec<Column> {
    let sorted = |label, by| {
        let now = sort.by == by;
        let next = Sort {
            by,
            // What is sorted by already turns round; times begin with the latest.
            descending: if now {
                !sort.descending
            } else {
                matches!(by, SortBy::Joined | SortBy::LastLogin)
            },
        };
        let order = if sort.descending {
            "descending"
        } else {
            "ascending"
        };
        Column {
            label,
            sort: asked.link(&[("sort", &next.to_string())]),
            order: now.then_some(order),
        }
    };
    let plain = |label| Column {
        label,
        sort: String::new(),
        order: None,
    };
    vec![
        sorted(t.name, SortBy::Name),
        sorted(t.email, SortBy::Email),
        plain(t.activated),
        plain(t.active),
        plain(t.staff),
        sorted(t.joined, SortBy::Joined),
        sorted(t.last_login, SortBy::LastLogin),
    ]
}

fn sorts(t: &Texts, chosen: Sort) -> Vec<Item> {
    let orders = [
        ("-joined", t.joined, "↓"),
        ("joined", t.joined, "↑"),
        ("name", t.name, "↑"),
        ("-name", t.name, "↓"),
        ("email", t.email, "↑"),
        ("-email", t.email, "↓"),
        ("-last_login", t.last_login, "↓"),
        ("last_login", t.last_login, "↑"),
    ];
    orders
        .into_iter()
        .map(|(value, label, arrow)| Item {
            value: value.to_owned(),
            label: format!("{label} {arrow}"),
            chosen: chosen.to_string() == value,
        })
        .collect()
}

fn choices(t: &'static Texts, asked: &Asked, counts: &Counts) -> Vec<Choice> {
    let choice = |name, label, chosen: &str, options: &[(&str, &str, i64)]| Choice {
        name,
        label,
        options: std::iter::once(Item {
            value: String::new(),
            label: t.any.to_owned(),
            chosen: chosen.is_empty(),
        })
        .chain(options.iter().map(|(value, label, count)| Item {
            value: (*value).to_owned(),
            label: format!("{label} ({})", at_most(*count, search::MOST_COUNTED)),
            chosen: chosen == *value,
        }))
        .collect(),
    };
    vec![
        choice(
            "activated",
            t.activated,
            &asked.activated,
            &[
                ("no", t.waits, counts.waiting),
                ("yes", t.yes, counts.activated),
            ],
        ),
        choice(
            "active",
            t.active,
            &asked.active,
            &[("yes", t.yes, counts.active), ("no", t.shut, counts.shut)],
        ),
        choice(
            "staff",
            t.staff,
            &asked.staff,
            &[("yes", t.yes, counts.staff), ("no", t.no, counts.not_staff)],
        ),
        choice(
            "gender",
            t.gender,
            &asked.gender,
            &[
                ("female", t.female, counts.female),
                ("male", t.male, counts.male),
                ("none", t.not_said, counts.no_gender),
            ],
        ),
        choice(
            "joined",
            t.joined,
            &asked.joined,
            &[
                ("1", t.joined_1, counts.joined_1),
                ("7", t.joined_7, counts.joined_7),
                ("30", t.joined_30, counts.joined_30),
            ],
        ),
    ]
}

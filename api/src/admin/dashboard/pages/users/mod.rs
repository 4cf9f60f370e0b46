//! `/admin/users/`: the list, and what is done to several at once.

pub mod csv;

use askama::Template;
use latchkey_shared::{
    models::user::{
        self as account,
        search::{self, Counts, Filter, Page as List, PageRequest, Sort, SortBy},
        staff::{self, DependentCounts},
    },
    types::gender::Gender,
};
use poem::{
    FromRequest, Request, RequestBody, Response, handler,
    http::StatusCode,
    web::{Data, Query},
};
use serde::Deserialize;

use crate::admin::{
    actions,
    dashboard::{
        context::{CurrentAdmin, View, back, go, place, with_wait},
        csrf::Form,
        form_state::FormState,
        i18n::Texts,
        pages::{overview::capped_count, user},
    },
    permissions::{Admin, ChangeUsers, DeleteUsers, Permit, Right, ViewUsers},
};
use crate::{app_state::App, http::error::ApiError};

/// How many a page has.
const SIZE: usize = 50;
/// The list of those that wait for their owners.
const OWNERS: &str = "activated=owner&sort=joined";

/// What the address says; what is not understood is not filtered by.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UserListQuery {
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
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    /// Why what was asked for was not done.
    problem: Option<String>,
    q: String,
    kinds: Vec<Kind>,
    sorts: Vec<Item>,
    is_filtered: bool,
    choices: Vec<Choice>,
    columns: Vec<Column>,
    found: String,
    rows: Vec<account::Model>,
    /// Those that are ticked.
    chosen: Vec<i64>,
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
    me: &'a CurrentAdmin,
    columns: &'a [Column],
    found: &'a str,
    rows: &'a [account::Model],
    chosen: &'a [i64],
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

/// Accounts that are looked for often.
struct Kind {
    label: &'static str,
    count: Option<String>,
    /// The list of them.
    query: String,
    is_shown: bool,
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
    Query(asked): Query<UserListQuery>,
) -> poem::Result<Response> {
    let whole = !view.wants("results");
    let page = collect(app, CurrentAdmin::of(&admin), &view, &asked, whole).await?;
    if whole {
        view.page(StatusCode::OK, &page)
    } else {
        view.page(StatusCode::OK, &page.results())
    }
}

async fn collect(
    app: &App,
    me: CurrentAdmin,
    view: &View,
    asked: &UserListQuery,
    whole: bool,
) -> Result<Page, ApiError> {
    let (filter, sort) = (asked.filter(app), asked.sort());
    let list = search::page(&app.db, &filter, sort, &asked.part(), SIZE).await?;
    let counts = if whole {
        search::counts(&app.db, app.now()).await?
    } else {
        Counts::default()
    };
    Ok(Page::new(view, me, asked, list, &counts))
}

/// Whoever loads anew what a question stood at.
#[handler]
pub fn redirect_to_list(Data(app): Data<&App>) -> Response {
    go(app, "/admin/users/")
}

/// Does to those who are chosen what is asked for; what cannot be taken back is asked about first. What is refused leaves
/// the choice as it was.
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
    let chosen = BulkSelection {
        act: form.text("act"),
        ids,
        target: place(&form.text("back")),
        confirmed: form.is_ticked("confirmed"),
    };
    if chosen.ids.is_empty() {
        return Ok(back(app, &chosen.target, "nothing", 1));
    }
    let done = if chosen.act == "delete" {
        let admin = permit::<DeleteUsers>(request).await?;
        chosen.delete(app, &view, &admin).await
    } else {
        let admin = permit::<ChangeUsers>(request).await?;
        chosen.change(app, &view, &admin).await
    };
    match done {
        Ok(Done::To(what, count)) => Ok(back(app, chosen.place_after(), what, count)),
        Ok(Done::UserListQuery(question)) => view.page(StatusCode::OK, &*question),
        Err(error) if error.kind().status.is_server_error() => Err(error.into()),
        Err(error) => {
            let admin = permit::<ViewUsers>(request).await?;
            chosen.refused(app, &view, &admin, error).await
        }
    }
}

/// An act, and the accounts that were chosen for it.
struct BulkSelection {
    act: String,
    ids: Vec<i64>,
    /// The page where they were chosen.
    target: String,
    confirmed: bool,
}

/// What came of an act.
enum Done {
    /// It was done, to so many.
    To(&'static str, usize),
    /// It is asked about.
    UserListQuery(Box<Confirm>),
}

impl BulkSelection {
    async fn change(
        &self,
        app: &App,
        view: &View,
        admin: &Permit<ChangeUsers>,
    ) -> Result<Done, ApiError> {
        let ids = &self.ids;
        Ok(match self.act.as_str() {
            "activate" => {
                // Who was shut was shut by somebody: whoever opens the account again should know.
                if !self.confirmed {
                    let users = actions::look(app, admin, ids, false).await?;
                    if users.iter().any(|user| !user.is_active) {
                        return Ok(self.ask(view, admin, users, None));
                    }
                }
                Done::To("activated", actions::activate(app, admin, ids).await?)
            }
            "deactivate" if !self.confirmed => {
                let users = actions::look(app, admin, ids, true).await?;
                self.ask(view, admin, users, None)
            }
            "deactivate" => Done::To("deactivated", actions::deactivate(app, admin, ids).await?),
            "sign_out" => Done::To("signed_out", actions::sign_out(app, admin, ids).await?),
            "request_password_reset" => {
                actions::request_password_reset(app, admin, ids[0]).await?;
                Done::To("asked", 1)
            }
            _ => return Err(ApiError::NotFound),
        })
    }

    async fn delete(
        &self,
        app: &App,
        view: &View,
        admin: &Permit<DeleteUsers>,
    ) -> Result<Done, ApiError> {
        if self.confirmed {
            return Ok(Done::To(
                "deleted",
                actions::delete(app, admin, &self.ids).await?,
            ));
        }
        let users = actions::look(app, admin, &self.ids, true).await?;
        let goes = staff::belongings(&app.db, &self.ids, app.now()).await?;
        Ok(self.ask(view, admin, users, Some(goes)))
    }

    fn ask(
        &self,
        view: &View,
        admin: &Admin,
        users: Vec<account::Model>,
        goes: Option<DependentCounts>,
    ) -> Done {
        let t = view.t;
        let (button, question) = match self.act.as_str() {
            "delete" => (t.delete, t.confirm_delete),
            "deactivate" => (t.deactivate, t.confirm_deactivate),
            _ => (t.activate, t.confirm_reopen),
        };
        Done::UserListQuery(Box::new(Confirm {
            v: view.at(&self.target),
            me: CurrentAdmin::of(admin),
            title: button,
            section: "users",
            question,
            button,
            act: self.act.clone(),
            back: self.target.clone(),
            pictures: users.iter().filter(|user| user.picture.is_some()).count(),
            goes,
            users,
        }))
    }

    /// The page of an account that is gone is no place to go back to.
    fn place_after(&self) -> &str {
        let gone = |id| self.target.starts_with(&format!("/admin/users/{id}/"));
        if self.act == "delete" && self.ids.iter().any(gone) {
            "/admin/users/"
        } else {
            &self.target
        }
    }

    /// The page where they were chosen, with the choice and why nothing was done.
    async fn refused(
        &self,
        app: &App,
        view: &View,
        admin: &Permit<ViewUsers>,
        error: ApiError,
    ) -> poem::Result<Response> {
        let view = view.at(&self.target);
        let rest = self.target.strip_prefix("/admin/users/").unwrap_or("-");
        if let Ok(id) = rest.trim_end_matches('/').parse() {
            return user::refused(app, admin, &view, id, &error).await;
        }
        if !(rest.is_empty() || rest.starts_with('?')) {
            return Err(error.into());
        }
        let asked = UserListQuery::read(rest.trim_start_matches('?'));
        let mut page = collect(app, CurrentAdmin::of(admin), &view, &asked, true).await?;
        page.problem = FormState::default().refused(view.t, &error).problem;
        page.chosen.clone_from(&self.ids);
        let page = view.page(error.kind().status, &page)?;
        Ok(with_wait(page, error.retry_after()))
    }
}

async fn permit<R: Right>(request: &Request) -> poem::Result<Permit<R>> {
    Permit::from_request(request, &mut RequestBody::default()).await
}

#[derive(Template)]
#[template(path = "admin/confirm.html")]
struct Confirm {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    question: &'static str,
    button: &'static str,
    act: String,
    back: String,
    users: Vec<account::Model>,
    /// What is removed with them, if they are.
    goes: Option<DependentCounts>,
    pictures: usize,
}

impl UserListQuery {
    /// What an address of the list says.
    fn read(query: &str) -> Self {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let field = match &*name {
                "q" => &mut asked.q,
                "activated" => &mut asked.activated,
                "active" => &mut asked.active,
                "staff" => &mut asked.staff,
                "gender" => &mut asked.gender,
                "joined" => &mut asked.joined,
                "sort" => &mut asked.sort,
                "after" => &mut asked.after,
                "before" => &mut asked.before,
                _ => continue,
            };
            *field = value.into_owned();
        }
        asked
    }

    /// The filter it stands for.
    #[must_use]
    pub fn filter(&self, app: &App) -> Filter {
        let flag = |text: &str| match text {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        };
        let activated = match self.activated.as_str() {
            "waits" => Filter::pending_approval(),
            "owner" => Filter::pending_verification(),
            activated => Filter {
                activated: flag(activated),
                ..Filter::default()
            },
        };
        Filter {
            text: Some(self.q.trim().to_owned()).filter(|text| !text.is_empty()),
            active: flag(&self.active),
            staff: flag(&self.staff),
            superuser: (self.staff == "superuser").then_some(true),
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
            ..activated
        }
    }

    /// Whether there is anything to choose of accounts that wait for their owners: most installations have none.
    fn tells_of_owners(&self, counts: &Counts) -> bool {
        counts.pending_verification > 0 || self.activated == "owner"
    }

    /// The order it asks for.
    #[must_use]
    pub fn sort(&self) -> Sort {
        self.sort.parse().unwrap_or_default()
    }

    fn part(&self) -> PageRequest {
        match (self.after.parse(), self.before.parse()) {
            (Ok(place), _) => PageRequest::After(place),
            (_, Ok(place)) => PageRequest::Before(place),
            _ => PageRequest::First,
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
    fn new(
        view: &View,
        me: CurrentAdmin,
        asked: &UserListQuery,
        list: List,
        counts: &Counts,
    ) -> Self {
        let sort = asked.sort();
        let by = sort.to_string();
        let page = |name, place: Option<search::PageCursor>| {
            place.map(|place| asked.link(&[("sort", &by), (name, &place.to_string())]))
        };
        Self {
            title: view.t.users,
            section: "users",
            q: asked.q.clone(),
            choices: choices(view.t, asked, counts),
            columns: columns(view.t, asked, sort),
            found: capped_count(list.found, search::MOST_COUNTED),
            query: asked.link(&[("sort", &by)]),
            here: asked.link(&[
                ("sort", &by),
                ("after", &asked.after),
                ("before", &asked.before),
            ]),
            before: page("before", list.before),
            after: page("after", list.after),
            rows: list.rows,
            chosen: Vec::new(),
            problem: None,
            kinds: kinds(view.t, asked, counts),
            is_filtered: [
                &asked.activated,
                &asked.active,
                &asked.staff,
                &asked.gender,
                &asked.joined,
            ]
            .iter()
            .any(|chosen| !chosen.is_empty()),
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
            chosen: &self.chosen,
            query: &self.query,
            here: &self.here,
            before: &self.before,
            after: &self.after,
        }
    }
}

fn columns(t: &'static Texts, asked: &UserListQuery, sort: Sort) -> Vec<Column> {
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

/// Each with a link that filters by nothing else.
fn kinds(t: &'static Texts, asked: &UserListQuery, counts: &Counts) -> Vec<Kind> {
    let kinds = [
        (t.everybody, None, ""),
        (
            t.waits,
            Some(counts.pending_approval),
            "activated=waits&sort=joined",
        ),
        (t.waits_for_owner, Some(counts.pending_verification), OWNERS),
        (t.shut, Some(counts.shut), "active=no"),
        (t.staff, Some(counts.staff), "staff=yes"),
        (t.superuser, Some(counts.superusers), "staff=superuser"),
    ];
    kinds
        .into_iter()
        .map(|(label, count, query)| Kind {
            label,
            count: count.map(|count| capped_count(count, search::MOST_COUNTED)),
            is_shown: asked.link(&[]) == UserListQuery::read(query).link(&[]),
            query: query.to_owned(),
        })
        .filter(|kind| kind.query != OWNERS || asked.tells_of_owners(counts))
        .collect()
}

fn choices(t: &'static Texts, asked: &UserListQuery, counts: &Counts) -> Vec<Choice> {
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
            label: format!("{label} ({})", capped_count(*count, search::MOST_COUNTED)),
            chosen: chosen == *value,
        }))
        .collect(),
    };
    let mut activated = vec![
        ("yes", t.yes, counts.activated),
        ("no", t.no, counts.not_activated),
        ("waits", t.waits, counts.pending_approval),
    ];
    if asked.tells_of_owners(counts) {
        activated.push(("owner", t.waits_for_owner, counts.pending_verification));
    }
    vec![
        choice("activated", t.activated, &asked.activated, &activated),
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
            &[
                ("yes", t.yes, counts.staff),
                ("superuser", t.superuser, counts.superusers),
                ("no", t.no, counts.not_staff),
            ],
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

//! The conditions of a filter, with hints for SQLite's query planner.

use sea_orm::{
    Condition,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _, SimpleExpr},
};

use crate::models::user::search::{Filter, MAX_COUNTED, SortBy, text};

/// The index that SQLite should use. Its planner does not know the number of matching rows, and so would read all rows, either to
/// sort them or to find a few. A plus sign before a column hides the column's index from the planner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexHint {
    /// The planner's choice.
    Any,
    /// The index of the filter, which matches few rows. These are sorted.
    Filter,
    /// The index of the order, which soon finds enough rows of a filter that matches many.
    Order,
}

impl IndexHint {
    /// Returns the hint for a filter that matches `found` accounts.
    pub(super) fn new(filter: &Filter, found: i64) -> Self {
        if *filter == Filter::default() {
            Self::Any
        } else if found > MAX_COUNTED {
            Self::Order
        } else {
            Self::Filter
        }
    }

    pub(super) fn hides_order(self) -> bool {
        self == Self::Filter
    }

    /// The indexes of flags are also in the order of registration.
    fn hides_flags(self, by: SortBy) -> bool {
        self == Self::Order && by != SortBy::Joined
    }

    fn hides_date(self) -> bool {
        self == Self::Order
    }
}

/// Returns a column, whose index is optionally hidden.
pub(super) fn column(name: &str, hidden: bool) -> SimpleExpr {
    Expr::cust(if hidden {
        format!("+{name}")
    } else {
        name.to_owned()
    })
}

/// Returns the condition of a filter for a list with a sort key.
pub(super) async fn condition(
    db: &impl ConnectionTrait,
    filter: &Filter,
    hint: IndexHint,
    by: SortBy,
) -> Result<Condition, DbErr> {
    let hidden = hint.hides_flags(by);
    // Literals and not parameters, so that planners can use partial indexes.
    let flag = |name: &str, flag: Option<bool>| {
        flag.map(|flag| {
            let (sign, value) = (
                if hidden { "+" } else { "" },
                if flag { "TRUE" } else { "FALSE" },
            );
            Expr::cust(format!("{sign}{name} = {value}"))
        })
    };
    let gender = filter.gender.map(|gender| match gender {
        Some(gender) => column("gender", hidden).eq(gender.to_string()),
        None => column("gender", hidden).is_null(),
    });
    let text = match filter.text.as_deref() {
        Some(text) => Some(text::condition(db, text).await?),
        None => None,
    };
    Ok(Condition::all()
        .add_option(flag("is_activated", filter.pending.then_some(false)))
        .add_option(flag("is_active", filter.pending.then_some(true)))
        .add_option(flag("is_activated", filter.activated))
        .add_option(flag("is_active", filter.active))
        .add_option(flag(
            "pending_email_verification",
            filter.pending_email_verification,
        ))
        .add_option(flag(
            "is_staff",
            filter.staff.or(filter.superuser.filter(|it| *it)),
        ))
        .add_option(flag("is_superuser", filter.superuser))
        .add_option(gender)
        .add_option(
            filter
                .joined_since
                .map(|since| column("created_at", hint.hides_date()).gte(since)),
        )
        .add_option(text))
}

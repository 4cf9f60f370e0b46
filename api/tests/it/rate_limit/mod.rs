//! Rate limits, lockouts and mail budgets.

pub(crate) mod limits;
pub(crate) mod mail_budget;
pub(crate) mod mail_reserve;
pub(crate) mod redis_growth;

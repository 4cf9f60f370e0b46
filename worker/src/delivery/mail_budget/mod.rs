//! The budget of a mailbox: how many mails of one kind it gets from one cause, and from all causes together (T5, M3).
//!
//! Strangers can use up the totals of all causes. A mail may then use a reserve, which strangers cannot use up if the account's
//! owner has verified the address. Each reserve has [`MailRates::reserve`] mails.
//!
//! Mails are counted in Redis just before they are sent: once for all workers, outside requests, and only if they have a
//! recipient. Each kind has its own budget, so that a flood of one kind suppresses no other. While Redis cannot count, the rows of
//! the mails decide (`rows.rs`).

mod check;
mod limiter;
mod rows;

pub(super) use check::Recipient;
pub(super) use limiter::list_key;
pub use limiter::{BudgetRequest, Exceeded, Limit, MailBudget, MailRates, Reserve, ReserveUse};

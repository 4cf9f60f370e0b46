//! Properties of the whole system.

pub(crate) mod account_oracle;
pub(crate) mod main_flow;
pub(crate) mod original;
pub(crate) mod properties;
pub(crate) mod secrets;
pub(crate) mod security_table;

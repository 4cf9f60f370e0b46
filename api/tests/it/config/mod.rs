//! Configuration.

pub(crate) mod defaults;
pub(crate) mod example_env;
pub(crate) mod production;

//! The command line.

pub(crate) mod commands;
mod secret_key;

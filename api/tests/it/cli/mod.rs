//! The command line.

pub(crate) mod commands;
mod keys;
mod secret_key;

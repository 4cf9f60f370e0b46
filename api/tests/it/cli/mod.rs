//! The command line.

pub(crate) mod commands;

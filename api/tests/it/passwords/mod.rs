//! Password rules and hashing.

pub(crate) mod cost;
pub(crate) mod django;
pub(crate) mod hash_queue;
pub(crate) mod rules;

//! The password policy and the hasher.

pub(crate) mod cost;
pub(crate) mod hash_queue;
pub(crate) mod rules;

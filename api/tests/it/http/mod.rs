//! What applies to every request.

pub(crate) mod bad_input;
pub(crate) mod connections;
pub(crate) mod cross_origin;
pub(crate) mod errors;
pub(crate) mod headers;
pub(crate) mod numerals;
pub(crate) mod request_head;
pub(crate) mod slow_clients;
pub(crate) mod text_size;
pub(crate) mod xml;

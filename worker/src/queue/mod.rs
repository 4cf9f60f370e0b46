//! The reading half of the queue, and the relay that covers its losses.

pub mod consumer;
pub mod relay;

//! The consumer of the queue, and the relay that makes up for lost wake-ups.

pub mod consumer;
pub mod relay;

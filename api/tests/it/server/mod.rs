//! Health, outages, metrics, concurrency and base path.

pub(crate) mod base_path;
pub(crate) mod clock;
pub(crate) mod concurrent_writes;
pub(crate) mod database_outage;
pub(crate) mod full_disk;
pub(crate) mod hanging_media_folder;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod outage;
pub(crate) mod redis_start;

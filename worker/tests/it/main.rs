//! Integration tests of the worker with Redis, SMTP conversations and the database of `TEST_DATABASE`.

#[cfg(test)]
mod budget;
#[cfg(test)]
mod budget_by_rows;
#[cfg(test)]
mod chaos;
mod connections;
mod content;
mod database_outage;
#[cfg(test)]
mod delivery_health;
#[cfg(test)]
mod doctor;
mod faults;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod housekeeping;
mod international;
#[cfg(test)]
mod metrics;
mod operator;
#[cfg(test)]
mod priority;
mod processes;
#[cfg(test)]
mod redis_refusals;
#[cfg(test)]
mod redis_start;
mod refusals;
mod running;
mod secrets;
mod stored_address;
mod templates;
mod tls;
// Clippy allows `unwrap` only in modules that are marked as tests.
#[cfg(test)]
mod test_app;

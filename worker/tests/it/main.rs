//! The worker through its real parts: a real Redis, real SMTP conversations, the database of `TEST_DATABASE`.

#[cfg(test)]
mod budget;
#[cfg(test)]
mod chaos;
mod connections;
mod content;
#[cfg(test)]
mod delivery_health;
#[cfg(test)]
mod doctor;
mod faults;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod housekeeping;
mod international;
mod operator;
#[cfg(test)]
mod priority;
mod processes;
mod redis_refusals;
mod refusals;
mod running;
mod secrets;
mod stored_address;
mod tls;
// Said again, as clippy lets only what is marked so `unwrap`.
#[cfg(test)]
mod world;

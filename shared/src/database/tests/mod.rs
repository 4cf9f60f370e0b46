//! Tests of SQLite's transactions, and the table that they use.

mod full_disk;
mod lost_log;
mod replaced_file;
pub(super) mod test_table;
mod truncated_file;

//! Tests of SQLite's transactions, and the table that they use.

mod full_disk;
pub(super) mod test_table;

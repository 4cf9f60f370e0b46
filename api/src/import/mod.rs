//! Imports accounts from another system: the database of the Django original, or a file of JSON lines.
//!
//! - `source`: readers, which yield rows of one type and write nothing
//! - `account_line`: the format of JSON lines
//! - `duplicates`: chooses between accounts of the source whose emails have the same key
//! - `mapping`: maps a row to values of an account, as a pure function
//! - `writer`: creates and changes accounts, in batches of one transaction each
//! - `pictures`: stores pictures like uploads
//! - `run`: connects these
//!
//! A further run imports each value that has changed in the source and has not been changed here since. `fingerprints` finds
//! these values.

pub mod account_line;
mod duplicates;
pub mod error;
mod fingerprints;
mod mapping;
pub mod outcome;
mod pictures;
pub mod row;
pub mod run;
mod sequence;
pub mod source;
mod writer;

//! Reads rows by position.

use sea_orm::{DbErr, QueryResult, TryGetable};

/// Reads the columns of a row in the order of their selection. Faster than by name, for queries of every request.
pub(crate) struct RowReader<'a> {
    row: &'a QueryResult,
    index: usize,
}

impl<'a> RowReader<'a> {
    /// Starts at the first column.
    pub(crate) fn new(row: &'a QueryResult) -> Self {
        Self { row, index: 0 }
    }

    /// Reads the next column.
    pub(crate) fn next<T: TryGetable>(&mut self) -> Result<T, DbErr> {
        let value = self.row.try_get_by(self.index)?;
        self.index += 1;
        Ok(value)
    }
}

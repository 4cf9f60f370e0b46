//! A row, column by column.

use sea_orm::{DbErr, QueryResult, TryGetable};

/// The columns of a row, in the order in which they were selected. It costs less than asking for each by its name, and
/// says less: for what every request reads.
pub(crate) struct RowReader<'a> {
    row: &'a QueryResult,
    place: usize,
}

impl<'a> RowReader<'a> {
    /// From the first column on.
    pub(crate) fn new(row: &'a QueryResult) -> Self {
        Self { row, place: 0 }
    }

    /// The next column.
    pub(crate) fn next<T: TryGetable>(&mut self) -> Result<T, DbErr> {
        let value = self.row.try_get_by(self.place)?;
        self.place += 1;
        Ok(value)
    }
}

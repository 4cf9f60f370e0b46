//! Fills the search texts of rows that lack one.

use sea_orm::{QuerySelect as _, Statement, Value, entity::prelude::*};

use crate::{
    database::Database,
    models::user::{Column, next_after, search::text_of},
    types::{email::Email, phone_number::PhoneNumber, username::Username},
};

/// Writes the search text of each account that an earlier version stored without one. Returns their number. Each batch is a
/// transaction of its own, so an interrupted run continues where it ended.
pub async fn fill_search_texts(db: &Database) -> Result<u64, DbErr> {
    let (mut filled, mut last) = (0, 0);
    loop {
        let rows: Vec<(i64, Username, Email, Option<PhoneNumber>)> = next_after(last)
            .select_only()
            .columns([
                Column::Id,
                Column::Username,
                Column::Email,
                Column::PhoneNumber,
            ])
            .filter(Column::SearchText.eq(""))
            .into_tuple()
            .all(db)
            .await?;
        let Some((id, ..)) = rows.last() else {
            return Ok(filled);
        };
        last = *id;
        let mut values: Vec<Value> = Vec::new();
        for (id, username, email, phone_number) in &rows {
            values.push((*id).into());
            values.push(text_of(username, email, phone_number.as_ref()).into());
        }
        let pairs: Vec<_> = (1..=rows.len())
            .map(|i| format!("(CAST(${} AS bigint), CAST(${} AS text))", 2 * i - 1, 2 * i))
            .collect();
        // The condition keeps a text that a running program writes meanwhile.
        let update = format!(
            "UPDATE users SET search_text = new.column2 FROM (VALUES {}) AS new \
             WHERE users.id = new.column1 AND users.search_text = ''",
            pairs.join(", ")
        );
        let backend = db.get_database_backend();
        let update = Statement::from_sql_and_values(backend, update, values);
        filled += db.execute_raw(update).await?.rows_affected();
    }
}

//! The output of `latchkey-worker mails`.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use latchkey_shared::models::mail::{self, MailState};
use serde_json::{Value, json};
use uuid::Uuid;

/// The output of a command.
#[derive(Debug, Default)]
pub struct Answer {
    /// The text for standard output.
    pub text: String,
    /// Whether the command found or changed a mail. If not, the exit code is 3.
    pub found: bool,
}

impl Answer {
    /// Adds a line about a mail that a command was to change.
    pub(super) fn add_change(&mut self, id: Uuid, changed: bool, message: &str, as_json: bool) {
        self.found |= changed;
        let _ = if as_json {
            let line = json!({"id": id, "done": changed, "message": message});
            writeln!(self.text, "{line}")
        } else {
            writeln!(self.text, "{id}  {message}")
        };
    }
}

/// Returns the data of a mail.
pub(super) fn fields(mail: &mail::Model) -> Value {
    json!({
        "id": mail.id,
        "kind": mail.kind,
        "state": mail.state.to_string(),
        "attempts": mail.attempts,
        "created_at": mail.created_at,
        "deliver_before": mail.deliver_before,
        "next_attempt_at": mail.next_attempt_at,
        "sent_at": mail.sent_at,
        "recipient": mail.recipient,
        "last_error": mail.last_error,
        "message_id": mail.message_id,
        "request_id": mail.request_id,
        "trace": mail.trace,
    })
}

/// Formats one JSON object per line.
pub(super) fn json_lines(mails: &[mail::Model]) -> String {
    mails.iter().fold(String::new(), |mut text, mail| {
        let _ = writeln!(text, "{}", fields(mail));
        text
    })
}

/// Formats the data of a mail, one field per line.
pub(super) fn details(mail: &mail::Model) -> String {
    let fields = fields(mail);
    let fields = fields.as_object().into_iter().flatten();
    fields.fold(String::new(), |mut text, (name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), printable);
        let _ = writeln!(text, "{name:16}{value}");
        text
    })
}

/// Formats a table with a column for each cell of [`row`].
pub(super) fn table(mails: &[mail::Model]) -> String {
    let header = [
        "ID",
        "KIND",
        "STATE",
        "ATTEMPTS",
        "CREATED",
        "NEXT ATTEMPT",
        "RECIPIENT",
        "LAST ERROR",
    ];
    let rows: Vec<[String; 8]> = std::iter::once(header.map(str::to_owned))
        .chain(mails.iter().map(row))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let longest = rows.iter().map(|row| row[column].chars().count()).max();
            let width = longest.unwrap_or(0);
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn row(mail: &mail::Model) -> [String; 8] {
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S").to_string();
    let is_queued = mail.state == MailState::Queued;
    let next_attempt = is_queued.then(|| time(mail.next_attempt_at));
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        mail.id.to_string(),
        mail.kind.clone(),
        mail.state.to_string(),
        mail.attempts.to_string(),
        time(mail.created_at),
        or_dash(next_attempt),
        mail.recipient.clone(),
        or_dash(mail.last_error.clone()),
    ]
    .map(|cell| printable(&cell))
}

/// Replaces control characters, which could change the terminal, by spaces.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

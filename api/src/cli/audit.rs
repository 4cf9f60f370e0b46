//! `latchkey-api audit`

use anyhow::Context as _;
use clap::{Args, Subcommand};
use latchkey_shared::{
    clock::Clock,
    database::Database,
    models::{
        audit::{self, AuditKey, Details, Head},
        data_key, user,
    },
    output::print_line,
    types::{email::Email, time_arg::Since},
};

use crate::cli::startup::{parse, read_common};

/// The commands for the audit log.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Verify the whole chain; exit code 1 and the place if an event was changed, removed, inserted or moved
    Verify {
        /// Earlier chain head that must be part of the chain, as this command printed it. Reveals that the whole database was
        /// replaced by an older copy
        #[arg(long, value_name = "NUMBER:HASH")]
        expected_head: Option<Head>,
    },
    /// List the latest events
    List(ListEvents),
}

/// The filter of `audit list`.
#[derive(Debug, Args)]
pub(super) struct ListEvents {
    /// Only events by or about the account with this ID or email address
    #[arg(long, value_name = "ID OR EMAIL")]
    user: Option<String>,
    /// Only events of this type, such as `authn_login_fail`
    #[arg(long)]
    event: Option<String>,
    /// Only events since this time (2026-11-22T10:00:00Z) or age (90m, 12h, 3d)
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Maximum number of events
    #[arg(long, default_value_t = 50)]
    limit: u64,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs a command for the audit log.
pub(super) async fn run(command: AuditCommand) -> anyhow::Result<()> {
    let common = read_common()?;
    let db = common.connect_database().await?;
    match command {
        AuditCommand::Verify { expected_head } => {
            let keys = data_key::load(&db, &common.secret_keys).await?;
            let verified = audit::verify(&db, &keys.audit_key(), expected_head.as_ref()).await;
            let head = verified.context("the audit log is not intact")?;
            print_line(format_args!("Verified {} event(s).", head.seq))?;
            print_line(format_args!("Chain head: {head}"))?;
            Ok(())
        }
        AuditCommand::List(arguments) => {
            let keys = data_key::load(&db, &common.secret_keys).await?;
            list(&db, &keys.audit_key(), arguments).await
        }
    }
}

async fn list(db: &Database, key: &AuditKey, arguments: ListEvents) -> anyhow::Result<()> {
    let user_id = match &arguments.user {
        Some(user) => Some(find_id(db, user).await?),
        None => None,
    };
    let now = Clock::system().now();
    let filter = audit::Filter {
        user_id,
        event: arguments.event,
        since: arguments.since.map(|since| since.before(now)),
        ..audit::Filter::default()
    };
    let mut events = audit::list(db, filter, arguments.limit).await?;
    let details = audit::load_details(db, key, &mut events).await?;
    for event in events {
        print_event(&event, details.get(&event.seq), arguments.json)?;
    }
    Ok(())
}

/// Returns the id of an account, given by its id or its email. An id may be that of a deleted account.
async fn find_id(db: &Database, user: &str) -> anyhow::Result<i64> {
    if let Ok(id) = user.parse() {
        return Ok(id);
    }
    let email: Email = parse("email address", user)?;
    let found = user::find_by_email(db, &email).await?;
    let found = found.with_context(|| format!("no account has the email address {email}"))?;
    Ok(found.id)
}

fn print_event(event: &audit::Model, details: Option<&Details>, json: bool) -> std::io::Result<()> {
    if json {
        let event = serde_json::json!({
            "seq": event.seq,
            "at": event.at,
            "event": event.event,
            "outcome": event.outcome,
            "actor": event.actor,
            "user_id": event.user_id,
            "session_id": event.session_id,
            "subject": event.subject,
            "client_ip": event.client_ip,
            "request_id": event.request_id,
            "detail": event.detail,
            "changes": event.changes,
            "details": details,
            "hash": event.hash,
        });
        return print_line(event);
    }
    let account = event.user_id.map_or("-".to_owned(), |id| id.to_string());
    print_line(format_args!(
        "{:>8}  {}  {:<28}  {:<12}  account {:<6}  {:<15}  {}",
        event.seq,
        event.at.format("%Y-%m-%d %H:%M:%S"),
        event.event,
        event.actor,
        account,
        event.client_ip.as_deref().unwrap_or("-"),
        event.detail.as_deref().unwrap_or("")
    ))
}

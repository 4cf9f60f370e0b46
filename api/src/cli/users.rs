//! `latchkey-api users`

use anyhow::{Context as _, bail};
use clap::Subcommand;
use latchkey_shared::{
    database,
    models::{
        audit::EventKind,
        mail::MailKind,
        user::{self, staff},
    },
    output::print_line,
    types::email::Email,
};

use crate::{
    app_state::App,
    auth::second_factor::enrolment,
    cli::startup::{by_operator, open, parse},
};

/// The commands for accounts.
#[derive(Debug, Subcommand)]
pub(super) enum UsersCommand {
    /// Activate an account and notify its owner by mail
    Activate {
        /// Email address of the account
        #[arg(allow_hyphen_values = true)]
        email: String,
    },
    /// Deactivate an account and end its sessions immediately
    Deactivate {
        /// Email address of the account
        #[arg(allow_hyphen_values = true)]
        email: String,
    },
    /// Remove the second factor of an account, so that a login needs the password only
    RemoveFactor {
        /// Email address of the account
        #[arg(allow_hyphen_values = true)]
        email: String,
    },
    /// List all accounts
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs a command for accounts.
pub(super) async fn run(command: UsersCommand) -> anyhow::Result<()> {
    let app = open().await?;
    match command {
        UsersCommand::Activate { email } => activate(&app, &email).await,
        UsersCommand::Deactivate { email } => deactivate(&app, &email).await,
        UsersCommand::RemoveFactor { email } => remove_factor(&app, &email).await,
        UsersCommand::List { json } => list(&app, json).await,
    }
}

async fn activate(app: &App, email: &str) -> anyhow::Result<()> {
    let user = find(app, email).await?;
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    if !user::activate(&transaction, user.id).await? {
        print_line(format_args!("{} is already activated.", user.email))?;
        return Ok(());
    }
    let mail = app
        .outbox
        .insert_notice(
            &transaction,
            MailKind::Activated,
            &user,
            "latchkey-api",
            now,
        )
        .await?;
    let event = by_operator(EventKind::Admin, Some(user.id), "activated");
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    print_line(format_args!(
        "Activated {}. A mail notifies the owner.",
        user.email
    ))?;
    Ok(())
}

async fn deactivate(app: &App, email: &str) -> anyhow::Result<()> {
    let user = find(app, email).await?;
    let transaction = database::begin(&app.db).await?;
    staff::lock(&transaction, &[user.id], user.is_superuser).await?;
    let changed = user::deactivate(&transaction, user.id, app.now()).await?;
    if user.is_superuser && !staff::has_superuser(&transaction).await? {
        bail!(
            "{} is the last superuser. Make another account a superuser first.",
            user.email
        );
    }
    if changed {
        let event = by_operator(EventKind::Admin, Some(user.id), "deactivated");
        app.record_in(&transaction, event).await?;
    }
    transaction.commit().await?;
    if changed {
        print_line(format_args!(
            "Deactivated {}. Its sessions have ended.",
            user.email
        ))?;
    } else {
        print_line(format_args!("{} is already deactivated.", user.email))?;
    }
    Ok(())
}

async fn remove_factor(app: &App, email: &str) -> anyhow::Result<()> {
    let user = find(app, email).await?;
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    staff::lock(&transaction, &[user.id], user.is_superuser).await?;
    if !enrolment::remove_all(&transaction, &user).await? {
        print_line(format_args!("{} has no second factor.", user.email))?;
        return Ok(());
    }
    let kind = MailKind::SecondFactorRemoved;
    let notice = app.outbox.owner_notice(kind, &user, "latchkey-api", now);
    let mail = notice.insert(&transaction).await?;
    let event = by_operator(EventKind::Admin, Some(user.id), "second factor removed");
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    app.limits.reset_second_factor_failures(user.id).await?;
    print_line(format_args!(
        "Removed the second factor of {}. A mail notifies the owner.",
        user.email
    ))?;
    Ok(())
}

async fn list(app: &App, json: bool) -> anyhow::Result<()> {
    let users = user::list(&app.db).await?;
    if json {
        let rows: Vec<_> = users
            .iter()
            .map(|user| {
                serde_json::json!({
                    "id": user.id,
                    "email": user.email.as_str(),
                    "username": user.username.as_str(),
                    "is_activated": user.is_activated,
                    "pending_email_verification": user.pending_email_verification,
                    "is_active": user.is_active,
                    "is_superuser": user.is_superuser,
                    "created_at": user.created_at,
                    "last_login_at": user.last_login_at,
                })
            })
            .collect();
        print_line(serde_json::to_string_pretty(&rows)?)?;
        return Ok(());
    }
    print_line(format_args!(
        "{:>6}  {:<40}  {:<9}  {:<6}  {:<5}  USERNAME",
        "ID", "EMAIL", "ACTIVATED", "ACTIVE", "STAFF"
    ))?;
    let yes_no = |flag| if flag { "yes" } else { "no" };
    for user in users {
        print_line(format_args!(
            "{:>6}  {:<40}  {:<9}  {:<6}  {:<5}  {}",
            user.id,
            user.email.as_str(),
            yes_no(user.is_activated),
            yes_no(user.is_active),
            yes_no(user.is_staff),
            user.username
        ))?;
    }
    Ok(())
}

async fn find(app: &App, email: &str) -> anyhow::Result<user::Model> {
    let email: Email = parse("email address", email)?;
    user::find_by_email(&app.db, &email)
        .await?
        .with_context(|| format!("no account has the email address {email}"))
}

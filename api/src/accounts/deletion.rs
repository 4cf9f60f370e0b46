//! The deletion of an account with everything stored about it.
//!
//! A transaction deletes the rows. After its commit, [`Deleted::finish`] removes the picture. If the program ends in between, the
//! picture is unreferenced, and `latchkey-api pictures prune` removes it.

use latchkey_shared::{
    database::{self, Transaction},
    models::{
        audit::{Actor, Details, Event, EventKind},
        mail::MailKind,
        user,
    },
    outbox::QueuedMail,
};

use crate::{app_state::App, http::error::ApiError};

/// An account that a transaction has deleted. Commit the transaction, then call [`Self::finish`].
#[must_use = "commit the transaction, then call `finish`"]
pub struct Deleted {
    user: user::Model,
    mail: Option<QueuedMail>,
}

/// Deletes an account that the transaction has locked: its row, sessions, roles, requests for codes, mails, and the readable values
/// of audit events. The events stay, with ids and fingerprints only. The row of an import stays, too, so that a further import does
/// not create the account again. `event` records the deletion, as the last step of the transaction. `mail` is the notice to the
/// owner, if any.
pub async fn delete(
    app: &App,
    transaction: &Transaction,
    user: user::Model,
    event: Event,
    mail: Option<MailKind>,
) -> Result<Deleted, ApiError> {
    let now = app.now();
    let subject = app.audit_subject(&user.reset_email(now).key());
    user::erase(transaction, &user, &subject, now).await?;
    let mail = match mail {
        Some(kind) => {
            let mail = app.outbox.owner_notice(kind, &user, &event.request_id, now);
            Some(mail.insert(transaction).await?)
        }
        None => None,
    };
    let event = Event {
        subject: Some(subject),
        // A readable value, like those that are erased.
        client_ip: None,
        ..event
    };
    app.record_in(transaction, event).await?;
    Ok(Deleted { user, mail })
}

impl Deleted {
    /// Removes the account's picture and its counters of failed attempts, and notifies the worker of the mail. Logs failures, since
    /// the account is deleted in any case.
    pub async fn finish(self, app: &App) {
        let Self { user, mail } = self;
        if let Some(picture) = &user.picture {
            app.pictures.remove(picture).await;
        }
        // A lock after too many failed logins has no end.
        let counters = async {
            for email in user.emails(app.now()) {
                app.limits.reset_failures(email).await?;
            }
            app.limits.reset_change_failures(user.id).await
        };
        if let Err(error) = counters.await {
            app.report_failure(&error, "Counters of a deleted account not removed");
        }
        if let Some(mail) = mail {
            app.outbox.notify_worker(mail).await;
        }
        tracing::info!(user.id, "Account deleted");
    }
}

/// Deletes the accounts whose deletion is due. Any number of servers may do this at the same time.
///
/// # Errors
/// See [`delete_each`].
pub async fn delete_due(app: &App) -> Result<(), ApiError> {
    let now = app.now();
    let due = user::list_due_deletions(&app.db, now).await?;
    delete_each(app, due, Some(MailKind::AccountDeleted), |user| {
        let is_due = user.deletion_at.is_some_and(|at| at <= now);
        is_due.then(|| event_without_request(Actor::User(user.id), user.id))
    })
    .await
}

/// Deletes accounts, each in a transaction of its own. `event` gets the locked row and returns the audit event, or `None` if the account
/// must stay: another server may have deleted it, and a login may have changed it.
///
/// # Errors
/// Fails if the database does. Of an account that cannot be deleted for another reason, the failure is logged.
pub async fn delete_each(
    app: &App,
    ids: Vec<i64>,
    mail: Option<MailKind>,
    event: impl Fn(&user::Model) -> Option<Event>,
) -> Result<(), ApiError> {
    for id in ids {
        match delete_locked(app, id, mail, &event).await {
            Err(error) if error.dependency_failure().is_some() => return Err(error),
            Err(error) => app.report_failure(&error, "Account not deleted"),
            Ok(()) => {}
        }
    }
    Ok(())
}

async fn delete_locked(
    app: &App,
    id: i64,
    mail: Option<MailKind>,
    event: impl Fn(&user::Model) -> Option<Event>,
) -> Result<(), ApiError> {
    let transaction = database::begin(&app.db).await?;
    let user = user::lock(&transaction, id).await?;
    let Some(user) = user else { return Ok(()) };
    let Some(event) = event(&user) else {
        return Ok(());
    };
    let deleted = delete(app, &transaction, user, event, mail).await?;
    transaction.commit().await?;
    app.rows_removed.with_label_values(&["accounts"]).inc();
    deleted.finish(app).await;
    Ok(())
}

/// Creates the audit event of a deletion that no request causes.
#[must_use]
pub fn event_without_request(actor: Actor, user_id: i64) -> Event {
    Event {
        kind: EventKind::UserDeleted,
        actor,
        user_id: Some(user_id),
        session_id: None,
        subject: None,
        client_ip: None,
        request_id: "latchkey-api".to_owned(),
        detail: None,
        changes: None,
        details: Details::default(),
    }
}

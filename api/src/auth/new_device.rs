//! The mail about a login from a new device.
//!
//! A device is a browser on a system (`Chrome` on `Windows`, of any version) in a customer network (an IPv4 address or an IPv6 /48). It is
//! new if none of the account's newest sessions, alive or ended, has the same one. The first login of an account causes no mail, nor does
//! the first login of an imported account here.

use chrono::TimeDelta;
use latchkey_shared::{
    database::Transaction,
    models::{imported_user, mail::MailKind, session, user},
    outbox::QueuedMail,
    types::client_network::customer_network,
};
use sea_orm::DbErr;

use crate::{
    app_state::App,
    http::{audit_context::AuditContext, user_agent::device_name},
};

/// The time after a confirmation of the email by a one-time code in which a login causes no mail: a login from another device often follows a
/// password reset, which has caused a mail already.
const QUIET_AFTER_CONFIRMATION: TimeDelta = TimeDelta::minutes(15);

/// Queues a mail to the account owner if the login comes from a new device. `user` is the account before the login. Has to run in the
/// transaction of the login, after [`user::record_login`], so that concurrent logins from one device cause one mail, and before the
/// session is stored.
pub async fn insert_notice(
    app: &App,
    transaction: &Transaction,
    user: &user::Model,
    login: &session::Model,
    audit: &AuditContext,
) -> Result<Option<QueuedMail>, DbErr> {
    if !app.config.sessions.new_device_mail || !is_new(transaction, user, login).await? {
        return Ok(None);
    }
    let (kind, now) = (MailKind::NewDevice, login.created_at);
    let notice = app
        .outbox
        .owner_notice(kind, user, audit.request_id(), now)
        .with_device(audit.known_device());
    Ok(Some(notice.insert(transaction).await?))
}

/// Returns whether a login causes a mail because its device is new for the account. One query decides for a known device.
async fn is_new(
    transaction: &Transaction,
    user: &user::Model,
    login: &session::Model,
) -> Result<bool, DbErr> {
    let confirmed = user.email_verified_at;
    let has_just_confirmed =
        confirmed.is_some_and(|at| login.created_at < at + QUIET_AFTER_CONFIRMATION);
    if user.last_login_at.is_none() || has_just_confirmed {
        return Ok(false);
    }
    let earlier = session::recent_clients(transaction, user.id).await?;
    if earlier.is_empty() {
        // The last login is either older than the sessions, or was one to the system that the account was imported from.
        let imports = imported_user::find_many(transaction, &[user.id]).await?;
        return Ok(imports.is_empty());
    }
    Ok(!is_among(login, &earlier))
}

/// Returns whether a login has the network, the browser and the system of an earlier one. Parses a `User-Agent` only if it differs from that of
/// the login.
fn is_among(login: &session::Model, earlier: &[(Option<String>, String)]) -> bool {
    let network = |client_ip: &str| client_ip.parse().ok().map(customer_network);
    let here = login.client_ip.as_deref().and_then(network);
    let agent = login.user_agent.as_deref();
    let name = agent.and_then(device_name);
    earlier
        .iter()
        .filter(|(_, client_ip)| here.is_some() && network(client_ip) == here)
        .map(|(agent, _)| agent.as_deref())
        .any(|other| other == agent || other.and_then(device_name) == name)
}

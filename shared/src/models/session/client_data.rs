//! The client IPs and the `User-Agent` headers of logins.

use chrono::{DateTime, Utc};
use sea_orm::{
    Condition, QueryOrder as _, QuerySelect as _, QueryTrait as _, entity::prelude::*,
    sea_query::Expr,
};

use crate::{
    database,
    models::{
        session::{Column, Entity, KNOWN_AFTER_EXPIRY},
        user,
    },
    types::{client_network::customer_network, email::EmailKey},
};

/// Maximum number of sessions that [`recent_clients`] reads, so that a login costs the same after any number of earlier ones.
const MAX_RECENT_CLIENTS: u64 = 100;

/// Returns up to `limit` customer networks (IPv4 address or IPv6 /48) from which the owner of an account and of this email has logged
/// in, the earliest logins first.
///
/// A session counts if its login is later than the last confirmation or change of the email, and if it expired at most
/// [`KNOWN_AFTER_EXPIRY`] ago. So a password reset, which confirms the email, removes all earlier networks. Revoked sessions count:
/// otherwise an attacker with a stolen token could remove the owner's networks, by a logout or by the reuse of a refresh token. The
/// client IP is that of the login, so that a token that is stolen and used elsewhere adds no network. An attacker who knows the
/// password adds networks, but after those of the owner.
pub async fn known_networks(
    db: &impl ConnectionTrait,
    user: &user::Model,
    email: &EmailKey,
    limit: usize,
    now: DateTime<Utc>,
) -> Result<Vec<String>, DbErr> {
    let client_ips: Vec<String> = Entity::find()
        .select_only()
        .column(Column::ClientIp)
        .filter(Column::UserId.eq(user.id))
        .filter(Column::ClientIp.is_not_null())
        .filter(Column::ExpiresAt.gt(now - KNOWN_AFTER_EXPIRY))
        .apply_if(user.email_since(email), |query, since| {
            query.filter(Column::CreatedAt.gt(since))
        })
        .group_by(Column::ClientIp)
        .order_by_asc(Column::CreatedAt.min())
        .into_tuple()
        .all(db)
        .await?;
    let mut networks = Vec::new();
    for network in client_ips
        .iter()
        .filter_map(|ip| ip.parse().ok().map(customer_network))
    {
        if networks.len() == limit {
            break;
        }
        if !networks.contains(&network) {
            networks.push(network);
        }
    }
    Ok(networks)
}

/// Returns the `User-Agent` and the client IP of an account's newest 100 sessions, alive or ended. Omits sessions without a client IP:
/// those of the original's tokens, and those whose client data was erased.
pub async fn recent_clients(
    db: &impl ConnectionTrait,
    user_id: i64,
) -> Result<Vec<(Option<String>, String)>, DbErr> {
    Entity::find()
        .select_only()
        .columns([Column::UserAgent, Column::ClientIp])
        .filter(Column::UserId.eq(user_id))
        .filter(Column::ClientIp.is_not_null())
        // UUIDs v7 are ordered by time.
        .order_by_desc(Column::Id)
        .limit(MAX_RECENT_CLIENTS)
        .into_tuple()
        .all(db)
        .await
}

/// Erases the client IP and the `User-Agent` of sessions that were last used before `cutoff`. Their networks and devices are then unknown.
/// Returns the number of changed sessions.
pub async fn erase_client_data(
    db: &impl ConnectionTrait,
    cutoff: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let is_stored = Condition::any()
        .add(Column::UserAgent.is_not_null())
        .add(Column::ClientIp.is_not_null());
    let found = Entity::find()
        .filter(Column::LastUsedAt.lt(cutoff))
        .filter(is_stored);
    let erase = Entity::update_many()
        .col_expr(Column::UserAgent, Expr::value(None::<String>))
        .col_expr(Column::ClientIp, Expr::value(None::<String>));
    database::update_in_parts(db, erase, found, Column::Id).await
}

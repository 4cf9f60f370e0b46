//! The accounts of an installation, with their sessions and audit events.

use chrono::TimeDelta;
use latchkey_api::{
    auth::jwt::{
        TokenId, TokenIssuer, TokenOwner, TokenRules,
        key_set::KeySet,
        signing_keys::{SigningKeyMetrics, SigningKeys},
    },
    config::{Config, access_token_algorithm::AccessTokenAlgorithm},
};
use latchkey_shared::{
    clock::Clock, crypto::data_keys::DataKeys, database::Database, models::session,
    types::rotation_times::RotationTimes,
};
use prometheus::Registry;
use sea_orm::ConnectionTrait as _;
use uuid::Uuid;

use crate::installation::DatabaseKind;

/// The password of each account.
pub(crate) const PASSWORD: &str = "velvet harbour lantern";
/// The maximum number of accounts that are signed in.
pub(crate) const SESSIONS: u64 = 1_000;
/// The lifetime of tokens: longer than a run.
pub(crate) const TOKEN_LIFETIME: TimeDelta = TimeDelta::days(1);

/// A session with its tokens.
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) access: String,
    /// An access token with HS256.
    pub(crate) access_hs256: String,
    pub(crate) refresh: String,
}

/// Creates the accounts 1 to `count` with a password hash, and a session and an audit event for each.
pub(crate) async fn create_accounts(
    db: &Database,
    kind: DatabaseKind,
    count: u64,
    hash: &str,
) -> anyhow::Result<()> {
    let (numbers, id, now, later) = match kind {
        DatabaseKind::Sqlite => (
            format!(
                "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n)"
            ),
            "randomblob(16)",
            "strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now')",
            "strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now', '+9 days')",
        ),
        DatabaseKind::Postgres => (
            format!("generate_series(1, {count}) AS n(i)"),
            "gen_random_uuid()",
            "now()",
            "now() + interval '9 days'",
        ),
    };
    let statements = [
        format!(
            "INSERT INTO users (email, email_key, username, password_hash, phone_number, is_activated, is_active, \
             is_staff, is_superuser, created_at, search_text) SELECT 'u' || i || '@example.com', 'u' || i || '@example.com', \
             'User ' || i, '{hash}', '+201001234567', true, true, false, false, {now}, \
             'user ' || i || ' u' || i || '@example.com +201001234567' FROM {numbers}"
        ),
        format!(
            "INSERT INTO sessions (id, user_id, secret_hash, user_agent, client_ip, created_at, last_used_at, expires_at, \
             rotation_times) SELECT {id}, i, 'none', 'bench', '127.0.0.1', {now}, {now}, {later}, '' FROM {numbers}"
        ),
        // These events are not part of the chain. Latchkey appends to the head and does not verify the chain here.
        format!(
            "INSERT INTO audit_events (seq, at, event, outcome, actor, user_id, request_id, hash) SELECT i, {now}, \
             'authn_login_success', 'success', 'user ' || i, i, 'bench', 'none' FROM {numbers}"
        ),
        format!("UPDATE audit_head SET seq = {count}"),
    ];
    for statement in statements {
        // On the pool, because a million rows exceed the statement timeout of `Database`.
        (**db).execute_unprepared(&statement).await?;
    }
    // PostgreSQL's autovacuum would do this later. SQLite never does, nor does Latchkey request it.
    if kind == DatabaseKind::Postgres {
        (**db).execute_unprepared("ANALYZE").await?;
    }
    Ok(())
}

/// Signs in the first `count` accounts as a login does, and makes the first account a superuser.
pub(crate) async fn create_sessions(
    db: &Database,
    keys: &DataKeys,
    config: &Config,
    count: u64,
) -> anyhow::Result<Vec<Session>> {
    let issuer = issuer(db, keys, config).await?;
    let hs256 = hs256_issuer(keys, config);
    let (hasher, now) = (keys.token_hasher(), Clock::system().now());
    let mut sessions = Vec::new();
    let transaction = latchkey_shared::database::begin(db).await?;
    for account in 1..=count {
        let secret = TokenId::generate();
        let row = session::Model {
            id: Uuid::now_v7(),
            user_id: account.cast_signed(),
            secret_hash: hasher.hash(secret.expose()),
            user_agent: Some("bench".to_owned()),
            client_ip: Some("127.0.0.1".to_owned()),
            created_at: now,
            last_used_at: now,
            expires_at: issuer.session_end(now),
            rotation_times: RotationTimes::default(),
            revoked_at: None,
            second_factor_at: None,
        };
        let owner = TokenOwner {
            user_id: row.user_id,
            email_verified: false,
        };
        let access = issuer.access(owner, row.id, now)?;
        let access_hs256 = hs256.access(owner, row.id, now)?;
        let refresh = issuer.refresh(&row, &secret, now);
        sessions.push(Session {
            id: row.id,
            access: access.expose().to_owned(),
            access_hs256: access_hs256.expose().to_owned(),
            refresh: refresh.expose().to_owned(),
        });
        session::insert(&transaction, row).await?;
    }
    transaction
        .execute_unprepared("UPDATE users SET is_staff = TRUE, is_superuser = TRUE WHERE id = 1")
        .await?;
    transaction.commit().await?;
    Ok(sessions)
}

/// Returns the issuer of the API server, after creating the installation's first signing key.
async fn issuer(db: &Database, keys: &DataKeys, config: &Config) -> anyhow::Result<TokenIssuer> {
    let metrics = SigningKeyMetrics::new(&Registry::new())?;
    let signing_keys = SigningKeys::new(db, keys.signing_key_seal(), config, metrics);
    let (rules, no_keys) = (TokenRules::of(config), signing_keys.empty_set());
    let issuer = TokenIssuer::new(keys.refresh_token_key(), rules, no_keys);
    signing_keys
        .maintain(&issuer, Clock::system().now())
        .await?;
    Ok(issuer)
}

/// Returns the issuer of an API server with `ACCESS_TOKEN_ALGORITHM=HS256`.
fn hs256_issuer(keys: &DataKeys, config: &Config) -> TokenIssuer {
    let rules = TokenRules {
        algorithm: AccessTokenAlgorithm::Hs256,
        ..TokenRules::of(config)
    };
    let no_keys = KeySet::empty(SigningKeys::schedule_of(config));
    TokenIssuer::new(keys.refresh_token_key(), rules, no_keys)
}

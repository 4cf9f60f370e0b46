//! `latchkey-api serve`

use std::{
    io::{self, ErrorKind},
    sync::atomic::Ordering,
};

use anyhow::{Context as _, bail};
use latchkey_shared::{
    config::settings::Settings,
    models::{audit, data_key},
    queue::Queue,
    telemetry::trace::Traces,
};
use poem::listener::{Acceptor as _, Listener as _, TcpListener};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::dashboard::pages::setup,
    app_state::App,
    auth::jwt::signing_keys,
    cli::{
        account_deletion::delete_due_accounts,
        audit_watch::watch_audit_log,
        startup::{Opened, connect, explain, start_log},
    },
    config::Config,
    server::{self, connections, health, metrics},
};

/// The settings of the server, for `serve --help`.
pub(super) const ENVIRONMENT: &str = "\
Environment variables, in addition to those of all commands (latchkey-api --help):
  BIND                  [127.0.0.1:8000] Address of the API
  METRICS_BIND          [127.0.0.1:9100] Address of /metrics for Prometheus, or off
  PUBLIC_URL            [http://127.0.0.1:8000] URL where clients reach the API
  MEDIA_DIR             [var/media] Folder of the profile pictures
  ACCOUNT_DELETION_DAYS [7] Time in which a login cancels the deletion of an account; 0: none
  PICTURE_MAX_SIZE      [512] Longer side of a stored picture, in pixels
  EMAIL_CHANGE          [immediate] or confirm (by the password and a mailed code): when a new email takes effect
  ACTIVATION            [admin], email (the owner, by a one-time code) or none: who activates new accounts
  PENDING_ACCOUNT_DAYS  [30] Days after which an unverified account is deleted (ACTIVATION=email); 0: never
  REGISTRATION_PRIVACY  [off] or on: a registration does not reveal that an email is taken
  CORS_ORIGINS          [none] Web origins that may call the API, separated by commas
  TRUSTED_PROXIES       [none] Networks of the proxies whose forwarding headers are trusted
  TRUSTED_PROXY_HEADER  [either], x-forwarded-for or forwarded: the header that is trusted
  LIMITS                [on] or off: no rate limits
  LIMIT_…               Rate limits and lockouts, see deploy/example.env
  ACCESS_TOKEN_SECONDS, REFRESH_TOKEN_SECONDS   [300] [864000] Lifetimes of tokens
  ACCESS_TOKEN_ALGORITHM   [ES256], EdDSA or HS256: the signature of access tokens
  ACCESS_TOKEN_SECRET   [none] The key of HS256, at least 32 random bytes
  TOKEN_AUDIENCE        [none] The aud of access tokens
  JWKS_MAX_AGE_SECONDS  [300] Time for which other services may cache the public keys
  SIGNING_KEY_DAYS      [30] Time for which a key signs
  SESSION_IDLE_SECONDS  [REFRESH_TOKEN_SECONDS] Lifetime of a session without a refresh
  REFRESH_ROTATION      [off] or on: each refresh replaces the refresh token
  REFRESH_COOKIE        [off] or on: pages of trusted origins get the refresh token as a cookie
  NEW_DEVICE_MAIL       [on] or off: a mail about a login from a new device
  ADMIN_SESSION_SECONDS, ADMIN_IDLE_SECONDS     [43200] [1800] Lifetimes of dashboard sessions
  RESET_SECONDS         [600] Lifetime of a password reset
  OTP_TRIES, OTP_DIGITS [5] [6] Wrong codes that end a reset; length of a code
  ARGON2_MEMORY_KIB, ARGON2_ITERATIONS, ARGON2_PARALLELISM   [19456] [2] [1] Cost of a password hash
  PASSWORD_MIN_LENGTH, BREACHED_PASSWORDS_FILE   [8] [none] Rules for new passwords
  HASH_QUEUE_SECONDS    [5] Maximum wait of a login for a free core
  MAX_CONNECTIONS, MAX_CONNECTIONS_IP           [1024] [128] Open connections, in total and per client IP
  KEEP_ALIVE_SECONDS    [75] Timeout of the next request head on a connection
  REQUEST_SECONDS       [60] Timeout of a request body
  WRITE_SECONDS         [30] Timeout of a client that reads nothing of its response
  DRAIN_SECONDS         [0] Time after SIGTERM during which the server is not ready but still accepts requests
  SHUTDOWN_SECONDS      [25] Maximum time for running requests to finish after that";

/// Runs the server until SIGTERM or Ctrl-C.
pub(super) async fn run() -> anyhow::Result<()> {
    let mut config = Config::read(Settings::from_environment())?;
    let (common, version) = (&config.common, env!("CARGO_PKG_VERSION"));
    let traces = Traces::start(common.collector.as_ref(), "latchkey-api", version)
        .context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    start_log(common, &traces)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let shutdown_timeout = common.shutdown;
    config.connections.max = connections::raise_file_limit(config.connections.max);
    let bind = config.bind;
    let Opened {
        app,
        queue,
        redis_outage,
    } = connect(config).await?;
    let prepared = prepare_database(&app).await;
    prepared.map_err(|error| explain(&app.db, error))?;
    // Later the folder is only missing, such as with its disk.
    let media = app.pictures.create_folder().await;
    if media.as_ref().is_err_and(is_file) {
        bail!("MEDIA_DIR: expected a folder, but the path or a part of it is a file");
    }
    if redis_outage.is_some() || media.is_err() {
        health::watch_outage(app.clone());
    }
    let listener =
        connections::bind(bind).with_context(|| format!("BIND: cannot listen on {bind}"))?;
    // Before the announcement, after which an init system may send SIGTERM.
    let stop = CancellationToken::new();
    let draining = stop_after_drain(app.clone(), stop.clone())?;
    let environment = app.config.common.environment;
    tracing::info!(%environment, "Listening on http://{}", listener.local_addr()?);
    let metrics = serve_metrics(&app, queue, stop.clone()).await?;
    let served = CancellationToken::new();
    let tasks = [
        tokio::spawn(watch_audit_log(app.clone(), served.clone())),
        tokio::spawn(signing_keys::keep_current(app.clone(), served.clone())),
        tokio::spawn(delete_due_accounts(app.clone(), served.clone())),
    ];
    server::serve(app, listener, stop.cancelled()).await?;
    metrics.await??;
    served.cancel();
    for task in tasks {
        task.await?;
    }
    let remaining = shutdown_timeout.saturating_sub(draining.await?.elapsed());
    traces.finish(remaining).await;
    tracing::info!("Server stopped");
    Ok(())
}

/// Returns whether a folder could not be created because a file has its path. No mount or permission ends that.
fn is_file(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory
    )
}

/// Seals the data keys with `SECRET_KEY`, loads the signing keys, and logs the link to create the first administrator if there is none.
async fn prepare_database(app: &App) -> anyhow::Result<()> {
    let resealed = data_key::reseal(&app.db, &app.config.common.secret_keys).await?;
    if resealed > 0 {
        tracing::info!("Sealed {resealed} data key(s) with the new SECRET_KEY");
    }
    audit::seal_empty(&app.db, &app.audit_key, false).await?;
    app.signing_keys.maintain(&app.tokens, app.now()).await?;
    setup::announce(app).await?;
    Ok(())
}

/// Waits for SIGTERM or Ctrl-C, makes the server not ready, and cancels `stop` after `DRAIN_SECONDS`, so that load balancers can
/// remove the server first. The task returns the time of the cancellation.
fn stop_after_drain(app: App, stop: CancellationToken) -> std::io::Result<JoinHandle<Instant>> {
    let signal = shutdown_signal()?;
    Ok(tokio::spawn(async move {
        signal.await;
        app.stopping.store(true, Ordering::Relaxed);
        sleep(app.config.connections.drain).await;
        stop.cancel();
        Instant::now()
    }))
}

/// Serves `/metrics` on `METRICS_BIND`, unless it is `off`.
async fn serve_metrics(
    app: &App,
    queue: Queue,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<std::io::Result<()>>> {
    let Some(bind) = app.config.metrics_bind else {
        return Ok(tokio::spawn(async { Ok(()) }));
    };
    let acceptor = TcpListener::bind(bind).into_acceptor().await;
    let acceptor = acceptor.with_context(|| format!("METRICS_BIND: cannot listen on {bind}"))?;
    let addresses = acceptor.local_addr();
    let address = addresses.iter().find_map(|it| it.as_socket_addr().copied());
    tracing::info!("Metrics on http://{}/metrics", address.unwrap_or(bind));
    let app = app.clone();
    Ok(tokio::spawn(async move {
        metrics::serve(app, queue, acceptor, stop.cancelled()).await
    }))
}

/// Resolves on SIGTERM and on Ctrl-C.
fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("Shutting down: finishing running requests");
    })
}

//! What the commands do.

use std::{io::BufRead as _, net::SocketAddr, path::Path, sync::atomic::Ordering};

use anyhow::{Context as _, bail};
use chrono::TimeDelta;
use latchkey_migration::{AUDIT_LOG_STEP, Migrator, MigratorTrait as _};
use latchkey_shared::{
    clock::Clock,
    config::{SharedConfig, settings::Settings},
    database::{self, Database},
    models::{
        audit::{self, EventKind},
        mail::MailKind,
        user::{self, NewUser, staff},
    },
    output::{print, print_line},
    queue::Queue,
    telemetry::{logging, trace::Traces},
    types::{email::Email, username::Username},
};
use poem::listener::{Acceptor, Listener as _, TcpListener};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::cli::audit_watch::{by_operator, watch_audit_log};
use crate::{
    accounts::pictures::PictureStore,
    admin::dashboard::pages::setup,
    app_state::App,
    cli::{AuditCommand, Noted, UsersCommand},
    config::Config,
    http::body::fields::{self, FromField},
    openapi::Installation,
    passwords::{Owner, Password},
    server::{self, calls::description, connections, metrics},
};

/// `serve`
///
/// # Errors
/// When the configuration is wrong, a dependency is missing, or the address is taken.
pub async fn serve() -> anyhow::Result<()> {
    let mut config = Config::read(Settings::from_environment())?;
    let (common, version) = (&config.common, env!("CARGO_PKG_VERSION"));
    let traces = Traces::start(common.collector.as_ref(), "latchkey-api", version)
        .context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    start_log(common, &traces)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let patience = common.shutdown;
    config.connections.max = connections::raise_file_limit(config.connections.max);
    let bind = config.bind;
    let (app, queue) = connect(config).await?;
    let pending = latchkey_migration::missing(&app.db).await?;
    if pending > 0 {
        bail!("the database lacks {pending} migration(s): run `latchkey-api migrate` first");
    }
    audit::seal_empty(&app.db, &app.audit_key, false).await?;
    setup::announce(&app).await?;
    let listener = connections::bind(bind).with_context(|| {
        format!("BIND: {bind} cannot be listened on; is another program there?")
    })?;
    let environment = app.config.common.environment;
    tracing::info!(%environment, address = %listener.local_addr()?, "Latchkey serves.");
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let asked = shutdown_signal()?;
    let drained = app.clone();
    let stopped = tokio::spawn(async move {
        asked.await;
        // Balancers that ask for readiness look elsewhere meanwhile, and find this port open to the last.
        drained.stopping.store(true, Ordering::Relaxed);
        tokio::time::sleep(drained.config.drain).await;
        stopping.cancel();
        Instant::now()
    });
    let figures = serve_metrics(&app, queue, stop.clone()).await?;
    let served = CancellationToken::new();
    let watch = tokio::spawn(watch_audit_log(app.clone(), served.clone()));
    server::serve(app, listener, stop.cancelled()).await?;
    figures.await??;
    served.cancel();
    watch.await?;
    let left = patience.saturating_sub(stopped.await?.elapsed());
    traces.finish(left).await;
    tracing::info!("Latchkey has stopped.");
    Ok(())
}

fn address_of(acceptor: &impl Acceptor) -> Option<SocketAddr> {
    acceptor
        .local_addr()
        .into_iter()
        .find_map(|address| address.as_socket_addr().copied())
}

/// Serves `/metrics` at `METRICS_BIND`, if anywhere.
async fn serve_metrics(
    app: &App,
    queue: Queue,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<std::io::Result<()>>> {
    let Some(bind) = app.config.metrics_bind else {
        return Ok(tokio::spawn(async { Ok(()) }));
    };
    let acceptor = TcpListener::bind(bind)
        .into_acceptor()
        .await
        .with_context(|| {
            format!("METRICS_BIND: {bind} cannot be listened on; is another program there?")
        })?;
    tracing::info!(address = %address_of(&acceptor).unwrap_or(bind), "Figures are shown.");
    let app = app.clone();
    Ok(tokio::spawn(async move {
        metrics::serve(app, queue, acceptor, stop.cancelled()).await
    }))
}

/// `migrate`
///
/// # Errors
/// When the database cannot be reached or a step fails.
pub async fn migrate() -> anyhow::Result<()> {
    let common = read_common()?;
    start_log(&common, &Traces::off())?;
    let db = common.create_database().await?;
    let missing = latchkey_migration::missing_steps(&db).await?;
    Migrator::up(&*db, None).await?;
    // A log that this run created cannot have been emptied.
    let first = missing.iter().any(|step| step == AUDIT_LOG_STEP);
    audit::seal_empty(&db, &common.secret_key.audit_key(), first).await?;
    print_line(format_args!("{} migration(s) applied.", missing.len()))?;
    Ok(())
}

/// `create-superuser`
///
/// # Errors
/// When an answer is not acceptable, or the address is taken.
pub async fn create_superuser(
    email: Option<String>,
    username: Option<String>,
    password_stdin: bool,
) -> anyhow::Result<()> {
    let app = open().await?;
    let email: Email = parse(
        "e-mail address",
        &given_or_asked(email, "E-mail address: ")?,
    )?;
    let username: Username = parse("user name", &given_or_asked(username, "User name: ")?)?;
    let password: Password = parse("password", &read_password(password_stdin)?)?;
    let owner = Owner {
        email: &email,
        username: &username,
        phone_number: None,
        date_birth: None,
    };
    let password = app
        .passwords
        .accept(password, owner)
        .await?
        .context("the password is not acceptable")?;
    let hash = app.hasher.hash(password).await?;
    let new = NewUser::superuser(email, username, hash);
    let transaction = database::begin(&app.db).await?;
    let user = user::insert(&transaction, new, app.now()).await?;
    let event = by_operator(EventKind::UserCreated, user.id, "administrator");
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    print_line(format_args!("Administrator {} made.", user.email))?;
    Ok(())
}

/// `users`
///
/// # Errors
/// When there is no such account, or the database fails.
pub async fn users(command: UsersCommand) -> anyhow::Result<()> {
    let app = open().await?;
    match command {
        UsersCommand::Activate { email } => activate(&app, &email).await,
        UsersCommand::Deactivate { email } => deactivate(&app, &email).await,
        UsersCommand::List { json } => list(&app, json).await,
    }
}

/// `unused-pictures`
///
/// # Errors
/// When the folder cannot be read, or the database fails.
pub async fn unused_pictures(remove: bool) -> anyhow::Result<()> {
    let config = Config::read(Settings::from_environment())?;
    start_log(&config.common, &Traces::off())?;
    let db = config.common.connect_database().await?;
    let store = PictureStore::new(
        &config.media_dir,
        &config.common.public_url,
        config.picture_max_size,
    );
    // First the files: what is stored after they were listed is in no danger, and what is older than any request is in its
    // row by now or never will be.
    let yesterday = Clock::system().now() - TimeDelta::days(1);
    let files = store
        .written_before(yesterday.into())
        .with_context(|| format!("MEDIA_DIR: {} cannot be read", config.media_dir.display()))?;
    let used = user::pictures(&db).await?;
    let unused: Vec<_> = files.iter().filter(|name| !used.contains(*name)).collect();
    for name in &unused {
        print_line(name)?;
        if remove {
            store.remove(name).await;
        }
    }
    let done = if remove { "removed" } else { "unused" };
    print_line(format_args!(
        "{} of {} picture(s) {done}.",
        unused.len(),
        files.len()
    ))?;
    Ok(())
}

/// `openapi`
///
/// # Errors
/// When the folder cannot be written to.
pub fn openapi(yaml: bool, write: Option<&Path>) -> anyhow::Result<()> {
    let (description, installation) = (description(), Installation::default());
    match write {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            std::fs::write(folder.join("openapi.json"), description.json(&installation))?;
            std::fs::write(folder.join("openapi.yaml"), description.yaml(&installation))?;
        }
        None if yaml => print(description.yaml(&installation))?,
        None => print(description.json(&installation))?,
    }
    Ok(())
}

/// `audit`
///
/// # Errors
/// When the chain is not whole, or the database fails.
pub async fn audit(command: AuditCommand) -> anyhow::Result<()> {
    let common = read_common()?;
    start_log(&common, &Traces::off())?;
    let db = common.connect_database().await?;
    match command {
        AuditCommand::Verify { noted } => {
            let noted = noted.map(|Noted(head)| head);
            let key = common.secret_key.audit_key();
            let head = audit::verify(&db, &key, noted.as_ref())
                .await
                .context("the audit log is not whole")?;
            print_line(format_args!(
                "{} event(s), none altered, removed or moved.",
                head.seq
            ))?;
            print_line(format_args!("Head: {head}"))?;
        }
        AuditCommand::List(list) => {
            let user = match &list.user {
                Some(user) => Some(account(&db, user).await?),
                None => None,
            };
            let filter = audit::Filter {
                user_id: user,
                event: list.event,
                since: list.since.map(|since| since.before(Clock::system().now())),
                ..audit::Filter::default()
            };
            for event in audit::list(&db, filter, list.limit).await? {
                print_event(&event, list.json)?;
            }
        }
    }
    Ok(())
}

/// The id of an account, by itself or by its address. The id also names one that is gone.
async fn account(db: &Database, user: &str) -> anyhow::Result<i64> {
    if let Ok(id) = user.parse() {
        return Ok(id);
    }
    let email: Email = parse("e-mail address", user)?;
    let found = user::find_by_email(db, &email).await?;
    Ok(found
        .with_context(|| format!("no account has the address {email}"))?
        .id)
}

fn print_event(event: &audit::Model, json: bool) -> std::io::Result<()> {
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

async fn activate(app: &App, email: &str) -> anyhow::Result<()> {
    let user = find(app, email).await?;
    let now = app.now();
    let transaction = database::begin(&app.db).await?;
    if !user::activate(&transaction, user.id).await? {
        print_line(format_args!("{} was activated already.", user.email))?;
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
    let event = by_operator(EventKind::Admin, user.id, "activated");
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    print_line(format_args!("{} is activated; a mail says so.", user.email))?;
    Ok(())
}

async fn deactivate(app: &App, email: &str) -> anyhow::Result<()> {
    let user = find(app, email).await?;
    let transaction = database::begin(&app.db).await?;
    staff::lock(&transaction, &[user.id], user.is_superuser).await?;
    let changed = user::deactivate(&transaction, user.id, app.now()).await?;
    if user.is_superuser && !staff::has_superuser(&transaction).await? {
        bail!(
            "{} is the last superuser: make another one first",
            user.email
        );
    }
    if changed {
        let event = by_operator(EventKind::Admin, user.id, "deactivated");
        app.record_in(&transaction, event).await?;
    }
    transaction.commit().await?;
    let done = if changed {
        "is shut; all of its sessions have ended"
    } else {
        "was shut already"
    };
    print_line(format_args!("{} {done}.", user.email))?;
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
        "{:>6}  {:<40}  {:<9}  {:<6}  {:<5}  USER NAME",
        "ID", "E-MAIL", "ACTIVATED", "ACTIVE", "STAFF"
    ))?;
    let say = |flag| if flag { "yes" } else { "no" };
    for user in users {
        print_line(format_args!(
            "{:>6}  {:<40}  {:<9}  {:<6}  {:<5}  {}",
            user.id,
            user.email.as_str(),
            say(user.is_activated),
            say(user.is_active),
            say(user.is_staff),
            user.username
        ))?;
    }
    Ok(())
}

async fn find(app: &App, email: &str) -> anyhow::Result<user::Model> {
    let email: Email = parse("e-mail address", email)?;
    user::find_by_email(&app.db, &email)
        .await?
        .with_context(|| format!("no account has the address {email}"))
}

async fn open() -> anyhow::Result<App> {
    let config = Config::read(Settings::from_environment())?;
    start_log(&config.common, &Traces::off())?;
    Ok(connect(config).await?.0)
}

async fn connect(config: Config) -> anyhow::Result<(App, Queue)> {
    let connections = config.common.connect().await?;
    let (clock, queue) = (Clock::system(), connections.queue.clone());
    clock.follow(&connections.redis).await;
    Ok((App::new(config, connections, clock)?, queue))
}

fn read_common() -> anyhow::Result<SharedConfig> {
    let mut settings = Settings::from_environment();
    let common = SharedConfig::read(&mut settings);
    settings.finish()?;
    common.context("without SECRET_KEY the configuration has a fault")
}

fn start_log(common: &SharedConfig, traces: &Traces) -> anyhow::Result<()> {
    logging::start(common.log_format, &common.log_filter, traces).map_err(|error| {
        anyhow::anyhow!("RUST_LOG: expected a filter such as warn,latchkey=info ({error})")
    })
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
        tracing::info!("Asked to stop: finishing what has begun.");
    })
}

fn parse<T: FromField>(what: &str, text: &str) -> anyhow::Result<T> {
    fields::read(text).with_context(|| format!("the {what} is not acceptable"))
}

fn given_or_asked(given: Option<String>, question: &str) -> anyhow::Result<String> {
    if let Some(given) = given {
        return Ok(given.trim().to_owned());
    }
    print(question)?;
    first_line()
}

fn read_password(from_stdin: bool) -> anyhow::Result<String> {
    if from_stdin {
        return first_line();
    }
    let password = rpassword::prompt_password("Password: ")?;
    if password != rpassword::prompt_password("Password, again: ")? {
        bail!("the two passwords differ");
    }
    Ok(password)
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        bail!("standard input ended before an answer");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

//! The command line.

mod audit_watch;
pub mod commands;

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand};
use latchkey_shared::{models::audit::Head, types::time_arg::Since};

/// The configuration, for `--help`.
const ENVIRONMENT: &str = "\
Environment (each also as NAME_FILE; a .env file in the working directory is read, too):
  SECRET_KEY            required; at least 32 random bytes, the same for every program
  DATABASE_URL          [sqlite://var/latchkey.db] or postgres://user:password@host/database
  REDIS_URL             [redis://127.0.0.1:6379]
  ENVIRONMENT           [development] or production
  OTEL_EXPORTER_OTLP_ENDPOINT   [none] http:// URL of a collector of traces
  LOG_FORMAT, RUST_LOG  [text] or json; [warn,latchkey=info]
deploy/example.env has all of them, with their defaults.";

const SERVE_ENVIRONMENT: &str = "\
Environment, beside that of every command (latchkey-api --help):
  BIND                  [127.0.0.1:8000]
  METRICS_BIND          [127.0.0.1:9100] /metrics for Prometheus, or off
  PUBLIC_URL            [http://127.0.0.1:8000] where clients reach the service
  MEDIA_DIR             [var/media] profile pictures
  PICTURE_MAX_SIZE      [512] pixels of the longer side of a stored picture
  ACTIVATION            [admin], email (the owner, by a mailed code) or none: who lets new accounts in
  REGISTRATION_PRIVACY  [off] or on: a taken address is answered like any other
  CORS_ORIGINS          [none] web origins that may call, separated by commas
  TRUSTED_PROXIES       [none] networks whose word about a client's address is believed
  TRUSTED_PROXY_HEADER  [either] or x-forwarded-for or forwarded: the header that it is believed in
  LIMITS                [on] or off: none of the limits below
  LIMIT_…               how often somebody may try; see deploy/example.env
  ACCESS_TOKEN_SECONDS, REFRESH_TOKEN_SECONDS   [300] [864000]
  RESET_SECONDS, OTP_TRIES, OTP_DIGITS          [600] [5] [6]
  ARGON2_MEMORY_KIB, ARGON2_ITERATIONS, ARGON2_PARALLELISM   [19456] [2] [1]
  PASSWORD_MIN_LENGTH, BREACHED_PASSWORDS_FILE   [8] [none] rules for new passwords
  HASH_QUEUE_SECONDS    [5] how long a login may wait for a free core
  REQUEST_SECONDS       [60] how long a body may take to arrive
  DRAIN_SECONDS         [0] how long it goes on, but not ready, before it stops after SIGTERM
  SHUTDOWN_SECONDS      [25] how long requests may finish after SIGTERM";

/// Latchkey's API server, and the commands of those who run it.
#[derive(Debug, Parser)]
#[command(name = "latchkey-api", version, after_help = ENVIRONMENT)]
pub struct Cli {
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API until SIGTERM or Ctrl-C.
    #[command(after_help = SERVE_ENVIRONMENT)]
    Serve,
    /// Bring the database to the schema of this version. Running it again does nothing.
    #[command(after_help = "Environment: DATABASE_URL, SECRET_KEY.")]
    Migrate,
    /// Make an administrator; asks for what is not given.
    #[command(after_help = "Environment: DATABASE_URL, REDIS_URL, SECRET_KEY.")]
    CreateSuperuser {
        /// The address to sign in with.
        #[arg(long)]
        email: Option<String>,
        /// What the administrator is called.
        #[arg(long)]
        username: Option<String>,
        /// Read the password from the first line of standard input instead of asking for it.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Let accounts in, shut them, and list them.
    #[command(after_help = "Environment: DATABASE_URL, REDIS_URL, SECRET_KEY.")]
    Users {
        /// What to do with them.
        #[command(subcommand)]
        command: UsersCommand,
    },
    /// Check the audit log, and read in it.
    #[command(
        after_help = "Environment: DATABASE_URL, SECRET_KEY (the one that the events were written with)."
    )]
    Audit {
        /// What to do with it.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// List pictures that no account has, such as those of a change whose end nobody knew; none of the last day.
    #[command(after_help = "Environment: DATABASE_URL, SECRET_KEY, MEDIA_DIR.")]
    UnusedPictures {
        /// Remove them, too.
        #[arg(long)]
        remove: bool,
    },
    /// Print the OpenAPI document. Needs no database and no configuration.
    Openapi {
        /// As YAML instead of JSON.
        #[arg(long)]
        yaml: bool,
        /// Write openapi.json and openapi.yaml into this folder instead of printing.
        #[arg(long, value_name = "FOLDER")]
        write: Option<PathBuf>,
    },
}

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// Let an account in; a mail tells its owner.
    Activate {
        /// Its address.
        email: String,
    },
    /// Shut an account and end all of its sessions at once.
    Deactivate {
        /// Its address.
        email: String,
    },
    /// List all accounts.
    List {
        /// As JSON, for scripts.
        #[arg(long)]
        json: bool,
    },
}

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Read the whole chain: exit code 1, and the place, when any event was altered, removed, added or moved.
    Verify {
        /// An earlier head, as this command printed it, that the chain has to go through. Noted elsewhere, it shows when
        /// the whole database was put back.
        #[arg(long, value_name = "NUMBER:HASH")]
        noted: Option<Noted>,
    },
    /// List the newest events.
    List(AuditList),
}

/// Which events to list.
#[derive(Debug, Args)]
pub struct AuditList {
    /// About, or by, the account with this id or address.
    #[arg(long, value_name = "ID OR ADDRESS")]
    pub user: Option<String>,
    /// Of this kind, such as `authn_login_fail`.
    #[arg(long)]
    pub event: Option<String>,
    /// Not before this: 2026-11-22T10:00:00Z, or so long ago: 90m, 12h, 3d.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    pub limit: u64,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// A head of the audit log, written `17:9f86…`.
#[derive(Clone, Debug)]
pub struct Noted(pub Head);

impl FromStr for Noted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (seq, hash) = text.split_once(':').unwrap_or_default();
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        match seq.parse() {
            Ok(seq) if is_hash => Ok(Self(Head {
                seq,
                hash: hash.to_owned(),
            })),
            _ => Err("expected a head as `audit verify` prints it, NUMBER:HASH".to_owned()),
        }
    }
}

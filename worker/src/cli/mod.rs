//! The command line of the worker.

use clap::{Args, Parser, Subcommand};

pub mod doctor;
pub mod mails;
pub mod templates;

use mails::Mails;
use templates::Templates;

/// The settings of the worker, for `--help`.
const ENVIRONMENT: &str = "\
Environment variables (each also as NAME_FILE; a .env file in the working directory is read, too):
  SECRET_KEY            Required. At least 32 random bytes, the same for all programs
  SECRET_KEY_PREVIOUS   [none] Earlier keys, separated by commas
  DATABASE_URL          [sqlite://var/latchkey.db] or postgres://user:password@host/database
  REDIS_URL             [redis://127.0.0.1:6379]
  REDIS_NAMESPACE       [latchkey] Prefix of the keys in Redis
  ENVIRONMENT           [development] or production
  PUBLIC_URL            [http://127.0.0.1:8000] URL where clients reach the API
  PRODUCT_NAME          [Latchkey] Name of the product in mails
  SMTP_URL              [none] smtp://[user:password@]host[:port][?tls=required|opportunistic|none]
                        or smtps://…; without it, mails are written to MAIL_DIR
  SMTP_EHLO_NAME        [host of PUBLIC_URL] Name of the worker in EHLO
  SMTP_CA_FILE          [none] PEM file of a private certificate authority to trust
  SMTP_TIMEOUT_SECONDS  [30] Timeout of the delivery of one mail
  SMTP_MAX_PER_SECOND   [no limit] Maximum number of mails per second, over all workers
  MAIL_DIR              [var/mail] Folder of mails without SMTP_URL
  MAIL_FROM             [Latchkey <no-reply@localhost>] Sender of mails
  SUPPORT_ADDRESS       [none] Contact address in mails
  APP_URL               [none] URL of your front end, to which mails link
  LOGIN_URL, RESET_URL  [{app}/login] [{app}/reset-password] Its pages
  MAIL_TEMPLATES_DIR    [none] Folder of templates that replace the embedded ones
  LIMITS                [on] or off: no limits of mails per mailbox
  LIMIT_MAIL_…          Limits of mails per mailbox, see deploy/example.env
  OTP_SECONDS           [300] Lifetime of a one-time code after its mail was sent
  OTP_DIGITS            [6] Length of a one-time code, the same for the API
  WORKER_CONCURRENCY    [16] Maximum number of concurrent SMTP conversations
  AUDIT_DETAILS_DAYS    [90] Retention of client IPs, names and emails in the audit log, 0: forever
  CLIENT_DATA_DAYS      [90] Retention of other client IPs and devices, 0: as long as their rows
  PENDING_ACCOUNT_DAYS  [30] Retention of activations
  METRICS_BIND          [127.0.0.1:9101] Address of /metrics and /health, or off
  SHUTDOWN_SECONDS      [25] Maximum time to finish deliveries at a shutdown
  OTEL_EXPORTER_OTLP_ENDPOINT   [none] http:// URL of an OpenTelemetry collector
  LOG_FORMAT            [text] or json
  RUST_LOG              Log filter, such as warn,latchkey=info
deploy/example.env lists all variables with their defaults.

Exit codes: 0 success, 1 failure or abandoned deliveries, 2 usage error, 3 no matching mail.";

/// Delivers Latchkey's mails.
#[derive(Debug, Parser)]
#[command(name = "latchkey-worker", version, after_help = ENVIRONMENT)]
pub struct CommandLine {
    /// The command. Default: run
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deliver mails until SIGTERM or Ctrl-C
    #[command(after_help = ENVIRONMENT)]
    Run(RunArgs),
    /// Check SMTP, Redis and the database, and print remedies; exit code 1 if a check fails
    ///
    /// Does not check `MEDIA_DIR`, which workers do not use: the API's /health/ready does.
    #[command(after_help = ENVIRONMENT)]
    Doctor(DoctorArgs),
    /// List, show, cancel and retry mails
    #[command(subcommand)]
    Mails(Mails),
    /// Export, check and preview the templates of mails
    #[command(subcommand)]
    Templates(Templates),
}

/// The arguments of `run`.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// Maximum number of concurrent SMTP conversations; overrides `WORKER_CONCURRENCY`
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: Option<u16>,
}

/// The arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

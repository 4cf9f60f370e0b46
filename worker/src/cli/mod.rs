//! The command line of the worker.

use clap::{Args, Parser, Subcommand};

pub mod doctor;
pub mod mails;

use mails::Mails;

const RUN_VARIABLES: &str = "\
Environment (each variable also as NAME_FILE, the path of a file with the value; .env is read, too):
  SECRET_KEY            the same as for the API
  DATABASE_URL          sqlite://path or postgres://… [sqlite://var/latchkey.db]
  REDIS_URL             redis://… [redis://127.0.0.1:6379]
  REDIS_NAMESPACE       prefix of keys, if installations share Redis [latchkey]
  SMTP_URL              smtp://[user:password@]host[:port][?tls=required|opportunistic|none]
                        or smtps://…; without it mails are written to MAIL_DIR
  SMTP_CA_FILE          certificate of a private CA to trust, in PEM form
  SMTP_TIMEOUT_SECONDS  timeout of one mail [30]
  SMTP_MAX_PER_SECOND   maximum number of mails per second, over all workers [no limit]
  MAIL_DIR              folder for mails without SMTP_URL [var/mail]
  MAIL_FROM             sender of mails [Latchkey <no-reply@localhost>]
  SUPPORT_ADDRESS       contact address in mails
  PRODUCT_NAME          [Latchkey]
  PUBLIC_URL            URL of the API for clients [http://127.0.0.1:8000]
  OTP_SECONDS           lifetime of a code after its mail was sent [300]
  OTP_DIGITS            the same as for the API [6]
  WORKER_CONCURRENCY    concurrent SMTP conversations [16]
  METRICS_BIND          address of /metrics and /health, or off [127.0.0.1:9101]
  SHUTDOWN_SECONDS      time to finish mails in flight at shutdown [25]
  ENVIRONMENT           development or production [development]
  OTEL_EXPORTER_OTLP_ENDPOINT  http:// URL of a trace collector [none]
  RUST_LOG, LOG_FORMAT  log filter; text or json

Exit codes: 0 success, 1 failure or abandoned mails, 2 usage error, 3 no match.";

/// Delivers Latchkey's mails.
#[derive(Debug, Parser)]
#[command(name = "latchkey-worker", version, after_help = RUN_VARIABLES)]
pub struct CommandLine {
    /// The command; `run` if there is none.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deliver mails until SIGTERM or Ctrl-C (the default).
    #[command(after_help = RUN_VARIABLES)]
    Run(RunArgs),
    /// Check SMTP, Redis and the database, and print remedies. Exits with 1 if a check fails.
    ///
    /// Does not check `MEDIA_DIR`, which workers do not use: the API's /health/ready does.
    #[command(after_help = RUN_VARIABLES)]
    Doctor(DoctorArgs),
    /// List, show, cancel and retry mails.
    #[command(subcommand)]
    Mails(Mails),
}

/// The arguments of `run`.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// Concurrent SMTP conversations; overrides `WORKER_CONCURRENCY`.
    #[arg(long, value_name = "MAILS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: Option<u16>,
}

/// The arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print a JSON object per line.
    #[arg(long)]
    pub json: bool,
}

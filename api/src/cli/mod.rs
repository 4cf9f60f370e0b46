//! The command line: one file a command.

mod account_deletion;
mod audit;
mod audit_watch;
mod create_superuser;
mod export;
mod import;
mod keys;
mod migrate;
mod openapi;
mod pictures;
mod secrets;
mod serve;
mod startup;
mod users;

use clap::{Parser, Subcommand};

use crate::cli::{
    audit::AuditCommand, create_superuser::CreateSuperuser, export::ExportCommand,
    import::ImportCommand, keys::KeysCommand, openapi::Openapi, pictures::PicturesCommand,
    secrets::SecretsCommand, users::UsersCommand,
};

/// The settings of every command, for `--help`.
const ENVIRONMENT: &str = "\
Environment variables (each also as NAME_FILE; a .env file in the working directory is read, too):
  SECRET_KEY            Required. At least 32 random bytes, the same for all programs
  SECRET_KEY_PREVIOUS   [none] Earlier keys, separated by commas
  DATABASE_URL          [sqlite://var/latchkey.db] or postgres://user:password@host/database
  REDIS_URL             [redis://127.0.0.1:6379]
  ENVIRONMENT           [development] or production
  MAIL_TEMPLATES_DIR    [none] Folder of mail templates, the same for the worker; the dashboard previews mails
  OTEL_EXPORTER_OTLP_ENDPOINT   [none] http:// URL of an OpenTelemetry collector
  LOG_FORMAT            [text] or json
  RUST_LOG              Log filter, such as warn,latchkey=info
deploy/example.env lists all variables with their defaults.";

/// The API server of Latchkey, and the commands of its operators.
#[derive(Debug, Parser)]
#[command(name = "latchkey-api", version, after_help = ENVIRONMENT)]
pub struct Cli {
    /// The command. Default: serve
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the API server until SIGTERM or Ctrl-C
    #[command(after_help = serve::ENVIRONMENT)]
    Serve,
    /// Migrate the database to the schema of this version
    #[command(after_help = "Environment variables: DATABASE_URL, SECRET_KEY.")]
    Migrate,
    /// Create a superuser; prompts for missing values
    #[command(after_help = "Environment variables: DATABASE_URL, REDIS_URL, SECRET_KEY.")]
    CreateSuperuser(CreateSuperuser),
    /// Activate, deactivate and list accounts, remove second factors
    #[command(
        subcommand,
        after_help = "Environment variables: DATABASE_URL, REDIS_URL, SECRET_KEY."
    )]
    Users(UsersCommand),
    /// Verify and list the audit log
    #[command(
        subcommand,
        after_help = "Environment variables: DATABASE_URL, SECRET_KEY, SECRET_KEY_PREVIOUS."
    )]
    Audit(AuditCommand),
    /// Export accounts to move them to another installation or system
    #[command(
        subcommand,
        after_help = "Environment variables: DATABASE_URL, REDIS_URL, SECRET_KEY."
    )]
    Export(ExportCommand),
    /// Import accounts of another system
    #[command(
        subcommand,
        after_help = "Environment variables: DATABASE_URL, REDIS_URL, SECRET_KEY, MEDIA_DIR, PICTURE_MAX_SIZE."
    )]
    Import(ImportCommand),
    /// Remove unused profile pictures
    #[command(
        subcommand,
        after_help = "Environment variables: DATABASE_URL, SECRET_KEY, MEDIA_DIR."
    )]
    Pictures(PicturesCommand),
    /// List, rotate and revoke the keys that sign access tokens
    #[command(
        subcommand,
        after_help = "Environment variables: DATABASE_URL, REDIS_URL, SECRET_KEY, and those of access tokens (latchkey-api serve --help)."
    )]
    Keys(KeysCommand),
    /// Show and replace the data keys that the database stores
    #[command(
        subcommand,
        after_help = "Environment variables: DATABASE_URL, SECRET_KEY, SECRET_KEY_PREVIOUS."
    )]
    Secrets(SecretsCommand),
    /// Print the OpenAPI document; needs no database and no settings
    Openapi(Openapi),
}

impl Cli {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command.unwrap_or(Command::Serve) {
            Command::Serve => serve::run().await,
            Command::Migrate => migrate::run().await,
            Command::CreateSuperuser(arguments) => create_superuser::run(arguments).await,
            Command::Users(command) => users::run(command).await,
            Command::Audit(command) => audit::run(command).await,
            Command::Export(command) => export::run(command).await,
            Command::Import(command) => import::run(command).await,
            Command::Pictures(command) => pictures::run(command).await,
            Command::Keys(command) => keys::run(command).await,
            Command::Secrets(command) => secrets::run(command).await,
            Command::Openapi(arguments) => openapi::run(&arguments),
        }
    }
}

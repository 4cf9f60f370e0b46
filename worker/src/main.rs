//! The program `latchkey-worker`. Exit codes: 0 success, 1 failure, 2 usage error, 3 no match.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Parser as _;
use latchkey_shared::{
    clock::Clock,
    config::{SharedConfig, settings::Settings},
    file_size_limit, output,
    telemetry::{logging, trace::Traces},
};
use latchkey_worker::{
    cli::{Command, CommandLine, DoctorArgs, RunArgs, doctor, mails::Mails},
    config::Config,
    service::{self, Ended},
};

#[tokio::main]
async fn main() -> ExitCode {
    execute().await.unwrap_or_else(|error| {
        output::report("latchkey-worker", format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

async fn execute() -> anyhow::Result<ExitCode> {
    let command = CommandLine::parse().command;
    file_size_limit::fail_writes_only()?;
    match command {
        None => run(RunArgs::default()).await,
        Some(Command::Run(args)) => run(args).await,
        Some(Command::Doctor(args)) => examine(args).await,
        Some(Command::Mails(mails)) => run_mails(mails).await,
        Some(Command::Templates(templates)) => {
            output::print(templates.run(Settings::from_environment())?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut config = Config::read(Settings::from_environment())?;
    let (common, version) = (&config.common, env!("CARGO_PKG_VERSION"));
    let traces = Traces::start(common.collector.as_ref(), "latchkey-worker", version)
        .context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    start_log(common, &traces)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    if let Some(concurrency) = args.concurrency {
        config.concurrency = concurrency.into();
    }
    Ok(match service::run(&config, traces).await? {
        Ended::Clean => ExitCode::SUCCESS,
        Ended::Abandoned(_) | Ended::Panicked => ExitCode::FAILURE,
    })
}

async fn examine(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let config = Config::read(Settings::from_environment())?;
    start_log(&config.common, &Traces::off())?;
    let report = doctor::examine(&config).await;
    let text = if args.json {
        report.json()
    } else {
        report.text()
    };
    output::print(text)?;
    Ok(if report.is_healthy() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn run_mails(mails: Mails) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::from_environment();
    let common = SharedConfig::read(&mut settings);
    settings.finish()?;
    let common = common.ok_or_else(|| anyhow!("SECRET_KEY is missing"))?;
    start_log(&common, &Traces::off())?;
    let db = common.connect_database().await?;
    service::check_schema(&db).await?;
    let answer = mails.run(&db, Clock::system().now()).await?;
    output::print(&answer.text)?;
    Ok(ExitCode::from(if answer.found { 0 } else { 3 }))
}

fn start_log(common: &SharedConfig, traces: &Traces) -> anyhow::Result<()> {
    logging::start(common.log_format, &common.log_filter, traces)
        .map_err(|error| anyhow!("RUST_LOG: {error}"))
}

//! Checks the destination of mails.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    database::Database,
    models::mail::delivery_health::{self, DeliveryHealth, FailureCause},
};

use super::report::Report;
use crate::{
    config::{Config, MailDestination, Server, smtp_url::Tls},
    transport::Transport,
};

/// Connects to the SMTP server, or writes a file to `MAIL_DIR`.
pub(super) async fn check_destination(config: &Config, report: &mut Report) {
    let remedy = match &config.destination {
        MailDestination::Folder(_) => "make the folder writable for the worker, or set SMTP_URL",
        MailDestination::Smtp(_) => {
            "check host, port, tls=, user and password in SMTP_URL; for a private certificate set SMTP_CA_FILE"
        }
    };
    let probed = match Transport::new(&config.destination) {
        Ok(transport) => transport.probe().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match (probed, &config.destination) {
        (Err(error), _) => report.fail("smtp", error, remedy),
        (Ok(_), MailDestination::Folder(folder)) => report.ok(
            "smtp",
            format!("mails are written to MAIL_DIR, {}", folder.display()),
        ),
        (Ok(is_encrypted), MailDestination::Smtp(server)) => {
            report.ok("smtp", describe(server, is_encrypted));
        }
    }
    if let MailDestination::Smtp(server) = &config.destination
        && server.url.tls == Tls::None
        && server.url.credentials.is_some()
    {
        report.warn(
            "smtp",
            "the password in SMTP_URL is sent unencrypted",
            "use smtps:// or tls=required",
        );
    }
}

fn describe(server: &Server, is_encrypted: bool) -> String {
    let url = &server.url;
    let security = match (url.tls, is_encrypted) {
        (Tls::Implicit, _) => "with TLS",
        (_, true) => "with STARTTLS",
        (Tls::Opportunistic, false) => "without TLS, because the server does not offer STARTTLS",
        (_, false) => "without TLS",
    };
    let login = if url.credentials.is_some() {
        ", logged in"
    } else {
        ""
    };
    format!("connected to {}:{} {security}{login}", url.host, url.port)
}

/// Checks the results of the last deliveries of all workers.
pub(super) async fn check_deliveries(db: &Database, now: DateTime<Utc>, report: &mut Report) {
    let format = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S UTC");
    match delivery_health::check(db, now).await {
        Ok(DeliveryHealth::Failing(problem)) => {
            let failed_at = format(problem.failed_at);
            let message = format!(
                "mails are not accepted; last failure at {failed_at}: {}",
                problem.message
            );
            report.fail("smtp", message, remedy(problem.cause));
        }
        Ok(DeliveryHealth::Accepted(at)) => {
            report.ok("smtp", format!("last mail accepted at {}", format(at)));
        }
        Ok(DeliveryHealth::OneRefused | DeliveryHealth::Idle) => {}
        Err(error) => report.refusal("database", &(&error).into()),
    }
}

fn remedy(cause: FailureCause) -> &'static str {
    match cause {
        FailureCause::Connection => {
            "check the server, host, port and tls= in SMTP_URL, and SMTP_EHLO_NAME; every worker must reach the server; if it limits \
             connections, lower WORKER_CONCURRENCY"
        }
        FailureCause::Authentication => "correct user and password in the SMTP_URL of every worker",
        FailureCause::Sender => {
            "configure the server to accept MAIL_FROM from this login and IP address, or change MAIL_FROM"
        }
        FailureCause::Recipient | FailureCause::Refusal => {
            "allow the workers to relay on the server; check SMTP_EHLO_NAME, and SPF and DKIM of the domain of MAIL_FROM"
        }
    }
}

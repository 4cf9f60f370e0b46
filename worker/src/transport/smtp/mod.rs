//! Conversations with the SMTP server: lettre speaks, this file decides which connection is used again.
//!
//! lettre's own pool takes back whatever is dropped, a conversation that was given up on included; the answer that
//! comes too late is then taken for the answer to the next mail, and a refused mail passes for a sent one. Here a
//! connection is kept only after a conversation that came to its end. Doing this by hand also tells at which stage a
//! conversation failed, and so what the failure means (`failure`).
//!
//! A server may limit the mails of a connection. A reused connection that fails before the text of a mail is sent is
//! replaced by a new one within the same attempt.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use latchkey_shared::telemetry::trace;
use lettre::{
    Message,
    transport::smtp::{
        self,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::Ehlo,
        extension::ClientId,
    },
};
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, field::Empty};

use crate::{
    config::{
        Server,
        smtp_url::{SmtpUrl, Tls},
    },
    transport::{
        SendError,
        redaction::{redact, shorten},
    },
};

mod conversation;
mod failure;
mod wording;

use crate::transport::smtp::failure::{SmtpFailure, Stage};

/// How long an idle connection is worth keeping; servers close them after some minutes (RFC 5321, 4.5.3.2.7).
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server may take to say goodbye.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);
/// The shortest base64 that is recognised without its padding, in characters.
const MIN_UNPADDED: usize = 6;
/// How many login mechanisms of a server are named.
const MAX_MECHANISMS: usize = 8;

/// A server and the connections to it that are idle.
pub struct Smtp {
    url: SmtpUrl,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    name: ClientId,
    timeout: Duration,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
    /// What no error may repeat: the password, and the login as it goes over the wire.
    secrets: Vec<String>,
}

impl Smtp {
    /// Prepares the way. Nothing is connected yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(server: &Server) -> Result<Self, smtp::Error> {
        let url = server.url.clone();
        let tls = if url.tls == Tls::None {
            None
        } else {
            let mut parameters = TlsParameters::builder(url.host.clone());
            if let Some(authority) = server.authority.clone() {
                parameters = parameters.add_root_certificate(authority);
            }
            Some(parameters.build()?)
        };
        let credentials = url.credentials.clone();
        Ok(Self {
            tls,
            secrets: credentials.as_ref().map_or_else(Vec::new, secrets),
            credentials: credentials.map(|(user, password)| Credentials::new(user, password)),
            name: server.ehlo_name.0.clone(),
            timeout: server.timeout,
            idle: Mutex::default(),
            url,
        })
    }

    /// Hands a mail over, within the time that one mail may take, and while it is worth anything: a code must not arrive
    /// dead.
    ///
    /// # Errors
    /// When it wasn't taken, or nobody knows whether it was.
    pub async fn send(&self, message: &Message, worth: Duration) -> Result<(), SendError> {
        let patience = self.timeout.min(worth);
        let span = tracing::info_span!(
            target: trace::TARGET,
            "smtp",
            otel.kind = "client",
            otel.status_code = Empty,
            server.address = self.url.host,
            server.port = self.url.port,
            "error.type" = Empty,
        );
        // Whatever is dropped here half-way is closed and not used again.
        let sent = timeout(patience, self.converse(message))
            .instrument(span.clone())
            .await;
        match &sent {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => trace::fail(&span, &failure.code()),
            Err(_) => trace::fail(&span, "timeout"),
        }
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(self.error(&failure)),
            Err(_) => Err(silence(patience)),
        }
    }

    /// Greets the server, with TLS and login as for a mail, and takes leave again.
    ///
    /// # Errors
    /// When it does not get that far, with the reason.
    pub async fn probe(&self) -> Result<(), SendError> {
        let greeting = timeout(self.timeout, self.connect()).await;
        match greeting {
            Ok(Ok(mut connection)) => {
                // It has answered; how it says goodbye is nothing to us.
                let _ = timeout(QUIT_TIMEOUT, connection.quit()).await;
                Ok(())
            }
            Ok(Err(failure)) => {
                let mut error = self.error(&failure);
                error.message = shorten(&error.message);
                Err(error)
            }
            Err(_) => Err(silence(self.timeout)),
        }
    }

    fn error(&self, failure: &SmtpFailure) -> SendError {
        let user = self.url.credentials.as_ref().map(|(user, _)| user.as_str());
        let message = redact(&failure.words, &self.secrets, user.as_slice());
        SendError {
            message,
            failure: failure.kind(),
            is_final: failure.is_final,
        }
    }

    async fn converse(&self, message: &Message) -> Result<(), SmtpFailure> {
        if let Some(connection) = self.take_idle() {
            let sent = self.hand_over(connection, message).await;
            if !sent.as_ref().is_err_and(SmtpFailure::allows_new_connection) {
                return sent;
            }
        }
        let connection = self.connect().await?;
        self.hand_over(connection, message).await
    }

    async fn hand_over(
        &self,
        mut connection: AsyncSmtpConnection,
        message: &Message,
    ) -> Result<(), SmtpFailure> {
        let said = conversation::say(&mut connection, message).await;
        match &said {
            Ok(()) => self.keep(connection),
            // The outcome is known either way; a server that answered is told goodbye.
            Err(_) => drop(timeout(QUIT_TIMEOUT, connection.abort()).await),
        }
        said
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpFailure> {
        let address = (self.url.host.as_str(), self.url.port);
        let implicit = self.tls.clone().filter(|_| self.url.tls == Tls::Implicit);
        let mut connection = AsyncSmtpConnection::connect_tokio1(
            address,
            Some(self.timeout),
            &self.name,
            implicit,
            None,
        )
        .await
        .map_err(SmtpFailure::at(Stage::Connection))?;
        if let Some(tls) = self
            .tls
            .clone()
            .filter(|_| self.wants_starttls(&connection))
        {
            let upgraded = connection.starttls(tls, &self.name).await;
            upgraded.map_err(SmtpFailure::at(Stage::Connection))?;
        }
        self.authenticate(&mut connection).await?;
        Ok(connection)
    }

    async fn authenticate(&self, connection: &mut AsyncSmtpConnection) -> Result<(), SmtpFailure> {
        let Some(credentials) = &self.credentials else {
            return Ok(());
        };
        let server = connection.server_info();
        if server.get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
            let words = self.unsupported_mechanisms(connection).await;
            return Err(SmtpFailure::before(Stage::Authentication, &words));
        }
        let accepted = connection.auth(DEFAULT_MECHANISMS, credentials).await;
        accepted.map_err(SmtpFailure::at(Stage::Authentication))?;
        Ok(())
    }

    /// Says which mechanisms the server offers instead of those that are supported. lettre forgets those that it does
    /// not know, so the server is asked again.
    async fn unsupported_mechanisms(&self, connection: &mut AsyncSmtpConnection) -> String {
        let offer = connection.command(Ehlo::new(self.name.clone())).await;
        let mechanisms: Vec<String> = offer
            .iter()
            .flat_map(smtp::response::Response::message)
            .filter_map(|line| line.strip_prefix("AUTH "))
            .flat_map(str::split_whitespace)
            .take(MAX_MECHANISMS)
            .map(str::to_owned)
            .collect();
        if mechanisms.is_empty() {
            "the server offers no login on this connection; some offer it with TLS alone (smtps:// or tls=required)"
                .to_owned()
        } else {
            format!(
                "the server offers only {}, which Latchkey does not support; it supports PLAIN and LOGIN. Create an app \
                 password at the provider, or use a relay that accepts a password",
                mechanisms.join(", ")
            )
        }
    }

    /// Required, it is asked for even where it isn't offered, which fails.
    fn wants_starttls(&self, connection: &AsyncSmtpConnection) -> bool {
        match self.url.tls {
            Tls::Required => true,
            Tls::Opportunistic => connection.can_starttls(),
            Tls::Implicit | Tls::None => false,
        }
    }

    /// Takes the connection that was used last, unless it has been idle for too long.
    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (connection, since) = idle.pop()?;
        (since.elapsed() < IDLE_TIMEOUT).then_some(connection)
    }

    /// There are never more than mails are handed over at once.
    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE_TIMEOUT);
        idle.push((connection, Instant::now()));
    }
}

fn silence(patience: Duration) -> SendError {
    let seconds = patience.as_secs();
    SendError::unreachable(format!("the server did not answer within {seconds} s"))
}

/// The credentials as they may come back in a reply: the password as it is, and both in base64 as `AUTH PLAIN` (RFC 4616),
/// with and without an authorization identity, and `AUTH LOGIN` send them.
fn secrets((user, password): &(String, String)) -> Vec<String> {
    // Without padding, which a reply may lack, unless so little is left that it is found by chance.
    let encode = |text: &str| {
        let encoded = BASE64_STANDARD.encode(text);
        let bare = encoded.trim_end_matches('=');
        let is_short = bare.len() < MIN_UNPADDED;
        if is_short { encoded } else { bare.to_owned() }
    };
    vec![
        encode(&format!("\0{user}\0{password}")),
        encode(&format!("{user}\0{user}\0{password}")),
        encode(password),
        encode(user),
        password.clone(),
    ]
}

//! Sends mails over pooled SMTP connections.
//!
//! lettre's own pool also takes back connections of cancelled conversations. A late reply would then be read as the reply
//! to the next mail, and a refused mail would count as sent. This pool keeps a connection only after a complete
//! conversation. It also knows at which stage a conversation failed, and so what the failure means (`failure`).
//!
//! A server may limit the mails per connection. If a reused connection fails before the text of a mail is sent, the same
//! attempt continues on a new connection. A server may also limit the number of connections. If it refuses a new one
//! while others are open, the attempt waits for one of them.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use latchkey_shared::telemetry::trace;
use lettre::{
    Message,
    transport::smtp::{
        self,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters},
        commands::{Ehlo, Starttls},
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
mod enhanced_code;
mod failure;
mod pool;
mod replies;
mod stream;
mod tls;
mod wording;

use crate::transport::smtp::{
    conversation::Progress,
    failure::{SmtpFailure, Stage},
    pool::{Next, Permit, Pool},
    replies::{Replies, ReplyState, UNSOLICITED},
    stream::{LimitedStream, ReceivedBytes},
};

/// The timeout of `QUIT`.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);
/// The shortest base64 text that is recognized without its padding, in characters.
const MIN_UNPADDED: usize = 6;
/// The reply to a successful `AUTH` (RFC 4954, section 6).
const AUTHENTICATED: u16 = 235;
/// Maximum number of login mechanisms that an error names.
const MAX_MECHANISMS: usize = 8;

/// An SMTP server with its idle connections.
pub struct Smtp {
    url: SmtpUrl,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    ehlo_name: ClientId,
    timeout: Duration,
    pool: Pool,
    /// Texts that no error may contain: the password, and the credentials as they are sent.
    secrets: Vec<String>,
}

/// A connection on which a conversation can start.
struct Connection {
    smtp: AsyncSmtpConnection,
    received: ReceivedBytes,
    replies: ReplyState,
    is_encrypted: bool,
    _permit: Permit,
}

impl Smtp {
    /// Creates the transport, without connecting.
    pub fn new(server: &Server) -> Result<Self, smtp::Error> {
        let url = server.url.clone();
        let tls = if url.tls == Tls::None {
            None
        } else {
            let mut parameters = TlsParameters::builder(url.host.clone());
            if let Some(certificate) = server.ca_certificate.clone() {
                parameters = parameters.add_root_certificate(certificate);
            }
            Some(parameters.build()?)
        };
        let credentials = url.credentials.clone();
        Ok(Self {
            tls,
            secrets: credentials.as_ref().map_or_else(Vec::new, secrets),
            credentials: credentials.map(|(user, password)| Credentials::new(user, password)),
            ehlo_name: server.ehlo_name.0.clone(),
            timeout: server.timeout,
            pool: Pool::default(),
            url,
        })
    }

    /// Sends a mail within the timeout and before it expires, in `remaining`: a code must not arrive expired.
    ///
    /// # Errors
    /// When the mail was not accepted, or it is unknown whether it was.
    pub async fn send(&self, message: &Message, remaining: Duration) -> Result<(), SendError> {
        let limit = self.timeout.min(remaining);
        let span = tracing::info_span!(
            target: trace::TARGET,
            "smtp",
            otel.kind = "client",
            otel.status_code = Empty,
            server.address = self.url.host,
            server.port = self.url.port,
            "error.type" = Empty,
        );
        // A cancelled conversation drops its connection, which is not reused.
        let progress = Progress::new();
        let sent = timeout(limit, self.send_over_any_connection(message, &progress))
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
            Err(_) => Err(self.error(&progress.timed_out(limit))),
        }
    }

    /// Connects with TLS and login as for a mail, and disconnects. Returns whether the connection was encrypted. Asks on an idle
    /// connection if there is one, because the server may not accept more of them.
    pub async fn probe(&self) -> Result<bool, SendError> {
        if let Some((mut connection, since)) = self.pool.pop_idle() {
            let is_alive = timeout(self.timeout, connection.smtp.test_connected()).await;
            if is_alive.unwrap_or_default() {
                let is_encrypted = connection.is_encrypted;
                self.pool.push_idle(connection, since);
                return Ok(is_encrypted);
            }
        }
        let connected = timeout(self.timeout, self.connect()).await;
        match connected {
            Ok(Ok(mut connection)) => {
                // The server works, whatever its reply to `QUIT`.
                let _ = timeout(QUIT_TIMEOUT, connection.smtp.quit()).await;
                Ok(connection.is_encrypted)
            }
            Ok(Err(failure)) => {
                let mut error = self.error(&failure);
                error.reply = shorten(&error.reply);
                Err(error)
            }
            Err(_) => Err(self.error(&SmtpFailure::timed_out(Stage::Connection, self.timeout))),
        }
    }

    fn error(&self, failure: &SmtpFailure) -> SendError {
        let SmtpFailure {
            description, text, ..
        } = failure;
        SendError {
            description: shorten(description),
            reply: self.redact(text),
            failure: failure.kind(),
            is_final: failure.is_final,
        }
    }

    /// Redacts the credentials in a text of the server.
    fn redact(&self, text: &str) -> String {
        let user = self.url.credentials.as_ref().map(|(user, _)| user.as_str());
        redact(text, &self.secrets, user.as_slice())
    }

    async fn send_over_any_connection(
        &self,
        message: &Message,
        progress: &Progress,
    ) -> Result<(), SmtpFailure> {
        let idle = self.pool.pop_idle();
        let mut next = idle.map_or(Next::New, |(connection, _)| {
            Next::Idle(Box::new(connection))
        });
        loop {
            if let Next::Idle(connection) = next {
                let sent = self.send_over(*connection, message, progress).await;
                if !sent.as_ref().is_err_and(SmtpFailure::allows_new_connection) {
                    return sent;
                }
            }
            progress.connect();
            let refusal = match self.connect().await {
                Ok(connection) => return self.send_over(connection, message, progress).await,
                Err(failure) if failure.may_be_connection_limit() => failure,
                Err(failure) => return Err(failure),
            };
            progress.wait_after(refusal.clone());
            next = self.pool.wait_for_another().await.ok_or(refusal)?;
        }
    }

    async fn send_over(
        &self,
        mut connection: Connection,
        message: &Message,
        progress: &Progress,
    ) -> Result<(), SmtpFailure> {
        connection.received.reset();
        let sent = conversation::send(&mut connection, message, progress).await;
        match &sent {
            Ok(()) => self.pool.push_idle(connection, Instant::now()),
            // The outcome is known. If the server is there, it gets a `QUIT`.
            Err(_) => drop(timeout(QUIT_TIMEOUT, connection.smtp.abort()).await),
        }
        sent
    }

    async fn connect(&self) -> Result<Connection, SmtpFailure> {
        let permit = self.pool.start_connecting();
        let received = ReceivedBytes::default();
        let tcp = LimitedStream::connect(&self.url.host, self.url.port, received.clone())
            .await
            .map_err(|error| SmtpFailure::to_connect(&error))?;
        let (mut smtp, replies, is_encrypted) = match self.tls.clone() {
            Some(tls) if self.url.tls == Tls::Implicit => {
                let stream = tls::start(tcp, tls).await;
                let stream = stream.map_err(SmtpFailure::at(Stage::Connection))?;
                let (smtp, replies) = self.greet(Replies::new(stream)).await?;
                (smtp, replies, true)
            }
            Some(tls) => self.greet_and_start_tls(tcp, tls).await?,
            None => {
                let (smtp, replies) = self.greet(Replies::new(tcp)).await?;
                (smtp, replies, false)
            }
        };
        self.authenticate(&mut smtp).await?;
        Ok(Connection {
            smtp,
            received,
            replies,
            is_encrypted,
            _permit: permit.establish(),
        })
    }

    /// Reads the greeting and sends `EHLO`.
    async fn greet(
        &self,
        stream: Replies<impl AsyncTokioStream + 'static>,
    ) -> Result<(AsyncSmtpConnection, ReplyState), SmtpFailure> {
        let replies = stream.state();
        AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.ehlo_name)
            .await
            .map(|smtp| (smtp, replies))
            .map_err(SmtpFailure::at(Stage::Connection))
    }

    /// Connects without TLS and starts it with `STARTTLS`, if the server offers it or it is required. lettre's own
    /// upgrade would put TLS around [`Replies`], which has to see the decrypted lines. So TLS starts on a second handle of the
    /// socket, with a new connection of lettre. Also returns whether it was started.
    async fn greet_and_start_tls(
        &self,
        tcp: LimitedStream,
        tls: TlsParameters,
    ) -> Result<(AsyncSmtpConnection, ReplyState, bool), SmtpFailure> {
        let (plain, tcp) = tcp
            .into_two_handles()
            .map_err(|error| SmtpFailure::to_connect(&error))?;
        let (mut smtp, replies) = self.greet(Replies::new(plain)).await?;
        if !smtp.can_starttls() {
            return if self.url.tls == Tls::Opportunistic {
                Ok((smtp, replies, false))
            } else {
                let message = "the server does not offer STARTTLS";
                Err(SmtpFailure::before(Stage::Connection, message))
            };
        }
        let ready = smtp.command(Starttls).await;
        let ready = ready.map_err(SmtpFailure::at(Stage::Connection))?;
        conversation::expect_completion(Stage::Connection, &ready)?;
        if replies.is_unread() {
            return Err(SmtpFailure::before(Stage::Connection, UNSOLICITED));
        }
        let stream = tls::start(tcp, tls).await;
        let stream = stream.map_err(SmtpFailure::at(Stage::Connection))?;
        let (smtp, replies) = self.greet(Replies::after_greeting(stream)).await?;
        Ok((smtp, replies, true))
    }

    async fn authenticate(&self, connection: &mut AsyncSmtpConnection) -> Result<(), SmtpFailure> {
        let Some(credentials) = &self.credentials else {
            return Ok(());
        };
        let server = connection.server_info();
        if server.get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
            let message = self.unsupported_mechanisms(connection).await;
            return Err(SmtpFailure::before(Stage::Authentication, &message));
        }
        let accepted = connection.auth(DEFAULT_MECHANISMS, credentials).await;
        let reply = accepted.map_err(SmtpFailure::at(Stage::Authentication))?;
        conversation::expect_code(Stage::Authentication, AUTHENTICATED, &reply)
    }

    /// Describes which mechanisms the server offers. lettre drops those that it does not know, so this sends another `EHLO`.
    async fn unsupported_mechanisms(&self, connection: &mut AsyncSmtpConnection) -> String {
        let offer = connection.command(Ehlo::new(self.ehlo_name.clone())).await;
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
                self.redact(&mechanisms.join(", "))
            )
        }
    }
}

/// Returns the forms of the credentials that a reply may repeat: the plain password, and what `AUTH PLAIN` (RFC 4616, with and
/// without an authorization identity) and `AUTH LOGIN` send, in base64.
fn secrets((user, password): &(String, String)) -> Vec<String> {
    // Without padding, which a reply may lack. A very short text keeps it, so that it does not match by chance.
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

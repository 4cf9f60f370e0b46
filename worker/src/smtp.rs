//! Conversations with the SMTP server: lettre speaks, this file decides which connection is used again.
//!
//! lettre's own pool takes back whatever is dropped, a conversation that was given up on included; the answer that
//! comes too late is then taken for the answer to the next mail, and a refused mail passes for a sent one. Here a
//! connection is kept only after a conversation that came to its end. Doing this by hand also tells what a 5xx is about:
//! one to the recipient or the mail is final, one to the connection, the login or the sender is our own trouble.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use latchkey_shared::trace;
use lettre::{
    Message,
    transport::smtp::{
        self,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, field::Empty};

use crate::{
    config::Server,
    smtp_url::{SmtpUrl, Tls},
    transport::SendError,
};

/// How long an idle connection is worth keeping; servers close them after some minutes (RFC 5321, 4.5.3.2.7).
const IDLE: Duration = Duration::from_secs(30);
/// How long a server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// A server and the connections to it that are idle.
pub struct Smtp {
    url: SmtpUrl,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    name: ClientId,
    timeout: Duration,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

/// Where in a conversation something failed.
enum Failure {
    /// Before it came to the recipient, whatever the answer was.
    Ours(smtp::Error),
    /// At the recipient or at the mail.
    Mails(smtp::Error),
}

impl Failure {
    /// The code of the server's answer. Its words may name the recipient.
    fn code(&self) -> String {
        let (Self::Ours(error) | Self::Mails(error)) = self;
        error
            .status()
            .map_or_else(|| "connection".to_owned(), |code| code.to_string())
    }
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
            credentials: credentials.map(|(user, password)| Credentials::new(user, password)),
            name: ClientId::default(),
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
            Ok(Err(Failure::Mails(error))) if error.is_permanent() => {
                Err(SendError::Permanent(error.to_string()))
            }
            Ok(Err(Failure::Mails(error) | Failure::Ours(error))) => {
                Err(SendError::Temporary(error.to_string()))
            }
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
                let _ = timeout(GOODBYE, connection.quit()).await;
                Ok(())
            }
            Ok(Err(error)) => Err(SendError::Temporary(error.to_string())),
            Err(_) => Err(silence(self.timeout)),
        }
    }

    async fn converse(&self, message: &Message) -> Result<(), Failure> {
        let mut connection = self.connection().await.map_err(Failure::Ours)?;
        let said = say(&mut connection, message).await;
        match &said {
            Ok(()) => self.keep(connection),
            // The mail is dealt with either way; a server that answered is told goodbye.
            Err(_) => connection.abort().await,
        }
        said
    }

    /// An idle connection that still answers, or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, smtp::Error> {
        while let Some((mut connection, since)) = self.take_idle() {
            if since.elapsed() < IDLE && connection.test_connected().await {
                return Ok(connection);
            }
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, smtp::Error> {
        let address = (self.url.host.as_str(), self.url.port);
        let implicit = self.tls.clone().filter(|_| self.url.tls == Tls::Implicit);
        let mut connection = AsyncSmtpConnection::connect_tokio1(
            address,
            Some(self.timeout),
            &self.name,
            implicit,
            None,
        )
        .await?;
        if let Some(tls) = self
            .tls
            .clone()
            .filter(|_| self.wants_starttls(&connection))
        {
            connection.starttls(tls, &self.name).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    /// Required, it is asked for even where it isn't offered, which fails.
    fn wants_starttls(&self, connection: &AsyncSmtpConnection) -> bool {
        match self.url.tls {
            Tls::Required => true,
            Tls::Opportunistic => connection.can_starttls(),
            Tls::Implicit | Tls::None => false,
        }
    }

    fn take_idle(&self) -> Option<(AsyncSmtpConnection, Instant)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop()
    }

    /// There are never more than mails are handed over at once.
    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        idle.push((connection, Instant::now()));
    }
}

fn silence(patience: Duration) -> SendError {
    let seconds = patience.as_secs();
    SendError::Temporary(format!("the server did not answer within {seconds} s"))
}

async fn say(connection: &mut AsyncSmtpConnection, message: &Message) -> Result<(), Failure> {
    let (envelope, raw) = (message.envelope(), message.formatted());
    let mut parameters = Vec::new();
    if !envelope.to().iter().all(|to| to.to_string().is_ascii()) {
        // Without the extension (RFC 6531) the server refuses the recipient itself.
        if connection
            .server_info()
            .supports_feature(Extension::SmtpUtfEight)
        {
            parameters.push(MailParameter::SmtpUtfEight);
        }
    }
    if !raw.is_ascii() {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let sender = Mail::new(envelope.from().cloned(), parameters);
    connection.command(sender).await.map_err(Failure::Ours)?;
    for recipient in envelope.to() {
        let recipient = Rcpt::new(recipient.clone(), Vec::new());
        connection
            .command(recipient)
            .await
            .map_err(Failure::Mails)?;
    }
    connection.command(Data).await.map_err(Failure::Mails)?;
    connection
        .command(in_one_piece(&raw))
        .await
        .map_err(Failure::Mails)?;
    Ok(())
}

/// The mail as it goes over the wire, its end included (RFC 5321, 4.5.2). lettre writes the end by itself, and that
/// small second write waits for the acknowledgement of the first: 40 ms a mail (Nagle, delayed ACK), nearly all it took.
fn in_one_piece(raw: &[u8]) -> String {
    let mut wire = String::from_utf8_lossy(raw).replace("\r\n.", "\r\n..");
    if wire.starts_with('.') {
        wire.insert(0, '.');
    }
    if !wire.ends_with("\r\n") {
        wire.push_str("\r\n");
    }
    wire.push_str(".\r\n");
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_mail_can_end_it() {
        for (raw, wire) in [
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            (".\r\nQUIT\r\n", "..\r\nQUIT\r\n.\r\n"),
            ("a\r\n.\r\n.b\r\n..", "a\r\n..\r\n..b\r\n...\r\n.\r\n"),
        ] {
            assert_eq!(in_one_piece(raw.as_bytes()), wire, "{raw:?}");
        }
    }
}

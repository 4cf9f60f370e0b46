//! An SMTP server in the process of the test. It stores accepted mails and simulates faults.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use latchkey_shared::clock::Clock;
use tempfile::NamedTempFile;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::WAIT_TIMEOUT;

mod certificate;
mod conversation;
mod mail;

use certificate::Certificate;
pub use mail::Mail;

/// The length of the reply of [`Fault::EndlessReply`] in bytes: far more than a client should read.
const ENDLESS_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// A fault of the server, which lasts until another one is set. Numbers are SMTP reply codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server works.
    None,
    /// Closes every connection without a greeting.
    CloseConnections,
    /// Greets with this code instead of 220.
    Greeting(u16),
    /// Refuses every sender.
    RefuseSender(u16),
    /// Refuses this number of recipients.
    RefuseFirst(usize, u16),
    /// Refuses this number of attempts for each recipient.
    RefuseFirstOfEach(usize, u16),
    /// Sends no reply to these recipients. When the fault changes, their connections are closed.
    HangAtRecipients(Vec<String>),
    /// Closes the connection without a reply to these recipients.
    CloseAtRecipients(Vec<String>),
    /// Refuses these recipients.
    RefuseRecipients(Vec<String>, u16),
    /// Refuses every mail with a text that repeats its subject, as some filters do.
    RepeatSubject(u16),
    /// Refuses every login with 535.
    RefuseLogin,
    /// Sends no greeting. When the fault changes, the connections are closed.
    Hang,
    /// Sends no reply to a mail until the fault changes, and then accepts the mail.
    HangAfterData,
    /// Delays the reply to each mail.
    DelayReply(Duration),
    /// Closes the connection in the middle of a mail.
    DropInData,
    /// Accepts this number of mails and closes their connections before the 250.
    DropAfterAccept(usize),
    /// Sends this reply of one or more lines at a stage. After a 421 the connection is closed (RFC 5321, 3.8).
    Reply(Stage, &'static str),
    /// Sends one line of 16 MiB at a stage and closes the connection.
    EndlessReply(Stage),
    /// Sends this reply, which may be invalid, to these recipients.
    ReplyToRecipients(Vec<String>, &'static [u8]),
    /// Accepts this number of concurrent connections. Closes further ones, after this greeting, if any.
    MaxConnections(usize, Option<&'static str>),
    /// Closes a connection at its second mail, after this reply to the sender, if any.
    OneMailPerConnection(Option<&'static str>),
    /// Closes a connection with a 421 to the recipient of its second mail.
    CloseAtSecondRecipient,
}

/// A point of an SMTP conversation at which the server replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The client has connected.
    Greeting,
    /// `EHLO`
    Ehlo,
    /// `STARTTLS`
    StartTls,
    /// `AUTH`
    Auth,
    /// `MAIL FROM`
    Sender,
    /// `RCPT TO`
    Recipient,
    /// `DATA`
    Data,
    /// The mail has arrived.
    Body,
}

impl Stage {
    /// Returns the stage of a command.
    fn of(verb: &str) -> Option<Self> {
        Some(match verb {
            "EHLO" => Self::Ehlo,
            "STARTTLS" => Self::StartTls,
            "AUTH" => Self::Auth,
            "MAIL" => Self::Sender,
            "RCPT" => Self::Recipient,
            "DATA" => Self::Data,
            _ => return None,
        })
    }
}

/// The encryption of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// No encryption.
    Plain,
    /// The server offers STARTTLS.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// The state that all conversations share.
struct Shared {
    security: Security,
    certificate: Certificate,
    credentials: Option<(String, String)>,
    fault: watch::Sender<Fault>,
    mails: watch::Sender<Vec<Mail>>,
    /// The number of conversations in [`Fault::Hang`], [`Fault::HangAtRecipients`] or [`Fault::HangAfterData`].
    hanging: watch::Sender<usize>,
    /// The times of `RCPT TO` for each recipient.
    attempts: Mutex<HashMap<String, Vec<DateTime<Utc>>>>,
    /// Whether commands and the contents of mails are discarded.
    discards_contents: AtomicBool,
    /// All commands, without the lines of mails.
    commands: Mutex<Vec<String>>,
    /// The number of accepted connections.
    connections: AtomicUsize,
    /// The extensions in the reply to `EHLO`, instead of those that the server supports.
    extensions: Mutex<Option<Vec<&'static str>>>,
}

impl Shared {
    /// Records an attempt and returns the number of earlier ones.
    fn record_attempt(&self, recipient: &str) -> usize {
        let mut attempts = lock(&self.attempts);
        let attempts = attempts.entry(recipient.to_owned()).or_default();
        attempts.push(Clock::system().now());
        attempts.len() - 1
    }
}

/// A running server. It stops when dropped.
pub struct SmtpSink {
    shared: Arc<Shared>,
    address: SocketAddr,
    ca: NamedTempFile,
    listener: Mutex<Option<JoinHandle<()>>>,
}

impl SmtpSink {
    /// Starts a server without encryption and login on a free port of 127.0.0.1.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Security::Plain, None)
    }

    /// Starts a server. With credentials (user, password), it requires a login.
    #[must_use]
    pub fn start_with(security: Security, credentials: Option<(&str, &str)>) -> Self {
        let certificate = Certificate::generate();
        let ca = NamedTempFile::new().expect("a temporary file");
        std::fs::write(ca.path(), certificate.ca_pem()).expect("the certificate is written");
        let mut sink = Self {
            shared: Arc::new(Shared {
                security,
                certificate,
                credentials: credentials.map(|(user, pass)| (user.to_owned(), pass.to_owned())),
                fault: watch::Sender::new(Fault::None),
                mails: watch::Sender::new(Vec::new()),
                hanging: watch::Sender::new(0),
                attempts: Mutex::default(),
                discards_contents: AtomicBool::new(false),
                commands: Mutex::default(),
                connections: AtomicUsize::new(0),
                extensions: Mutex::default(),
            }),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            ca,
            listener: Mutex::default(),
        };
        sink.address = sink.listen();
        sink
    }

    /// Returns the value for `SMTP_URL`, without a `tls` parameter.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.shared.security {
            Security::Implicit => "smtps",
            Security::Plain | Security::StartTls => "smtp",
        };
        let login = self
            .shared
            .credentials
            .as_ref()
            .map_or(String::new(), |(user, pass)| format!("{user}:{pass}@"));
        format!("{scheme}://{login}localhost:{}", self.address.port())
    }

    /// Returns the path of the CA certificate, for `SMTP_CA_FILE`.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        self.ca.path()
    }

    /// Sets the fault, or ends it with [`Fault::None`].
    pub fn set_fault(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// Offers only these extensions in the reply to `EHLO`.
    pub fn offer_extensions(&self, extensions: &[&'static str]) {
        *lock(&self.shared.extensions) = Some(extensions.to_vec());
    }

    /// Returns all received commands, without the lines of mails.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        lock(&self.shared.commands).clone()
    }

    /// Returns the number of accepted connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Closes the port and all connections.
    pub fn stop(&self) {
        if let Some(listener) = lock(&self.listener).take() {
            listener.abort();
        }
    }

    /// Listens on the same port again.
    pub fn restart(&self) {
        self.stop();
        self.listen();
    }

    /// Returns all accepted mails.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.shared.mails.borrow().clone()
    }

    /// Returns the times of `RCPT TO` for each recipient, accepted or not.
    #[must_use]
    pub fn attempts(&self) -> HashMap<String, Vec<DateTime<Utc>>> {
        lock(&self.shared.attempts).clone()
    }

    /// Stores only the envelopes and Message-IDs of further mails, for tests that send many.
    pub fn discard_contents(&self) {
        self.shared.discards_contents.store(true, Ordering::Relaxed);
    }

    /// Waits until `count` mails were accepted, and returns all.
    pub async fn wait_for(&self, count: usize) -> Vec<Mail> {
        let mut mails = self.shared.mails.subscribe();
        let enough = mails.wait_for(|mails| mails.len() >= count);
        let mails = timeout(WAIT_TIMEOUT, enough).await;
        mails
            .unwrap_or_else(|_| panic!("{} of {count} mails arrived", self.mails().len()))
            .expect("the sender exists")
            .clone()
    }

    /// Waits until `count` conversations hang because of the fault.
    pub async fn wait_until_hanging(&self, count: usize) {
        let mut hanging = self.shared.hanging.subscribe();
        let enough = hanging.wait_for(|hanging| *hanging >= count);
        assert!(
            timeout(WAIT_TIMEOUT, enough).await.is_ok(),
            "{} of {count} conversations hang",
            *self.shared.hanging.borrow()
        );
    }

    /// Listens on the port of `address`, or on a free one if it is 0.
    fn listen(&self) -> SocketAddr {
        // After a restart, earlier connections of the port may be in TIME_WAIT.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("SO_REUSEADDR");
        socket.bind(self.address).expect("a free port");
        let listener: TcpListener = socket.listen(1024).expect("the port opens");
        let address = listener.local_addr().expect("its address");
        let task = tokio::spawn(conversation::accept(listener, Arc::clone(&self.shared)));
        *lock(&self.listener) = Some(task);
        address
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A real SMTP server in the test's own process: it keeps what it accepts, and fails in the ways that servers fail.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
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

/// The length of the line of [`Fault::Endless`] in bytes: far more than a client should read, and an end for one that reads it all.
pub const ENDLESS: usize = 16 * 1024 * 1024;

/// How the server fails, from now on and until it is told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It doesn't.
    None,
    /// Every connection is closed at once.
    Refuse,
    /// Every connection is greeted with this code instead of 220.
    Greeting(u16),
    /// Every sender gets this code.
    RefuseSender(u16),
    /// The next so many recipients get this code.
    ReplyFirst(usize, u16),
    /// The first so many tries of each recipient get this code.
    ReplyFirstOfEach(usize, u16),
    /// These recipients never get an answer, until the fault changes; then their connections are closed.
    HangAt(Vec<String>),
    /// These recipients get this code.
    ReplyTo(Vec<String>, u16),
    /// Every mail gets this code and, as some filters do, its own subject.
    RepeatSubject(u16),
    /// Every login gets a 535.
    RefuseLogin,
    /// Connections are accepted and never greeted, until the fault changes; then they are closed.
    Hang,
    /// The answer to a mail waits until the fault changes; then it is accepted.
    Hold,
    /// The answer to a mail takes this long.
    Slow(Duration),
    /// The connection ends in the middle of a mail.
    DropInData,
    /// The next so many mails are kept, and the connection ends before the 250.
    DropAfterAccept(usize),
    /// Every command of this stage gets this reply, of one line or more. After a 421 the connection ends (RFC 5321, 3.8).
    Reply(Stage, &'static str),
    /// Every command of this stage gets a reply of one line of [`ENDLESS`] bytes, and the connection ends.
    Endless(Stage),
    /// These recipients get this reply, which may be invalid.
    ReplyToRecipients(Vec<String>, &'static [u8]),
    /// After a mail, the next sender on its connection gets this reply, if any, and the connection ends.
    OneMailPerConnection(Option<&'static str>),
    /// After a mail, the next recipient on its connection gets a 421, and the connection ends.
    CloseAtSecondRecipient,
}

/// A moment of a conversation at which the server answers.
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
    /// The stage of a command.
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

/// How connections are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all; STARTTLS isn't offered.
    Plain,
    /// STARTTLS is offered.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// What all conversations share.
struct Shared {
    security: Security,
    certificate: Certificate,
    credentials: Option<(String, String)>,
    fault: watch::Sender<Fault>,
    mails: watch::Sender<Vec<Mail>>,
    /// How many conversations are stuck in [`Fault::Hang`], [`Fault::HangAt`] or [`Fault::Hold`].
    stuck: watch::Sender<usize>,
    /// When each recipient was tried.
    tries: Mutex<HashMap<String, Vec<DateTime<Utc>>>>,
    /// Whether mails are kept without their texts, and no command is.
    brief: AtomicBool,
    /// Every command so far but the lines of mails.
    commands: Mutex<Vec<String>>,
    /// How many connections were accepted.
    connections: AtomicUsize,
    /// What the answer to `EHLO` offers instead of what the server can do.
    offers: Mutex<Option<Vec<&'static str>>>,
}

impl Shared {
    /// Notes a try; how many there were before.
    fn note_try(&self, recipient: &str) -> usize {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = tries.entry(recipient.to_owned()).or_default();
        tries.push(Clock::system().now());
        tries.len() - 1
    }
}

/// The server. It ends with this value.
pub struct SmtpSink {
    shared: Arc<Shared>,
    address: SocketAddr,
    ca: NamedTempFile,
    listener: Mutex<Option<JoinHandle<()>>>,
}

impl SmtpSink {
    /// Starts a plain server on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Security::Plain, None)
    }

    /// Starts a server with this security; with credentials (user, password), it takes no mail before a login.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start_with(security: Security, credentials: Option<(&str, &str)>) -> Self {
        let certificate = Certificate::make();
        let ca = NamedTempFile::new().expect("a temporary file");
        std::fs::write(ca.path(), certificate.ca_pem()).expect("the certificate is written");
        let mut sink = Self {
            shared: Arc::new(Shared {
                security,
                certificate,
                credentials: credentials.map(|(user, pass)| (user.to_owned(), pass.to_owned())),
                fault: watch::Sender::new(Fault::None),
                mails: watch::Sender::new(Vec::new()),
                stuck: watch::Sender::new(0),
                tries: Mutex::default(),
                brief: AtomicBool::new(false),
                commands: Mutex::default(),
                connections: AtomicUsize::new(0),
                offers: Mutex::default(),
            }),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            ca,
            listener: Mutex::default(),
        };
        sink.address = sink.listen();
        sink
    }

    /// For `SMTP_URL`, without a `tls` parameter.
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

    /// The certificate to trust, for `SMTP_CA_FILE`.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        self.ca.path()
    }

    /// Makes it fail, or with [`Fault::None`] work again.
    pub fn set_fault(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// Offers these extensions, and no others, in the answer to `EHLO`.
    pub fn offer(&self, extensions: &[&'static str]) {
        let offers = self.shared.offers.lock();
        *offers.unwrap_or_else(PoisonError::into_inner) = Some(extensions.to_vec());
    }

    /// Every command so far, from `EHLO` on, but the lines of mails.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let commands = self.shared.commands.lock();
        commands.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Closes the port and every connection, as a server that is down.
    pub fn stop(&self) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listener.take() {
            listener.abort();
        }
    }

    /// Opens the same port again.
    ///
    /// # Panics
    /// When it was taken meanwhile.
    pub fn restart(&self) {
        self.stop();
        self.listen();
    }

    /// Everything accepted so far.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.shared.mails.borrow().clone()
    }

    /// When each recipient was tried, whatever came of it.
    #[must_use]
    pub fn tries(&self) -> HashMap<String, Vec<DateTime<Utc>>> {
        let tries = self.shared.tries.lock();
        tries.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on mails are kept without their texts, for tests that send very many.
    pub fn keep_no_texts(&self) {
        self.shared.brief.store(true, Ordering::Relaxed);
    }

    /// Waits until so many mails were accepted, and returns all.
    ///
    /// # Panics
    /// When they were not within [`WAIT_TIMEOUT`].
    pub async fn wait_for(&self, count: usize) -> Vec<Mail> {
        let mut mails = self.shared.mails.subscribe();
        let enough = mails.wait_for(|mails| mails.len() >= count);
        let mails = timeout(WAIT_TIMEOUT, enough).await;
        mails
            .unwrap_or_else(|_| panic!("{} mails of {count} arrived", self.mails().len()))
            .expect("the sink is there")
            .clone()
    }

    /// Waits until so many conversations at once are stuck in [`Fault::Hang`] or [`Fault::Hold`].
    ///
    /// # Panics
    /// When they are not within [`WAIT_TIMEOUT`].
    pub async fn wait_until_stuck(&self, count: usize) {
        let mut stuck = self.shared.stuck.subscribe();
        let enough = stuck.wait_for(|stuck| *stuck >= count);
        assert!(
            timeout(WAIT_TIMEOUT, enough).await.is_ok(),
            "{} conversations of {count} are stuck",
            *self.shared.stuck.borrow()
        );
    }

    /// Listens, on the port it has or on a free one.
    fn listen(&self) -> SocketAddr {
        // A port that is opened again may have old connections in TIME_WAIT.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("SO_REUSEADDR");
        socket.bind(self.address).expect("a free port");
        let listener: TcpListener = socket.listen(1024).expect("the port opens");
        let address = listener.local_addr().expect("its address");
        let task = tokio::spawn(conversation::accept(listener, Arc::clone(&self.shared)));
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        address
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.stop();
    }
}

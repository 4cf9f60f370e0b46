//! An SMTP server that accepts each mail at once and records the time.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// The accepted mails.
#[derive(Default)]
struct Inbox {
    /// Recipients and times of acceptance.
    mails: Mutex<Vec<(String, Instant)>>,
    accepted: Condvar,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Vec<(String, Instant)>> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server. It runs on its own thread until the program exits.
pub(crate) struct SmtpSink {
    pub(crate) address: SocketAddr,
    inbox: Arc<Inbox>,
}

impl SmtpSink {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let inbox = Arc::new(Inbox::default());
        let shared = Arc::clone(&inbox);
        thread::spawn(move || {
            runtime.block_on(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let inbox = Arc::clone(&shared);
                    // A client may disconnect at any time.
                    tokio::spawn(async move { serve(stream, &inbox).await.ok() });
                }
            });
        });
        Ok(Self { address, inbox })
    }

    /// Removes the accepted mails.
    pub(crate) fn clear(&self) {
        self.inbox.lock().clear();
    }

    /// Waits for `count` mails and returns the time of acceptance by recipient.
    pub(crate) fn wait_for(&self, count: usize) -> anyhow::Result<HashMap<String, Instant>> {
        let (mails, waited) = self
            .inbox
            .accepted
            .wait_timeout_while(self.inbox.lock(), Duration::from_mins(2), |mails| {
                mails.len() < count
            })
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            bail!("{} of {count} mails arrived within 2 minutes", mails.len());
        }
        Ok(mails.iter().cloned().collect())
    }
}

async fn serve(stream: TcpStream, inbox: &Inbox) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let (mut line, mut recipient) = (Vec::new(), String::new());
    stream.get_mut().write_all(b"220 sink ESMTP\r\n").await?;
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_slice() {
            b"EHLO" => b"250-sink\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            b"RCPT" => {
                let text = String::from_utf8_lossy(&line);
                let address = text.split(['<', '>']).nth(1).unwrap_or_default();
                address.clone_into(&mut recipient);
                b"250 ok\r\n"
            }
            b"DATA" => {
                stream.get_mut().write_all(b"354 go on\r\n").await?;
                while line != b".\r\n" {
                    line.clear();
                    if stream.read_until(b'\n', &mut line).await? == 0 {
                        return Ok(());
                    }
                }
                let mail = (std::mem::take(&mut recipient), Instant::now());
                inbox.lock().push(mail);
                inbox.accepted.notify_all();
                b"250 accepted\r\n"
            }
            b"QUIT" => {
                stream.get_mut().write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        stream.get_mut().write_all(reply).await?;
    }
}

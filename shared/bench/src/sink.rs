//! An SMTP server that takes every mail at once and notes when.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// What was taken: recipients, and when.
#[derive(Default)]
struct Taken {
    mails: Mutex<Vec<(String, Instant)>>,
    more: Condvar,
}

/// The server, on a thread of its own for as long as the program runs.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    taken: Arc<Taken>,
}

impl Sink {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let taken = Arc::new(Taken::default());
        let shared = Arc::clone(&taken);
        thread::spawn(move || {
            runtime.block_on(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    // A client that goes away is no matter.
                    let taken = Arc::clone(&shared);
                    tokio::spawn(async move { converse(stream, &taken).await.ok() });
                }
            });
        });
        Ok(Self { address, taken })
    }

    /// Forgets what it has taken.
    pub(crate) fn clear(&self) {
        self.taken
            .mails
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Waits until it has so many mails; when each recipient's came.
    pub(crate) fn wait_for(&self, count: usize) -> anyhow::Result<HashMap<String, Instant>> {
        let mails = self.taken.mails.lock();
        let mails = mails.unwrap_or_else(PoisonError::into_inner);
        let (mails, waited) = self
            .taken
            .more
            .wait_timeout_while(mails, Duration::from_mins(2), |mails| mails.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            bail!("{} of {count} mails came", mails.len());
        }
        Ok(mails.iter().cloned().collect())
    }
}

async fn converse(stream: TcpStream, taken: &Taken) -> std::io::Result<()> {
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
        let answer: &[u8] = match verb.as_slice() {
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
                taken
                    .mails
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(mail);
                taken.more.notify_all();
                b"250 taken\r\n"
            }
            b"QUIT" => {
                stream.get_mut().write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        stream.get_mut().write_all(answer).await?;
    }
}

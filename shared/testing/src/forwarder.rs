//! A TCP forwarder that can be cut: to whoever connects through it, the server behind it goes away and comes back.

use std::sync::{Mutex, PoisonError};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A forwarder on a port of its own.
pub struct Forwarder {
    port: u16,
    target: String,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Forwarder {
    /// Forwards to `target`, a host and a port.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        Self {
            port,
            target: target.to_owned(),
            running: Mutex::new(Some(forward(listener, target))),
        }
    }

    /// Where to connect instead of to the target.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends every connection and refuses new ones.
    pub fn cut(&self) {
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(running) = running {
            running.abort();
        }
    }

    /// Forwards again.
    ///
    /// # Panics
    /// When somebody took the port meanwhile.
    pub async fn mend(&self) {
        let listener = TcpListener::bind(self.address()).await.expect("the port");
        let running = forward(listener, &self.target);
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.cut();
    }
}

fn forward(listener: TcpListener, target: &str) -> JoinHandle<()> {
    let target = target.to_owned();
    tokio::spawn(async move {
        // Its connections end with it.
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let target = target.clone();
            connections.spawn(async move {
                if let Ok(mut server) = TcpStream::connect(&target).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    })
}

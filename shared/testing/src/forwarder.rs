//! A TCP forwarder that can be cut, and fall silent: to whoever connects through it, the server behind it goes away and comes
//! back.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::broadcast::{self, Receiver, Sender},
    task::{JoinHandle, JoinSet},
};
use url::Url;

/// A forwarder on a port of its own.
pub struct Forwarder {
    address: SocketAddr,
    /// Host and port of the server that new connections lead to.
    target: Arc<Mutex<String>>,
    running: Mutex<Option<JoinHandle<()>>>,
    silence: Sender<()>,
}

impl Forwarder {
    /// Forwards to the server of a URL; the same URL through here.
    ///
    /// # Panics
    /// When the URL has no host and port, or no port is free.
    pub async fn before(url: &str) -> (Self, String) {
        let mut url = Url::parse(url).expect("a URL");
        let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port"));
        let target = Arc::new(Mutex::new(format!("{host}:{port}")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        url.set_ip_host(address.ip()).expect("a URL with a host");
        url.set_port(Some(address.port())).expect("one with a port");
        let (silence, _) = broadcast::channel(1);
        let line = Self {
            running: Mutex::new(Some(forward(listener, &target, &silence))),
            address,
            target,
            silence,
        };
        (line, url.into())
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

    /// Lets every connection fall silent, as when the host behind it dies: the server loses it, and the client never hears of
    /// it again, not even that it is over. New ones are forwarded.
    pub fn silence(&self) {
        // Nobody listens where there is no connection.
        let _ = self.silence.send(());
    }

    /// Forwards new connections to the server of another URL, as a name does after a failover. Those that are open stay.
    ///
    /// # Panics
    /// When the URL has no host and port.
    pub fn redirect(&self, url: &str) {
        let url = Url::parse(url).expect("a URL");
        let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port"));
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = format!("{host}:{port}");
    }

    /// Forwards again.
    ///
    /// # Panics
    /// When somebody took the port meanwhile.
    pub async fn mend(&self) {
        let listener = TcpListener::bind(self.address).await.expect("the port");
        let running = forward(listener, &self.target, &self.silence);
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.cut();
    }
}

fn forward(
    listener: TcpListener,
    target: &Arc<Mutex<String>>,
    silence: &Sender<()>,
) -> JoinHandle<()> {
    let (target, silence) = (Arc::clone(target), silence.clone());
    tokio::spawn(async move {
        // Its connections end with it.
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let target = target.lock().unwrap_or_else(PoisonError::into_inner);
            connections.spawn(connect(client, target.clone(), silence.subscribe()));
        }
    })
}

async fn connect(mut client: TcpStream, target: String, mut silence: Receiver<()>) {
    let forwarded = async {
        if let Ok(mut server) = TcpStream::connect(&target).await {
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    };
    tokio::select! {
        () = forwarded => {}
        _ = silence.recv() => pending().await,
    }
}

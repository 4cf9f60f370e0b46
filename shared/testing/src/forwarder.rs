//! A TCP forwarder that simulates network failures between a client and a server.

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

/// A forwarder on its own port of 127.0.0.1. It stops when dropped.
pub struct Forwarder {
    address: SocketAddr,
    /// Host and port that new connections are forwarded to.
    target: Arc<Mutex<String>>,
    task: Mutex<Option<JoinHandle<()>>>,
    stall: Sender<()>,
}

impl Forwarder {
    /// Starts a forwarder to the server of a URL. Returns it with the same URL at the forwarder's address.
    pub async fn start(url: &str) -> (Self, String) {
        let target = Arc::new(Mutex::new(host_and_port(url)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let mut url = Url::parse(url).expect("a URL");
        url.set_ip_host(address.ip()).expect("a URL with a host");
        url.set_port(Some(address.port())).expect("one with a port");
        let (stall, _) = broadcast::channel(1);
        let forwarder = Self {
            task: Mutex::new(Some(forward(listener, &target, &stall))),
            address,
            target,
            stall,
        };
        (forwarder, url.into())
    }

    /// Closes all connections and refuses new ones.
    pub fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.abort();
        }
    }

    /// Listens on the same port again.
    pub async fn restart(&self) {
        let listener = TcpListener::bind(self.address).await.expect("the port");
        let task = forward(listener, &self.target, &self.stall);
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Stops forwarding on all open connections, as when the server's host crashes: the server sees a close, and the client
    /// gets neither data nor a close. New connections are forwarded.
    pub fn stall_connections(&self) {
        // Sending fails if no connection is open.
        let _ = self.stall.send(());
    }

    /// Forwards new connections to the server of another URL, as after a DNS failover. Open connections remain.
    pub fn redirect(&self, url: &str) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = host_and_port(url);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop();
    }
}

fn host_and_port(url: &str) -> String {
    let url = Url::parse(url).expect("a URL");
    let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port"));
    format!("{host}:{port}")
}

fn forward(
    listener: TcpListener,
    target: &Arc<Mutex<String>>,
    stall: &Sender<()>,
) -> JoinHandle<()> {
    let (target, stall) = (Arc::clone(target), stall.clone());
    tokio::spawn(async move {
        // Aborting this task drops the set, which closes the connections.
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let target = target.lock().unwrap_or_else(PoisonError::into_inner);
            connections.spawn(connect(client, target.clone(), stall.subscribe()));
        }
    })
}

async fn connect(mut client: TcpStream, target: String, mut stall: Receiver<()>) {
    let forwarded = async {
        if let Ok(mut server) = TcpStream::connect(&target).await {
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    };
    tokio::select! {
        () = forwarded => {}
        _ = stall.recv() => pending().await,
    }
}

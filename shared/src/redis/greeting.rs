//! Reads why Redis refuses a new connection.
//!
//! A Redis that accepts no further client (`maxclients`), or only local ones (protected mode), sends an error and closes the
//! connection. A client that is still writing gets "broken pipe" or "connection reset" instead of that error.

use std::{io, time::Duration};

use fred::types::config::Config;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::{dependency::Refusal, redis::fault};

/// The timeout of connection and error. A Redis that accepts a client sends nothing, so this delays the check of a Redis that
/// fails in another way.
const TIMEOUT: Duration = Duration::from_millis(300);

/// The maximum length of an error in bytes.
const MAX_LENGTH: u64 = 1024;

/// The address of a Redis without TLS: nothing is sent before the handshake of TLS.
pub(crate) type Address = (String, u16);

/// Returns the address of a configuration.
pub(crate) fn address(config: &Config) -> Option<Address> {
    if config.uses_tls() {
        return None;
    }
    let server = config.server.hosts().into_iter().next()?;
    Some((server.host.to_string(), server.port))
}

/// Returns the error that Redis sends to new connections. `None` if it sends none.
pub(crate) async fn read((host, port): &Address) -> Option<Refusal> {
    let line = timeout(TIMEOUT, read_line(host, *port));
    let line = line.await.ok()?.ok()?;
    let error = line.strip_prefix('-')?;
    Some(fault::from_text(error.trim_end()))
}

async fn read_line(host: &str, port: u16) -> io::Result<String> {
    let stream = TcpStream::connect((host, port)).await?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LENGTH))
        .read_line(&mut line)
        .await?;
    Ok(line)
}

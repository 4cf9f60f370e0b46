//! The last step of a mail: to an SMTP server, or to a file. Who understands its errors sits here, too.

use std::{io, path::PathBuf, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    transport::smtp::{
        self, PoolConfig,
        authentication::Credentials,
        client::{self, TlsParameters},
    },
};
use tokio::{fs, time};
use uuid::Uuid;

use crate::{
    config::Way,
    smtp_url::{SmtpUrl, Tls},
};

/// Answers that begin with a 5 but speak of us, not of the recipient or the mail: no such command (500, 502, 503,
/// 504), no mail here at all (521), and all about logging in and TLS (530, 534, 535, 538).
const ABOUT_US: [u16; 9] = [500, 502, 503, 504, 521, 530, 534, 535, 538];

/// The same in enhanced codes (RFC 3463): the sender's address, the receiving system, logging in and TLS.
const ABOUT_US_ENHANCED: [&str; 9] = [
    "5.1.7", "5.1.8", "5.3.0", "5.3.2", "5.3.5", "5.7.8", "5.7.9", "5.7.10", "5.7.11",
];

/// Where mails go.
pub enum Transport {
    /// To a server, over pooled connections.
    Smtp {
        /// The pool.
        client: AsyncSmtpTransport<Tokio1Executor>,
        /// How long one mail may take.
        timeout: Duration,
    },
    /// To a folder, a file for each.
    Folder(PathBuf),
}

/// Why a mail was not sent. Neither variant's text holds what the mail says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// This mail will never be taken for this recipient; the server's words.
    #[error("{0}")]
    Permanent(String),
    /// Anything else: it may work later.
    #[error("{0}")]
    Temporary(String),
}

impl Transport {
    /// Prepares the way, for so many mails at once. Nothing is connected yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(way: &Way, concurrency: usize) -> Result<Self, smtp::Error> {
        let (url, authority, timeout) = match way {
            Way::Folder(folder) => return Ok(Self::Folder(folder.clone())),
            Way::Smtp {
                url,
                authority,
                timeout,
            } => (url, authority, *timeout),
        };
        let connections = u32::try_from(concurrency).unwrap_or(u32::MAX);
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&url.host)
            .port(url.port)
            .tls(tls(url, authority.clone())?)
            .timeout(Some(timeout))
            .pool_config(PoolConfig::new().max_size(connections));
        if let Some((user, password)) = url.credentials.clone() {
            builder = builder.credentials(Credentials::new(user, password));
        }
        Ok(Self::Smtp {
            client: builder.build(),
            timeout,
        })
    }

    /// Sends a mail. When it returns Ok, somebody else has it.
    ///
    /// # Errors
    /// When the mail wasn't taken, or nobody knows whether it was.
    pub async fn send(&self, id: Uuid, message: &Message) -> Result<(), SendError> {
        match self {
            Self::Folder(folder) => write(folder, id, message)
                .await
                .map_err(|error| SendError::Temporary(format!("MAIL_DIR: {error}"))),
            Self::Smtp { client, timeout } => {
                // The pool's own time-out covers the connect alone; a server that falls silent later would hold on to
                // its slot for ever.
                let sent = time::timeout(*timeout, client.send(message.clone())).await;
                let error = match sent {
                    Ok(Ok(_)) => return Ok(()),
                    Ok(Err(error)) => error,
                    Err(_) => {
                        let seconds = timeout.as_secs();
                        let text = format!("the server did not answer within {seconds} s");
                        return Err(SendError::Temporary(text));
                    }
                };
                let about_this_mail =
                    is_about_this_mail(&error) && takes_mail(client, *timeout).await;
                Err(if about_this_mail {
                    SendError::Permanent(error.to_string())
                } else {
                    SendError::Temporary(error.to_string())
                })
            }
        }
    }
}

/// The one place that tells refusals for good from all other trouble.
fn is_about_this_mail(error: &smtp::Error) -> bool {
    let Some(status) = error.status().filter(|_| error.is_permanent()) else {
        return false;
    };
    let words = error.to_string();
    let enhanced = |code: &str| words.split_whitespace().any(|word| word == code);
    !ABOUT_US.contains(&u16::from(status)) && !ABOUT_US_ENHANCED.into_iter().any(enhanced)
}

/// Whether the server takes mail at all. One that greets everybody with a 5xx looks, in lettre's errors, like one that
/// refuses this mail; asking again without a mail shows the difference.
async fn takes_mail(client: &AsyncSmtpTransport<Tokio1Executor>, timeout: Duration) -> bool {
    matches!(
        time::timeout(timeout, client.test_connection()).await,
        Ok(Ok(true))
    )
}

fn tls(url: &SmtpUrl, authority: Option<client::Certificate>) -> Result<client::Tls, smtp::Error> {
    if url.tls == Tls::None {
        return Ok(client::Tls::None);
    }
    let mut parameters = TlsParameters::builder(url.host.clone());
    if let Some(authority) = authority {
        parameters = parameters.add_root_certificate(authority);
    }
    let parameters = parameters.build()?;
    Ok(match url.tls {
        Tls::Implicit => client::Tls::Wrapper(parameters),
        Tls::Required => client::Tls::Required(parameters),
        Tls::Opportunistic | Tls::None => client::Tls::Opportunistic(parameters),
    })
}

/// Under a temporary name first, so that whoever watches the folder never reads half a mail.
async fn write(folder: &PathBuf, id: Uuid, message: &Message) -> io::Result<()> {
    fs::create_dir_all(folder).await?;
    let unfinished = folder.join(format!(".{id}.tmp"));
    fs::write(&unfinished, message.formatted()).await?;
    fs::rename(&unfinished, folder.join(format!("{id}.eml"))).await
}

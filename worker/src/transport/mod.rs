//! Sends mails to an SMTP server, or writes them to files.

pub mod redaction;
pub mod smtp;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use latchkey_shared::models::mail::delivery_health::{DeliveryFailure, FailureCause};
use lettre::{Message, transport::smtp as lettre_smtp};
use tokio::fs;
use uuid::Uuid;

use crate::{config::MailDestination, transport::smtp::Smtp};

/// Where mails are sent.
pub enum Transport {
    /// To an SMTP server.
    Smtp(Box<Smtp>),
    /// To a folder, a file for each mail.
    Folder(PathBuf),
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{description}{reply}")]
pub struct SendError {
    /// Latchkey's description of the failure.
    pub description: String,
    /// The text of the server's reply, if any, without credentials.
    pub reply: String,
    /// The cause of the failure.
    pub failure: DeliveryFailure,
    /// Whether the server permanently refuses the recipient's address or mailbox.
    pub is_final: bool,
}

impl SendError {
    /// Creates an error for a failure before any reply of the server.
    #[must_use]
    pub fn unreachable(description: String) -> Self {
        Self {
            description,
            reply: String::new(),
            failure: DeliveryFailure {
                cause: FailureCause::Connection,
                reply: String::new(),
            },
            is_final: false,
        }
    }
}

impl Transport {
    /// Creates the transport, without connecting.
    pub fn new(destination: &MailDestination) -> Result<Self, lettre_smtp::Error> {
        Ok(match destination {
            MailDestination::Folder(folder) => Self::Folder(folder.clone()),
            MailDestination::Smtp(server) => Self::Smtp(Box::new(Smtp::new(server)?)),
        })
    }

    /// Sends a mail before it expires, in `remaining`. `Ok` means that the server or the folder has it.
    ///
    /// # Errors
    /// When the mail was not accepted, or it is unknown whether it was.
    pub async fn send(
        &self,
        id: Uuid,
        message: &Message,
        remaining: Duration,
    ) -> Result<(), SendError> {
        match self {
            Self::Smtp(server) => server.send(message, remaining).await,
            Self::Folder(folder) => write(folder, id, message)
                .await
                .map_err(|error| SendError::unreachable(format!("MAIL_DIR: {error}"))),
        }
    }

    /// Checks that mails could be sent now, without sending one. Returns whether the connection to the SMTP server was encrypted.
    pub async fn probe(&self) -> Result<bool, SendError> {
        match self {
            Self::Smtp(server) => server.probe().await,
            Self::Folder(folder) => check_writable(folder)
                .await
                .map(|()| false)
                .map_err(|error| SendError::unreachable(format!("MAIL_DIR: {error}"))),
        }
    }
}

async fn check_writable(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder).await?;
    let file = folder.join(format!(".{}.tmp", Uuid::now_v7()));
    fs::write(&file, b"").await?;
    fs::remove_file(&file).await
}

/// Writes a file under a temporary name and renames it, so that readers of the folder never see half a mail.
async fn write(folder: &Path, id: Uuid, message: &Message) -> io::Result<()> {
    fs::create_dir_all(folder).await?;
    let temporary = folder.join(format!(".{id}.tmp"));
    fs::write(&temporary, message.formatted()).await?;
    fs::rename(&temporary, folder.join(format!("{id}.eml"))).await
}

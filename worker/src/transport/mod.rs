//! The last step of a mail: to an SMTP server, or to a file.

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

/// Where mails go.
pub enum Transport {
    /// To a server.
    Smtp(Box<Smtp>),
    /// To a folder, a file for each.
    Folder(PathBuf),
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// The server's words.
    pub message: String,
    /// What made the attempt fail.
    pub failure: DeliveryFailure,
    /// Whether the server refuses this recipient's address or mailbox for good.
    pub is_final: bool,
}

impl SendError {
    /// A failure before any reply of a server.
    #[must_use]
    pub fn unreachable(message: String) -> Self {
        Self {
            message,
            failure: DeliveryFailure {
                cause: FailureCause::Connection,
                reply: String::new(),
            },
            is_final: false,
        }
    }
}

impl Transport {
    /// Prepares the way. Nothing is connected yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(way: &MailDestination) -> Result<Self, lettre_smtp::Error> {
        Ok(match way {
            MailDestination::Folder(folder) => Self::Folder(folder.clone()),
            MailDestination::Smtp(server) => Self::Smtp(Box::new(Smtp::new(server)?)),
        })
    }

    /// Sends a mail, or gives up after `worth`, when it would be worth nothing any more. When it returns Ok, somebody
    /// else has it.
    ///
    /// # Errors
    /// When the mail wasn't taken, or nobody knows whether it was.
    pub async fn send(
        &self,
        id: Uuid,
        message: &Message,
        worth: Duration,
    ) -> Result<(), SendError> {
        match self {
            Self::Smtp(server) => server.send(message, worth).await,
            Self::Folder(folder) => write(folder, id, message)
                .await
                .map_err(|error| SendError::unreachable(format!("MAIL_DIR: {error}"))),
        }
    }

    /// Whether mails can be handed over just now; none is.
    ///
    /// # Errors
    /// When not, with the reason.
    pub async fn probe(&self) -> Result<(), SendError> {
        match self {
            Self::Smtp(server) => server.probe().await,
            Self::Folder(folder) => try_writing(folder)
                .await
                .map_err(|error| SendError::unreachable(format!("MAIL_DIR: {error}"))),
        }
    }
}

async fn try_writing(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder).await?;
    let file = folder.join(format!(".{}.tmp", Uuid::now_v7()));
    fs::write(&file, b"").await?;
    fs::remove_file(&file).await
}

/// Under a temporary name first, so that whoever watches the folder never reads half a mail.
async fn write(folder: &Path, id: Uuid, message: &Message) -> io::Result<()> {
    fs::create_dir_all(folder).await?;
    let unfinished = folder.join(format!(".{id}.tmp"));
    fs::write(&unfinished, message.formatted()).await?;
    fs::rename(&unfinished, folder.join(format!("{id}.eml"))).await
}

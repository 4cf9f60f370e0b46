//! Mails that the SMTP server has accepted, but whose record failed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use latchkey_shared::models::password_reset;
use uuid::Uuid;

use crate::delivery::outcome::DeliveryResult;

/// The maximum number of mails. Further ones may be sent twice.
const MAX_MAILS: usize = 10_000;

/// Remembers accepted mails until they are recorded, so that this worker does not send them again.
#[derive(Default)]
pub(super) struct AcceptedMails(Mutex<HashMap<Uuid, Option<password_reset::Model>>>);

impl AcceptedMails {
    /// Adds a mail, with the reset whose code it carried.
    pub(super) fn add(&self, id: Uuid, reset: Option<password_reset::Model>) {
        let mut mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if mails.len() < MAX_MAILS {
            mails.insert(id, reset);
        }
    }

    /// Removes a mail. Returns its result, if it was there.
    pub(super) fn take(&self, id: Uuid) -> Option<DeliveryResult> {
        let mut mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mails.remove(&id).map(DeliveryResult::Sent)
    }
}

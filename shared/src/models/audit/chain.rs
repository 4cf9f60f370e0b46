//! The MACs of the chain of audit events.

use ring::hmac;

use crate::crypto::{hex, token_hash::equal};
use crate::models::audit::Model;

/// Replaces the previous hash in the MAC of an event that was appended to a head with a wrong seal. So [`verify`] keeps
/// reporting the event, whatever is appended after it.
///
/// [`verify`]: crate::models::audit::verify
pub(super) const HEAD_TAMPERED: &str = "torn";

/// The key of the audit log, a data key.
#[derive(Clone)]
pub struct AuditKey(hmac::Key);

impl AuditKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// Returns the MAC over an event and the hash before it. The length of each field is part of the MAC, so that no two
    /// different events have the same input.
    pub(super) fn hash(&self, row: &Model, before: &str) -> String {
        let mut mac = hmac::Context::with_key(&self.0);
        let mut add = |field: Option<&str>| match field {
            Some(text) => {
                mac.update(&(text.len() as u64).to_be_bytes());
                mac.update(text.as_bytes());
            }
            None => mac.update(&u64::MAX.to_be_bytes()),
        };
        add(Some("event"));
        add(Some(before));
        add(Some(&row.seq.to_string()));
        add(Some(&row.at.timestamp_micros().to_string()));
        add(Some(&row.event));
        add(Some(&row.outcome));
        add(Some(&row.actor));
        add(row.user_id.map(|id| id.to_string()).as_deref());
        add(row.session_id.map(|id| id.to_string()).as_deref());
        add(row.subject.as_deref());
        add(row.client_ip.as_deref());
        add(Some(&row.request_id));
        add(row.detail.as_deref());
        // The rest is left out if it is empty, so that earlier events keep their MACs.
        if row.changes.is_some() {
            add(row.changes.as_deref());
        }
        if row.details_hash.is_some() {
            add(Some("details"));
            add(row.details_hash.as_deref());
        }
        hex(mac.sign().as_ref())
    }

    /// Returns the MAC over the details of an event.
    pub(super) fn details_hash(&self, seq: i64, content: &str) -> String {
        hex(hmac::sign(&self.0, format!("details {seq} {content}").as_bytes()).as_ref())
    }

    /// Returns the seal of a head.
    pub(super) fn seal(&self, seq: i64, hash: &str) -> String {
        hex(hmac::sign(&self.0, format!("head {seq} {hash}").as_bytes()).as_ref())
    }
    /// Returns whether `seal` is the seal of this head. Compares in constant time.
    pub(super) fn seals(&self, seq: i64, hash: &str, seal: &str) -> bool {
        equal(self.seal(seq, hash).as_bytes(), seal.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    /// L1: events that earlier versions stored with their client IP stay valid.
    #[test]
    fn earlier_event_with_client_ip_keeps_its_mac() {
        let event = Model {
            seq: 1,
            at: DateTime::UNIX_EPOCH,
            event: "authn_login_success".to_owned(),
            outcome: "success".to_owned(),
            actor: "user 7".to_owned(),
            user_id: Some(7),
            session_id: None,
            subject: None,
            client_ip: Some("192.0.2.1".to_owned()),
            request_id: "request".to_owned(),
            detail: None,
            changes: None,
            details_hash: None,
            hash: String::new(),
        };
        let key = AuditKey::new(&[7; 32]);
        let mac = "d4619d2393e3a3540f6cdf3aa69de1e71565d690e4e939bf293c8090da6d7e17";
        assert_eq!(key.hash(&event, ""), mac);
        let erased = Model {
            client_ip: None,
            ..event
        };
        assert_ne!(key.hash(&erased, ""), mac);
    }
}

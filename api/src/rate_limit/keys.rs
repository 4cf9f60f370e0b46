//! The Redis keys of counters and of the lists that track them.

use std::{collections::BTreeSet, fmt::Display};

use latchkey_shared::{
    redis::{self, TypedKey},
    types::email::{Email, EmailKey},
};

use super::{
    Limiter,
    failed_attempts::{FAILED_ATTEMPTS_TTL, UNKNOWN_EMAIL_FAILURES_TTL},
};
use crate::http::client_ip::ClientIp;

impl Limiter {
    pub(super) fn key(&self, name: impl Display) -> String {
        format!("{}:limit:{name}", self.namespace)
    }

    pub(super) fn ip_key(&self, limit: &str, network: &str) -> String {
        self.key(format_args!("{limit}:ip:{network}"))
    }

    pub(super) fn account_key(&self, limit: &str, user_id: i64) -> String {
        self.key(format_args!("{limit}:{user_id}"))
    }

    pub(super) fn mailbox_key(&self, limit: &str, mailbox: &EmailKey) -> String {
        let fingerprint = self.fingerprints.of_mailbox(mailbox);
        self.key(format_args!("{limit}:email:{fingerprint}"))
    }

    /// Returns the key of the wrong codes for a mailbox from one customer network (IPv6: /48).
    pub(super) fn otp_key(&self, client_ip: ClientIp, mailbox: &EmailKey) -> String {
        let mailbox = self.mailbox_key("otp-ip", mailbox);
        format!("{mailbox}/{}", client_ip.customer_network())
    }

    pub(super) fn change_failed_attempts_key(&self, user_id: i64) -> String {
        self.account_key("change_failed_attempts", user_id)
    }

    pub(super) fn second_factor_failed_attempts_key(&self, user_id: i64) -> String {
        self.account_key("second_factor_failed_attempts", user_id)
    }

    pub(super) fn failed_attempts_key(&self, email: &Email) -> String {
        self.mailbox_key("failed_attempts", &email.key())
    }

    pub(super) fn failures_key(&self, email: &Email) -> String {
        self.mailbox_key("failed", &email.key())
    }

    /// The sorted set of current lockouts, scored by their end.
    pub(super) fn lockouts_key(&self) -> String {
        redis::lockouts_key(&self.namespace)
    }

    /// The prefix of the lists that track counters. The lifetime of their counters in seconds follows it, see `track.lua`.
    pub(super) fn lists_key(&self) -> String {
        self.key("newest:")
    }

    /// Returns the keys that all clients share, for the health check.
    #[must_use]
    pub fn fixed_keys(&self) -> Vec<TypedKey> {
        let keys = self.lists().into_iter().chain([self.lockouts_key()]);
        keys.map(|key| (key, "zset")).collect()
    }

    /// Returns the keys of all lists that track counters.
    pub(super) fn lists(&self) -> BTreeSet<String> {
        let rates = &self.rates;
        [
            rates.login_ip,
            rates.register_ip,
            rates.reset_ip,
            rates.otp_ip,
            rates.otp_email,
            rates.otp_email_ip,
            rates.reset_password_ip,
            rates.picture_ip,
        ]
        .into_iter()
        .map(|rate| rate.seconds)
        .chain([FAILED_ATTEMPTS_TTL, UNKNOWN_EMAIL_FAILURES_TTL])
        .map(|ttl| format!("{}{ttl}", self.lists_key()))
        .collect()
    }
}

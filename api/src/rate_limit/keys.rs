//! The names of counters in Redis, and of their lists.

use std::collections::BTreeSet;

use latchkey_shared::types::email::{Email, EmailKey};

use super::{
    INVENTED_REMEMBERED, Limiter, STRIKES_REMEMBERED,
    counters::{Counters, Owner},
};
use latchkey_shared::config::rate::Rate;

use crate::{config::rates::Rates, http::client_ip::ClientIp};

/// How many times the limit of one client network all networks of an IPv6 site have together.
const SITE_FACTOR: u32 = 10;

impl Limiter {
    /// Adds the windows of a limit by client IP: that of the client network and, for IPv6, that of the site around it.
    pub(super) fn client_windows(
        &self,
        counters: &mut Counters,
        what: &str,
        client_ip: ClientIp,
        rate: Rate,
    ) {
        let key = |network: &str| format!("{}:limit:{what}:ip:{network}", self.namespace);
        counters.window(key(&client_ip.network()), rate, Owner::Anyone);
        if let Some(site) = client_ip.site() {
            let rate = Rate::new(rate.count.saturating_mul(SITE_FACTOR), rate.seconds);
            counters.window(key(&site), rate, Owner::Anyone);
        }
    }

    /// The lists on which counters can be that a success or staff reset.
    pub(super) fn lists(&self) -> BTreeSet<String> {
        let Rates {
            login_ip,
            register_ip,
            reset_ip,
            otp_ip,
            otp_email,
            otp_email_ip,
            reset_password_ip,
            picture_ip,
            ..
        } = self.rates;
        let windows = [
            login_ip,
            register_ip,
            reset_ip,
            otp_ip,
            otp_email,
            otp_email_ip,
            reset_password_ip,
            picture_ip,
        ];
        windows
            .into_iter()
            .map(|rate| rate.seconds)
            .chain([STRIKES_REMEMBERED, INVENTED_REMEMBERED])
            .map(|kept| format!("{}{kept}", self.lists_key()))
            .collect()
    }

    /// The beginning of the names of the lists of counters, to which their lifetime in seconds belongs: `track.lua`.
    pub(super) fn lists_key(&self) -> String {
        format!("{}:limit:newest:", self.namespace)
    }

    pub(super) fn email_key(&self, what: &str, email: &Email) -> String {
        self.mailbox_key(what, &email.key())
    }

    pub(super) fn mailbox_key(&self, what: &str, mailbox: &EmailKey) -> String {
        format!(
            "{}:limit:{what}:email:{}",
            self.namespace,
            self.hasher.fingerprint(mailbox)
        )
    }

    /// Wrong codes for a mailbox from one client network.
    pub(super) fn otp_key(&self, client_ip: ClientIp, mailbox: &EmailKey) -> String {
        format!(
            "{}/{}",
            self.mailbox_key("otp-ip", mailbox),
            client_ip.network()
        )
    }

    pub(super) fn account_key(&self, what: &str, user_id: i64) -> String {
        format!("{}:limit:{what}:{user_id}", self.namespace)
    }

    pub(super) fn change_failed_attempts_key(&self, user_id: i64) -> String {
        self.account_key("change_failed_attempts", user_id)
    }

    pub(super) fn failed_attempts_key(&self, email: &Email) -> String {
        self.email_key("failed_attempts", email)
    }

    pub(super) fn failed_key(&self, email: &Email) -> String {
        self.email_key("failed", email)
    }
}

//! The table of rate limits: which setting, which counters, and the action that the audit log names.

use latchkey_shared::{
    config::rate::Rate,
    models::{
        audit::{Details, Event, EventKind},
        user,
    },
    types::email::{Email, EmailKey},
};

use super::{
    AttemptGuard, Limiter,
    counter::{Counter, Owner},
};
use crate::{
    app_state::App,
    http::{audit_context::AuditContext, client_ip::ClientIp, error::ApiError},
};

/// Factor between the limit of an IPv6 site (/48) and that of one client network (/64).
const SITE_FACTOR: u32 = 10;

/// A rate-limited request with the subjects that it is counted for, besides the client IP.
#[derive(Clone, Copy)]
pub enum Limit<'a> {
    /// A login. Without an email, only the client IP is checked: the body has not been read.
    Login(Option<&'a Email>),
    /// A registration.
    Registration,
    /// A request for a one-time code. The outbox limits the codes for one mailbox: the response must not depend on
    /// them, and requests by strangers must not block the owner.
    CodeRequest,
    /// An attempt at a one-time code, before its request is looked up.
    Code,
    /// An attempt at a code for a mailbox, counted over all requests and whether or not an account exists. One customer
    /// network (IPv6: /48) gets only a part of these attempts, so that it cannot use up the owner's.
    MailboxCode {
        /// The mailbox that the code was sent to.
        mailbox: &'a EmailKey,
        /// Whether the mailbox belongs to an account.
        has_account: bool,
    },
    /// A new password with a reset token, before the token is looked up.
    PasswordReset,
    /// A password change by a logged-in user, or another call that asks for the current password. Its failed attempts are separate from those of logins, which anyone can
    /// cause.
    PasswordChange(&'a user::Model),
    /// A second factor of an account whose password was verified. Its failed attempts are separate from those of passwords, which
    /// anyone can cause.
    SecondFactor(&'a user::Model),
    /// An email change by a logged-in user. Its response shows whether an account has the new email.
    EmailChange(&'a user::Model),
    /// An export of an account by its owner.
    Export(&'a user::Model),
    /// An account that a staff member creates, or an invitation that the staff member sends again.
    Invitation(&'a user::Model),
    /// A picture upload by an account. A registration has no account yet.
    PictureUpload(Option<i64>),
}

impl Limit<'_> {
    /// Returns the account that the limit is about, if the request is authenticated. The others do not look it up.
    fn user_id(self) -> Option<i64> {
        match self {
            Self::PasswordChange(user)
            | Self::SecondFactor(user)
            | Self::EmailChange(user)
            | Self::Export(user)
            | Self::Invitation(user) => Some(user.id),
            Self::PictureUpload(user_id) => user_id,
            _ => None,
        }
    }
}

/// A row of the table.
struct Definition {
    /// Names the action in the audit log.
    action: &'static str,
    /// The mailbox that the audit event is about.
    mailbox: Option<EmailKey>,
    counters: Vec<Counter>,
}

impl App {
    /// Checks whether a request is within its limit, without counting it.
    pub async fn check_limit(
        &self,
        audit: &AuditContext,
        limit: Limit<'_>,
    ) -> Result<(), ApiError> {
        let attempt = self.run_limit(audit, limit, false).await;
        attempt.map(AttemptGuard::commit)
    }

    /// Counts a request if it is within its limit.
    pub async fn count_request(
        &self,
        audit: &AuditContext,
        limit: Limit<'_>,
    ) -> Result<(), ApiError> {
        let attempt = self.count_attempt(audit, limit).await;
        attempt.map(AttemptGuard::commit)
    }

    /// Counts an attempt at a password or code if it is within its limit. The caller commits it after the comparison.
    pub async fn count_attempt(
        &self,
        audit: &AuditContext,
        limit: Limit<'_>,
    ) -> Result<AttemptGuard, ApiError> {
        self.run_limit(audit, limit, true).await
    }

    /// Records an audit event if the request is rate limited.
    async fn run_limit(
        &self,
        audit: &AuditContext,
        limit: Limit<'_>,
        is_counted: bool,
    ) -> Result<AttemptGuard, ApiError> {
        let limiter = &self.limits;
        let Definition {
            action,
            mailbox,
            counters,
        } = limiter.define(limit, audit.client_ip);
        let outcome = limiter.run(counters, is_counted, self.now()).await;
        if let Err(ApiError::TooManyRequests(_)) = &outcome {
            let details = Details {
                email: mailbox.as_ref().map(|it| it.as_str().to_owned()),
                ..Details::default()
            };
            let event = Event {
                user_id: limit.user_id(),
                details,
                detail: Some(action.to_owned()),
                subject: mailbox.map(|mailbox| self.audit_subject(&mailbox)),
                ..audit.anonymous(EventKind::RateLimitExceeded)
            };
            self.record_sampled(audit, action, event).await;
        }
        outcome
    }
}

impl Limiter {
    fn define(&self, limit: Limit<'_>, client_ip: ClientIp) -> Definition {
        let rates = &self.rates;
        let by_ip = |name, rate| self.ip_windows(name, client_ip, rate);
        let by_account = |name, user_id, rate| {
            Counter::window(self.account_key(name, user_id), rate, Owner::AccountId)
        };
        let of_account =
            |action, user: &user::Model, counters| (action, Some(user.email_key.clone()), counters);
        let (action, mailbox, counters) = match limit {
            Limit::Login(email) => {
                let mut counters = by_ip("login", rates.login_ip);
                counters.extend(
                    email
                        .into_iter()
                        .flat_map(|email| self.failure_counters(email)),
                );
                ("login", email.map(Email::key), counters)
            }
            Limit::Registration => ("registration", None, by_ip("register", rates.register_ip)),
            Limit::CodeRequest => ("code request", None, by_ip("reset", rates.reset_ip)),
            Limit::Code => ("code", None, by_ip("otp", rates.otp_ip)),
            Limit::MailboxCode {
                mailbox,
                has_account,
            } => {
                let counters = self.mailbox_code_windows(client_ip, mailbox, has_account);
                ("code", Some(mailbox.clone()), counters.into())
            }
            Limit::PasswordReset => {
                let counters = by_ip("reset-password", rates.reset_password_ip);
                ("password reset", None, counters)
            }
            Limit::PasswordChange(user) => {
                let failed_attempts = self.change_failed_attempts_key(user.id);
                let counters = vec![
                    by_account("change", user.id, rates.password_change),
                    Counter::failed_attempts(failed_attempts, rates),
                ];
                of_account("password change", user, counters)
            }
            Limit::SecondFactor(user) => {
                let key = self.second_factor_failed_attempts_key(user.id);
                of_account(
                    "second factor",
                    user,
                    vec![Counter::failed_attempts(key, rates)],
                )
            }
            Limit::EmailChange(user) => {
                let counter = by_account("address", user.id, rates.email_change);
                of_account("email change", user, vec![counter])
            }
            Limit::Export(user) => {
                let counter = by_account("export", user.id, rates.export);
                of_account("account export", user, vec![counter])
            }
            Limit::Invitation(user) => {
                let counter = by_account("invitation", user.id, rates.invitation);
                of_account("invitation", user, vec![counter])
            }
            Limit::PictureUpload(user_id) => {
                let mut counters = by_ip("picture", rates.picture_ip);
                counters.extend(user_id.map(|id| by_account("picture", id, rates.picture_account)));
                ("picture upload", None, counters)
            }
        };
        Definition {
            action,
            mailbox,
            counters,
        }
    }

    /// Returns the lock and the delays of an email after failed logins.
    fn failure_counters(&self, email: &Email) -> [Counter; 2] {
        [
            Counter::lock(self.failures_key(email), &self.rates),
            Counter::delays(self.failed_attempts_key(email), &self.rates),
        ]
    }

    /// Returns the windows of wrong codes of a mailbox: those from the client's network, and all.
    fn mailbox_code_windows(
        &self,
        client_ip: ClientIp,
        mailbox: &EmailKey,
        has_account: bool,
    ) -> [Counter; 2] {
        let owner = Owner::of_mailbox(has_account);
        let by_network = self.otp_key(client_ip, mailbox);
        let by_mailbox = self.mailbox_key("otp", mailbox);
        [
            Counter::window(by_network, self.rates.otp_email_ip, owner).refundable(),
            Counter::window(by_mailbox, self.rates.otp_email, owner).refundable(),
        ]
    }

    /// Returns the windows of a limit by client IP: that of the client network and, for IPv6, that of its site.
    fn ip_windows(&self, name: &str, client_ip: ClientIp, rate: Rate) -> Vec<Counter> {
        let window = |network: &str, rate| {
            Counter::window(self.ip_key(name, network), rate, Owner::Unverified)
        };
        let mut windows = vec![window(&client_ip.network(), rate)];
        if let Some(site) = client_ip.site() {
            let rate = Rate::new(rate.count.saturating_mul(SITE_FACTOR), rate.seconds);
            windows.push(window(&site, rate));
        }
        windows
    }
}

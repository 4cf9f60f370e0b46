//! The budget of a mailbox: how many mails of one kind it gets from one cause, and from all causes together (T5, M3).
//!
//! When the totals of all causes are full, a mail may have a reserve of its own: strangers fill the totals, and cannot fill the
//! reserve of an account whose owner has proved the address. Each reserve has [`MailRates::reserve`] mails.
//!
//! Counted in Redis when a mail is about to be sent: one place for all kinds of mail and for all workers, off the path of every
//! request, and only for mails that have a recipient. Each kind has a budget of its own, so that a flood of one hides no other.

use chrono::{DateTime, TimeDelta, Utc};
use fred::{clients::Client, error::Error, types::scripts::Script};
use latchkey_shared::{
    config::rate::Rate, crypto::token_hash::TokenHasher, models::mail::MailKind,
    types::email::EmailKey,
};
use uuid::Uuid;

/// Counts a mail, or says why not.
const SCRIPT: &str = include_str!("mail_budget.lua");

/// How many mails of one kind one mailbox gets. Each field names its variable.
#[derive(Clone, Copy, Debug)]
pub struct MailRates {
    /// `LIMIT_MAIL_CAUSE`: from one cause.
    pub cause: Rate,
    /// `LIMIT_MAIL_COOLDOWN`: the pause between two codes from one cause.
    pub cooldown: Rate,
    /// `LIMIT_MAIL_HOUR`: from all causes.
    pub hour: Rate,
    /// `LIMIT_MAIL_DAY`: from all causes, over a longer span.
    pub day: Rate,
}

impl MailRates {
    /// Returns the rate of one reserve: as many mails as one cause may have, in the span of [`MailRates::day`].
    #[must_use]
    pub fn reserve(&self) -> Rate {
        Rate::new(self.cause.count, self.day.seconds)
    }

    /// Returns how many known networks of one account have a reserve each: so many that together they have no more than
    /// [`MailRates::day`].
    #[must_use]
    pub fn max_known_networks(&self) -> usize {
        let networks = self.day.count / self.cause.count.max(1);
        usize::try_from(networks.max(1)).unwrap_or(usize::MAX)
    }
}

impl Default for MailRates {
    fn default() -> Self {
        Self {
            cause: Rate::new(3, 3600),
            cooldown: Rate::new(1, 60),
            hour: Rate::new(10, 3600),
            day: Rate::new(30, 86_400),
        }
    }
}

/// A mail that asks for its place in a budget.
#[derive(Clone, Copy, Debug)]
pub struct BudgetRequest<'a> {
    /// The mail.
    pub mail: Uuid,
    /// What it says.
    pub kind: MailKind,
    /// Its recipient; a sub-address counts as its mailbox.
    pub recipient: &'a EmailKey,
    /// What caused it, where that is known.
    pub cause: Option<&'a str>,
    /// What counts it when the limits of all causes together are reached. Needs a cause.
    pub reserve: Option<Reserve<'a>>,
}

/// A budget beyond the totals of a mailbox, for one kind of mail.
#[derive(Clone, Copy, Debug)]
pub struct Reserve<'a> {
    /// Tells the reserves of a mailbox apart.
    pub name: &'a str,
    /// When the mail may use it. The limits of its cause apply all the same.
    pub usable: Usable,
}

/// When a mail may use its reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usable {
    /// Never, as far as is known yet.
    Never,
    /// If it is the first from its cause within the longest span.
    First,
    /// Always.
    Always,
}

/// A limit that a mail does not fit into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `LIMIT_MAIL_CAUSE`
    Cause,
    /// `LIMIT_MAIL_COOLDOWN`
    Cooldown,
    /// `LIMIT_MAIL_HOUR`
    Hour,
    /// `LIMIT_MAIL_DAY`
    Day,
    /// [`MailRates::reserve`], after `LIMIT_MAIL_HOUR` or `LIMIT_MAIL_DAY`.
    Reserve,
}

impl Limit {
    /// The reason that the mail's row gets.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Cause => {
                "over the budget of the mailbox: enough mails of this kind from one client network or account \
                 (LIMIT_MAIL_CAUSE)"
            }
            Self::Cooldown => "too soon after another code for the mailbox (LIMIT_MAIL_COOLDOWN)",
            Self::Hour => {
                "over the budget of the mailbox: enough mails of this kind within the hour (LIMIT_MAIL_HOUR)"
            }
            Self::Day => {
                "over the budget of the mailbox: enough mails of this kind within the day (LIMIT_MAIL_DAY)"
            }
            Self::Reserve => {
                "over the budget of the mailbox (LIMIT_MAIL_HOUR, LIMIT_MAIL_DAY), and the account's reserve is used up \
                 (LIMIT_MAIL_CAUSE in a day)"
            }
        }
    }
}

/// A mail that does not fit now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The limit.
    pub limit: Limit,
    /// How long until there is room.
    pub wait: TimeDelta,
}

/// Counts mails by mailbox.
pub struct MailBudget {
    redis: Client,
    namespace: String,
    hasher: TokenHasher,
    script: Script,
    rates: MailRates,
}

impl MailBudget {
    /// A budget with these limits. Addresses are hashed before they become keys.
    #[must_use]
    pub fn new(redis: Client, namespace: &str, hasher: TokenHasher, rates: MailRates) -> Self {
        Self {
            redis,
            namespace: namespace.to_owned(),
            hasher,
            script: Script::from_lua(SCRIPT),
            rates,
        }
    }

    /// Counts a mail that is about to be sent, or says what it does not fit into. A mail that asks again is counted once.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn take(
        &self,
        request: BudgetRequest<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Exceeded>, Error> {
        let (limit, wait): (u8, i64) = self
            .script
            .evalsha_with_reload(
                &self.redis,
                self.keys(request),
                self.arguments(request, now),
            )
            .await?;
        let limit = match limit {
            0 => return Ok(None),
            1 => Limit::Cause,
            2 => Limit::Cooldown,
            3 => Limit::Hour,
            4 => Limit::Day,
            _ => Limit::Reserve,
        };
        let wait = TimeDelta::milliseconds(wait);
        Ok(Some(Exceeded { limit, wait }))
    }

    /// Returns the limits.
    #[must_use]
    pub fn rates(&self) -> &MailRates {
        &self.rates
    }

    fn keys(&self, request: BudgetRequest<'_>) -> Vec<String> {
        let mailbox = self.hasher.fingerprint(&request.recipient.mailbox());
        let (namespace, kind) = (&self.namespace, request.kind.as_str());
        let all = format!("{namespace}:mail-budget:{kind}:{mailbox}");
        let of_cause = request.cause.map(|cause| format!("{all}:{cause}"));
        let reserve = request
            .reserve
            .filter(|_| of_cause.is_some())
            .map(|reserve| format!("{all}:reserve:{}", reserve.name));
        [all].into_iter().chain(of_cause).chain(reserve).collect()
    }

    fn arguments(&self, request: BudgetRequest<'_>, now: DateTime<Utc>) -> Vec<String> {
        let usable = match request.reserve.map(|reserve| reserve.usable) {
            None | Some(Usable::Never) => "never",
            Some(Usable::First) => "first",
            Some(Usable::Always) => "always",
        };
        let MailRates {
            cause,
            cooldown,
            hour,
            day,
        } = self.rates;
        // Notices do not wait for each other: one that comes late says the wrong time of its cause.
        let cooldown = match request.kind.purpose() {
            Some(_) => cooldown,
            None => cause,
        };
        let mut arguments = vec![
            now.timestamp_millis().to_string(),
            request.mail.simple().to_string(),
            usable.to_owned(),
        ];
        for rate in [cause, cooldown, hour, day, self.rates.reserve()] {
            arguments.extend([rate.count.to_string(), rate.milliseconds().to_string()]);
        }
        arguments
    }
}

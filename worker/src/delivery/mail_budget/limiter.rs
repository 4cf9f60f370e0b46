//! Counts mails in Redis.

use chrono::{DateTime, TimeDelta, Utc};
use fred::{clients::Client, error::Error, types::scripts::Script};
use latchkey_shared::{
    config::rate::Rate, crypto::token_hash::Fingerprints, models::mail::MailKind,
    types::email::EmailKey,
};
use uuid::Uuid;

/// Counts a mail, or returns the exceeded limit.
const SCRIPT: &str = include_str!("mail_budget.lua");

/// How many mails of one kind a mailbox gets. Each field names its variable.
#[derive(Clone, Copy, Debug)]
pub struct MailRates {
    /// `LIMIT_MAIL_CAUSE`: from one cause.
    pub cause: Rate,
    /// `LIMIT_MAIL_COOLDOWN`: the pause between two codes from one cause.
    pub cooldown: Rate,
    /// `LIMIT_MAIL_HOUR`: from all causes.
    pub hour: Rate,
    /// `LIMIT_MAIL_DAY`: from all causes, over a longer time.
    pub day: Rate,
    /// `LIMIT_MAX_COUNTERS`: how many counters Redis keeps; the oldest are deleted.
    pub max_counters: u32,
}

/// The key of the sorted set of all budgets, scored by their latest mail.
pub(in crate::delivery) fn list_key(namespace: &str) -> String {
    format!("{namespace}:mail-budget:newest")
}

impl MailRates {
    /// Returns the rate of one reserve: as many mails as one cause may have, in the span of [`MailRates::day`].
    #[must_use]
    pub fn reserve(&self) -> Rate {
        Rate::new(self.cause.count, self.day.seconds)
    }

    /// Returns how many known networks of one account have a reserve each. Together they get at most [`MailRates::day`] mails.
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
            max_counters: 100_000,
        }
    }
}

/// A mail to be counted.
#[derive(Clone, Copy, Debug)]
pub struct BudgetRequest<'a> {
    /// The id of the mail.
    pub mail: Uuid,
    /// Its kind.
    pub kind: MailKind,
    /// Its recipient; a sub-address counts as its mailbox.
    pub recipient: &'a EmailKey,
    /// What caused the mail, if known: a customer network or an account.
    pub cause: Option<&'a str>,
    /// The reserve to use when the totals of all causes are used up. Needs a cause.
    pub reserve: Option<Reserve<'a>>,
}

/// A budget beyond the totals of a mailbox, for one kind of mail.
#[derive(Clone, Copy, Debug)]
pub struct Reserve<'a> {
    /// Identifies the reserve within the mailbox.
    pub name: &'a str,
    /// When the mail may use it. The limits of its cause still apply.
    pub usable: ReserveUse,
}

/// When a mail may use its reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveUse {
    /// Never, unless a later check allows it.
    Never,
    /// If the mail is the first from its cause within the longest time span.
    First,
    /// Always.
    Always,
}

/// A limit of a budget.
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
    /// Returns the reason to store in the row of a suppressed mail.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Cause => {
                "mailbox budget exceeded: too many mails of this kind from one network or account \
                 (LIMIT_MAIL_CAUSE)"
            }
            Self::Cooldown => "too soon after another code for this mailbox (LIMIT_MAIL_COOLDOWN)",
            Self::Hour => {
                "mailbox budget exceeded: too many mails of this kind within the hour (LIMIT_MAIL_HOUR)"
            }
            Self::Day => {
                "mailbox budget exceeded: too many mails of this kind within the day (LIMIT_MAIL_DAY)"
            }
            Self::Reserve => {
                "mailbox budget exceeded (LIMIT_MAIL_HOUR, LIMIT_MAIL_DAY), and the account's reserve is used up \
                 (LIMIT_MAIL_CAUSE in a day)"
            }
        }
    }
}

/// The refusal of a mail by a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The exceeded limit.
    pub limit: Limit,
    /// The time until the limit allows another mail.
    pub wait: TimeDelta,
}

/// Counts mails per mailbox.
pub struct MailBudget {
    redis: Client,
    namespace: String,
    fingerprints: Fingerprints,
    script: Script,
    rates: MailRates,
}

impl MailBudget {
    /// Creates a budget. Redis keys hold hashes of addresses.
    #[must_use]
    pub fn new(
        redis: Client,
        namespace: &str,
        fingerprints: Fingerprints,
        rates: MailRates,
    ) -> Self {
        Self {
            redis,
            namespace: namespace.to_owned(),
            fingerprints,
            script: Script::from_lua(SCRIPT),
            rates,
        }
    }

    /// Counts a mail that is about to be sent, or returns the exceeded limit. A repeated call counts the mail once.
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
        let mailbox = self.fingerprints.of_mailbox(&request.recipient.mailbox());
        let (namespace, kind) = (&self.namespace, request.kind.as_str());
        let all = format!("{namespace}:mail-budget:{kind}:{mailbox}");
        let of_cause = request.cause.map(|cause| format!("{all}:{cause}"));
        let reserve = request
            .reserve
            .filter(|_| of_cause.is_some())
            .map(|reserve| format!("{all}:reserve:{}", reserve.name));
        let list = list_key(namespace);
        let keys = [all].into_iter().chain(of_cause).chain(reserve);
        keys.chain([list]).collect()
    }

    fn arguments(&self, request: BudgetRequest<'_>, now: DateTime<Utc>) -> Vec<String> {
        let usable = match request.reserve.map(|reserve| reserve.usable) {
            None | Some(ReserveUse::Never) => "never",
            Some(ReserveUse::First) => "first",
            Some(ReserveUse::Always) => "always",
        };
        let MailRates {
            cause,
            cooldown,
            hour,
            day,
            max_counters,
        } = self.rates;
        // Notices have no cooldown: a late notice would tell the wrong time of its cause.
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
        arguments.push(max_counters.to_string());
        arguments
    }
}

//! Judges the health of delivery by failed and accepted mails.
//!
//! Attackers can choose recipients, and thereby the replies: a relay repeats the reply of the recipient's server, or reports
//! that the domain has none. So a refusal counts only if it recurs in more domains than mails were accepted for. All subdomains
//! of a registered domain count as one. A failure that concerns all mails needs no second domain. Both problems end once mails
//! get through.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::{DeliveryFailure, DeliveryHealth, DeliveryProblem, FailureCause};
use crate::models::mail::Model;

/// The minimum number of domains in which a refusal has to recur.
const MIN_DOMAINS: usize = 2;

/// A mail that the server accepted.
#[derive(Clone, Debug)]
pub(super) struct AcceptedMail {
    domain: String,
    /// When the server accepted the mail.
    pub(super) at: DateTime<Utc>,
}

impl AcceptedMail {
    pub(super) fn from_row(row: &Model) -> Option<Self> {
        Some(Self {
            domain: owned_domain(&row.recipient)?,
            at: row.sent_at?,
        })
    }
}

/// A mail whose last attempt failed.
#[derive(Clone, Debug)]
pub(super) struct FailedMail {
    failure: DeliveryFailure,
    domain: String,
    message: String,
    at: DateTime<Utc>,
}

impl FailedMail {
    pub(super) fn from_row(row: Model) -> Option<Self> {
        Some(Self {
            failure: row.failure?.parse().ok()?,
            domain: owned_domain(&row.recipient)?,
            message: row.last_error.unwrap_or_default(),
            at: row.failed_at?,
        })
    }

    /// Returns whether mails to several domains failed with the same reply, and to more domains than mails were accepted for.
    fn recurs(&self, failed: &[&Self], accepted: &[AcceptedMail]) -> bool {
        if self.failure.reply.is_empty() {
            return false;
        }
        let refused: HashSet<_> = failed
            .iter()
            .filter(|it| it.failure == self.failure && !is_outdated(it, accepted))
            .map(|it| it.domain.as_str())
            .collect();
        let accepted_elsewhere: HashSet<_> = accepted
            .iter()
            .map(|it| it.domain.as_str())
            .filter(|domain| !refused.contains(domain))
            .collect();
        refused.len() >= MIN_DOMAINS && refused.len() > accepted_elsewhere.len()
    }
}

/// Returns whether a mail to the same domain was accepted later.
fn is_outdated(failed: &FailedMail, accepted: &[AcceptedMail]) -> bool {
    accepted
        .iter()
        .any(|it| it.domain == failed.domain && it.at > failed.at)
}

/// Returns the registered domain of an address, without its subdomains (Public Suffix List).
fn owned_domain(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    let domain = domain.to_lowercase();
    Some(psl::domain_str(&domain).unwrap_or(&domain).to_owned())
}

/// Judges the failures by the recently accepted mails and the time of the last acceptance.
///
/// Failures count until a mail is accepted. Refusals for other reasons than the recipient count longer, because a server may
/// accept mails to its own domain and refuse those to others.
pub(super) fn judge(
    failed: &[FailedMail],
    accepted: &[AcceptedMail],
    last_accepted: Option<DateTime<Utc>>,
) -> DeliveryHealth {
    let is_newer = |it: &&FailedMail| last_accepted.is_none_or(|at| it.at > at);
    let current: Vec<_> = failed
        .iter()
        .filter(|it| is_newer(it) || it.failure.cause == FailureCause::Refusal)
        .collect();
    let problem = current
        .iter()
        .find(|it| it.failure.cause.concerns_all_mails() || it.recurs(&current, accepted));
    match (problem, last_accepted) {
        (Some(problem), _) => DeliveryHealth::Failing(DeliveryProblem {
            cause: problem.failure.cause,
            message: problem.message.clone(),
            failed_at: problem.at,
        }),
        (None, _) if failed.iter().any(|it| is_newer(&it)) => DeliveryHealth::OneRefused,
        (None, Some(at)) => DeliveryHealth::Accepted(at),
        (None, None) => DeliveryHealth::Idle,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::clock::Clock;

    fn failed(failure: &str, domain: &str, minutes_ago: i64) -> FailedMail {
        FailedMail {
            failure: failure.parse().unwrap(),
            domain: domain.to_owned(),
            message: "message".to_owned(),
            at: Clock::fixed().now() - TimeDelta::minutes(minutes_ago),
        }
    }

    fn accepted(domain: &str, minutes_ago: i64) -> AcceptedMail {
        AcceptedMail {
            domain: domain.to_owned(),
            at: Clock::fixed().now() - TimeDelta::minutes(minutes_ago),
        }
    }

    fn is_failing(failed: &[FailedMail], accepted: &[AcceptedMail]) -> bool {
        let last = accepted.iter().map(|it| it.at).max();
        matches!(judge(failed, accepted, last), DeliveryHealth::Failing(_))
    }

    #[test]
    fn service_failure_counts_until_a_mail_is_accepted() {
        for cause in [
            "connection ",
            "authentication AUTH 535 5.7.8",
            "sender MAIL FROM 550",
        ] {
            let failed = [failed(cause, "a.example", 5)];
            assert!(is_failing(&failed, &[]), "{cause}");
            let (before, after) = (accepted("b.example", 6), accepted("b.example", 4));
            assert!(is_failing(&failed, &[before]), "{cause}");
            assert!(!is_failing(&failed, &[after]), "{cause}");
        }
    }

    #[test]
    fn same_refusal_for_two_domains_is_a_problem() {
        let relay = "refusal RCPT TO 554 5.7.1";
        let unknown = "recipient RCPT TO 550 5.1.1";
        for (first, second, domain, is_accepted, failing) in [
            (relay, relay, "b.example", false, true),
            // Mails to the relay's own domain are accepted.
            (relay, relay, "b.example", true, true),
            (relay, relay, "a.example", false, false),
            (relay, "refusal DATA 554 5.7.1", "b.example", false, false),
            (
                relay,
                "refusal RCPT TO 550 5.7.1",
                "b.example",
                false,
                false,
            ),
            (unknown, unknown, "b.example", false, true),
            (unknown, unknown, "b.example", true, false),
            ("recipient ", "recipient ", "b.example", false, false),
        ] {
            let failed = [failed(first, "a.example", 2), failed(second, domain, 3)];
            let accepted = is_accepted.then(|| accepted("own.example", 1));
            assert_eq!(
                is_failing(&failed, accepted.as_slice()),
                failing,
                "{failed:?}"
            );
        }
    }

    #[test]
    fn refusals_in_fewer_domains_than_accepted_do_not_count() {
        let reply = "refusal RCPT TO 554 5.7.1";
        let refused = [failed(reply, "a.example", 1), failed(reply, "b.example", 2)];
        let healthy = [accepted("c.example", 3), accepted("d.example", 4)];
        assert!(!is_failing(&refused, &healthy));
        // Several mails to one domain count once, and the newest result of a domain counts.
        assert!(is_failing(
            &refused,
            &[accepted("c.example", 3), accepted("c.example", 4)]
        ));
        assert!(is_failing(
            &refused,
            &[accepted("c.example", 3), accepted("a.example", 4)]
        ));
        assert!(!is_failing(&refused, &[accepted("a.example", 0)]));
    }

    #[test]
    fn subdomains_of_a_registered_domain_count_as_one() {
        for (address, domain) in [
            ("x@a.b.Example.org", "example.org"),
            ("x@shop.example.co.uk", "example.co.uk"),
            ("x@host.example", "host.example"),
            ("x@co.uk", "co.uk"),
            ("x@a.xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ] {
            assert_eq!(owned_domain(address).as_deref(), Some(domain));
        }
    }

    #[test]
    fn single_refused_recipient_is_no_problem() {
        let now = Clock::fixed().now();
        let failed = [failed("refusal DATA 554", "a.example", 2)];
        assert_eq!(judge(&failed, &[], None), DeliveryHealth::OneRefused);
        assert_eq!(
            judge(&failed, &[], Some(now)),
            DeliveryHealth::Accepted(now)
        );
        assert_eq!(judge(&[], &[], None), DeliveryHealth::Idle);
    }
}

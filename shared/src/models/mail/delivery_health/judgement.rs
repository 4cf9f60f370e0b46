//! What failed and accepted mails tell about the service.
//!
//! Strangers choose recipients, and the replies for a domain of their own: a relay repeats what the domain's server says, or
//! finds none. So a refusal counts only if it recurs in more domains than mails are accepted for, and the subdomains of an
//! owner are one domain. A failure that is the same for every mail needs no second domain. Both end at once when mails get
//! through.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::{DeliveryFailure, DeliveryHealth, DeliveryProblem, FailureCause, Model};

/// How many domains a refusal recurs in before it counts.
const MIN_DOMAINS: usize = 2;

/// A mail that the server accepted.
#[derive(Clone, Debug)]
pub(super) struct AcceptedMail {
    domain: String,
    /// When.
    pub(super) at: DateTime<Utc>,
}

impl AcceptedMail {
    pub(super) fn of(row: Model) -> Option<Self> {
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
    words: String,
    at: DateTime<Utc>,
}

impl FailedMail {
    pub(super) fn of(row: Model) -> Option<Self> {
        Some(Self {
            failure: row.failure?.parse().ok()?,
            domain: owned_domain(&row.recipient)?,
            words: row.last_error.unwrap_or_default(),
            at: row.failed_at?,
        })
    }

    /// Whether the same reply was given to mails for several domains, and for more than mails were accepted for.
    fn recurs(&self, failed: &[&Self], accepted: &[AcceptedMail]) -> bool {
        if self.failure.reply.is_empty() {
            return false;
        }
        let refused: HashSet<_> = failed
            .iter()
            .filter(|it| it.failure == self.failure && !is_outdated(it, accepted))
            .map(|it| it.domain.as_str())
            .collect();
        let others = accepted
            .iter()
            .map(|it| it.domain.as_str())
            .filter(|domain| !refused.contains(domain));
        refused.len() >= MIN_DOMAINS && refused.len() > others.collect::<HashSet<_>>().len()
    }
}

/// Whether a mail to the same domain was accepted later.
fn is_outdated(failed: &FailedMail, accepted: &[AcceptedMail]) -> bool {
    accepted
        .iter()
        .any(|it| it.domain == failed.domain && it.at > failed.at)
}

/// The domain of an address that its owner registered, without the subdomains that cost nothing (Public Suffix List).
fn owned_domain(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    let domain = domain.to_lowercase();
    Some(psl::domain_str(&domain).unwrap_or(&domain).to_owned())
}

/// Judges the failures by the mails that were accepted recently, and by when the last one was.
///
/// Failures count until a mail is accepted. Refusals for other reasons than the recipient count for a while longer, as a
/// server may accept mails to its own domain and refuse those to others.
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
        .find(|it| it.failure.cause.is_of_service() || it.recurs(&current, accepted));
    match (problem, last_accepted) {
        (Some(problem), _) => DeliveryHealth::Failing(DeliveryProblem {
            cause: problem.failure.cause,
            words: problem.words.clone(),
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
            words: "words".to_owned(),
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
    fn failures_of_the_service_count_until_a_mail_is_accepted() {
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
    fn refusals_count_when_several_domains_get_the_same() {
        let relay = "refusal RCPT TO 554 5.7.1";
        let unknown = "recipient RCPT TO 550 5.1.1";
        for (first, second, domain, is_accepted, failing) in [
            (relay, relay, "b.example", false, true),
            // Mails to the relay's own domain are accepted meanwhile.
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
        // Several mails to one domain are one domain, and the newest outcome of a domain counts.
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
    fn subdomains_of_an_owner_are_one_domain() {
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
    fn one_refused_recipient_is_no_problem() {
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

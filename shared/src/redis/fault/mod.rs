//! Diagnoses errors of Redis by their error codes (redis.io/docs, "RESP errors").
//!
//! The programs use two clients, fred and redis-rs, and the error of a script contains the code somewhere in its text. So the
//! code is searched as a word of the text. This works for both clients and all versions of Redis. Some errors have no code and are
//! found by a phrase.

use fred::error::ErrorKind;

use self::known::{FAULTS, Fault};
use crate::dependency::{Diagnosis, Refusal};

mod known;

const NO_ANSWER: Diagnosis = Diagnosis {
    word: "does not answer",
    remedy: "check whether Redis is overloaded, paused or unreachable; the programs reconnect by themselves",
};

const UNREACHABLE: Diagnosis = Diagnosis {
    word: "unreachable",
    remedy: "start Redis, or correct REDIS_URL; the programs reconnect by themselves",
};

const OTHER: Diagnosis = Diagnosis {
    word: "fails",
    remedy: "check the log of Redis",
};

/// Returns the known error that a text names.
fn find(text: &str) -> Option<&'static Fault> {
    let words = || text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let matches = |mark: &&str| {
        if mark.contains(' ') {
            text.contains(*mark)
        } else {
            words().any(|word| word == *mark)
        }
    };
    FAULTS.iter().find(|fault| fault.marks.iter().any(matches))
}

/// Returns whether a new connection may help against an error with this text.
#[must_use]
pub fn is_cured_by_reconnecting(text: &str) -> bool {
    find(text).is_some_and(|fault| fault.reconnects)
}

/// Returns whether an error with this text is an outage of a Redis that answers, such as loading its data. It ends without a
/// change of `REDIS_URL`.
pub(crate) fn is_outage(text: &str) -> bool {
    find(text).is_some_and(|fault| !fault.stops_start)
}

/// The texts of connection errors, as both clients and the operating system spell them.
const CONNECTION_ERRORS: &[(&str, Diagnosis)] = &[
    ("timed out", NO_ANSWER),
    ("no answer", NO_ANSWER),
    ("broken pipe", UNREACHABLE),
    ("connection refused", UNREACHABLE),
    ("connection reset", UNREACHABLE),
    ("terminated", UNREACHABLE),
    ("unexpected end of file", UNREACHABLE),
];

/// Returns the diagnosis of a connection error's text.
fn find_connection_error(text: &str) -> Option<Diagnosis> {
    let text = text.to_lowercase();
    let found = CONNECTION_ERRORS
        .iter()
        .find(|(words, _)| text.contains(words));
    found.map(|(_, diagnosis)| *diagnosis)
}

/// Creates the refusal for an error text. `otherwise` is the diagnosis of a text without a known code.
fn refusal(cause: String, otherwise: Diagnosis) -> Refusal {
    Refusal {
        dependency: "Redis",
        diagnosis: find(&cause).map_or(otherwise, |fault| fault.diagnosis),
        cause,
    }
}

/// Returns the refusal for a command that timed out.
#[must_use]
pub fn timed_out() -> Refusal {
    refusal("no answer in time".to_owned(), NO_ANSWER)
}

impl Refusal {
    /// Returns whether the connection broke, so that a new one may get an answer.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.diagnosis == UNREACHABLE
    }

    /// Returns whether a program stops at its start: Redis does not respond, or refuses until an operator changes a setting or a
    /// permission.
    pub(crate) fn stops_start(&self) -> bool {
        self.is_unresponsive() || find(&self.cause).is_some_and(|fault| fault.stops_start)
    }

    /// Returns whether Redis did not respond, so that another client may know the reason.
    pub(crate) fn is_unresponsive(&self) -> bool {
        self.diagnosis == NO_ANSWER || self.diagnosis == UNREACHABLE
    }
}

/// Creates the refusal for an error whose type apalis has dropped.
#[must_use]
pub fn from_text(text: &str) -> Refusal {
    refusal(
        text.to_owned(),
        find_connection_error(text).unwrap_or(OTHER),
    )
}

impl From<&fred::error::Error> for Refusal {
    fn from(error: &fred::error::Error) -> Self {
        let otherwise = match error.kind() {
            ErrorKind::Timeout => NO_ANSWER,
            ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Backpressure => UNREACHABLE,
            _ => OTHER,
        };
        refusal(error.to_string(), otherwise)
    }
}

impl From<&redis::RedisError> for Refusal {
    fn from(error: &redis::RedisError) -> Self {
        let otherwise = if error.is_timeout() {
            NO_ANSWER
        } else if error.is_io_error() {
            UNREACHABLE
        } else if error.kind() == redis::ErrorKind::AuthenticationFailed {
            return refusal(format!("WRONGPASS {error}"), OTHER);
        } else {
            OTHER
        };
        refusal(error.to_string(), otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that apalis passes on.
    #[test]
    fn connection_errors_are_diagnosed_by_text() {
        for (text, word) in [
            ("Poll error: timed out", "does not answer"),
            ("Heartbeat error: Broken pipe (os error 32)", "unreachable"),
            ("Connection refused (os error 111)", "unreachable"),
            ("ERR value is not an integer", "fails"),
            ("LOADING Redis is loading; timed out", "loading"),
        ] {
            assert_eq!(from_text(text).diagnosis.word, word, "{text}");
        }
    }

    /// Error texts of Redis 6, 7 and scripts.
    #[test]
    fn redis_errors_are_diagnosed_by_code() {
        for (text, word, reconnects) in [
            (
                "READONLY You can't write against a read only replica.",
                "read-only",
                true,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'. script: 5ac, on @user_script:1.",
                "out of memory",
                false,
            ),
            (
                "ERR Error running script (call to f_1): @user_script: 9: -OOM command not allowed",
                "out of memory",
                false,
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots, but …",
                "cannot persist",
                false,
            ),
            (
                "An error was signalled by the server - BusyLoading: LOADING Redis is loading",
                "loading",
                false,
            ),
            ("NOAUTH Authentication required.", "refuses the login", true),
            (
                "ERR Protocol error: unauthenticated multibulk length",
                "refuses the login",
                true,
            ),
            (
                "WRONGPASS invalid username-password pair or user is disabled.",
                "refuses the login",
                true,
            ),
            (
                "NOPERM this user has no permissions to run the 'set' command",
                "not permitted",
                true,
            ),
            ("MASTERDOWN Link with MASTER is down", "no primary", true),
            ("CLUSTERDOWN Hash slot not served", "cluster down", true),
            (
                "ERR The user executing the script can't run this command or subcommand script: 5ac, on @user_script:1.",
                "not permitted",
                true,
            ),
            (
                "ERR ACL failure in script: User default has no permissions to run the 'zadd' command",
                "not permitted",
                true,
            ),
            (
                "ERR max number of clients reached",
                "too many clients",
                false,
            ),
            (
                "DENIED Redis is running in protected mode because …",
                "protected mode",
                false,
            ),
            ("WRONGTYPE Operation against a key", "wrong type", false),
            ("ERR unknown command 'EVALSHA'", "lacks a command", false),
            ("ERR value is not an integer", "fails", false),
            ("ERR DB index is out of range", "no such database", false),
        ] {
            let refusal = from_text(text);
            assert_eq!(refusal.diagnosis.word, word, "{text}");
            assert_eq!(is_cured_by_reconnecting(text), reconnects, "{text}");
            assert!(!refusal.diagnosis.remedy.is_empty());
        }
    }

    /// R2: a restart during an outage of Redis is no outage of the programs.
    #[test]
    fn outage_does_not_stop_the_start() {
        for (text, stops) in [
            ("LOADING Redis is loading the dataset in memory", false),
            ("OOM command not allowed", false),
            ("READONLY You can't write", false),
            ("MISCONF Redis is configured to save", false),
            ("MASTERDOWN Link with MASTER is down", false),
            ("BUSY Redis is busy running a script", false),
            ("NOREPLICAS Not enough good replicas", false),
            ("ERR max number of clients reached", false),
            ("NOAUTH Authentication required.", true),
            ("WRONGPASS invalid username-password pair", true),
            ("NOPERM this user has no permissions", true),
            ("DENIED Redis is running in protected mode", true),
            ("ERR unknown command 'EVALSHA'", true),
            ("ERR DB index is out of range", true),
        ] {
            assert_eq!(is_outage(text), !stops, "{text}");
            assert_eq!(from_text(text).stops_start(), stops, "{text}");
        }
        for text in ["connection refused", "no answer in time"] {
            assert!(!is_outage(text), "{text}");
            assert!(from_text(text).stops_start(), "{text}");
        }
    }
}

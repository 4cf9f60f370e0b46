//! Diagnoses errors of Redis by their error codes (redis.io/docs, "RESP errors").
//!
//! The programs use two clients, fred and redis-rs, and the error of a script contains the code somewhere in its text. So the
//! code is searched as a word of the text. This works for both clients and all versions of Redis. Some errors have no code and are
//! found by a phrase.

use fred::error::ErrorKind;

use crate::dependency::{Diagnosis, Refusal};

/// An error of Redis that operators can cause.
struct Fault {
    /// Error codes, as Redis and as redis-rs spell them, and phrases of texts without a code.
    marks: &'static [&'static str],
    /// Whether a new connection may reach a working server: after a failover behind a name or a virtual address, or after a change
    /// of the password.
    reconnects: bool,
    diagnosis: Diagnosis,
}

/// The known errors. The first one that matches applies.
const FAULTS: &[Fault] = &[
    Fault {
        marks: &["READONLY", "ReadOnly"],
        reconnects: true,
        diagnosis: Diagnosis {
            word: "read-only",
            remedy: "this Redis is a replica: point REDIS_URL at the primary, or promote this one (REPLICAOF NO ONE)",
        },
    },
    Fault {
        marks: &["OOM"],
        reconnects: false,
        diagnosis: Diagnosis {
            word: "out of memory",
            remedy: "raise maxmemory (CONFIG SET maxmemory), or delete data of other programs in this Redis",
        },
    },
    Fault {
        marks: &["MISCONF"],
        reconnects: false,
        diagnosis: Diagnosis {
            word: "cannot persist",
            remedy: "free space on Redis' disk or make its folder writable (see the log of Redis); Redis accepts writes again after its next save that succeeds",
        },
    },
    Fault {
        marks: &["LOADING", "BusyLoading"],
        reconnects: false,
        diagnosis: Diagnosis {
            word: "loading",
            remedy: "wait until Redis has loaded its data",
        },
    },
    Fault {
        // Without a login, Redis refuses calls with more than 10 arguments before it reads them.
        marks: &["NOAUTH", "unauthenticated"],
        reconnects: true,
        diagnosis: Diagnosis {
            word: "refuses the login",
            remedy: "put user and password into REDIS_URL: redis://user:password@host",
        },
    },
    Fault {
        marks: &["WRONGPASS"],
        reconnects: true,
        diagnosis: Diagnosis {
            word: "refuses the login",
            remedy: "correct user and password in REDIS_URL",
        },
    },
    Fault {
        marks: &[
            "NOPERM",
            "NoPerm",
            "ACL failure in script",
            "The user executing the script can't",
        ],
        reconnects: true,
        diagnosis: Diagnosis {
            word: "not permitted",
            remedy: "allow the user of REDIS_URL all commands on the keys of REDIS_NAMESPACE (ACL SETUSER)",
        },
    },
    Fault {
        marks: &["MASTERDOWN", "MasterDown"],
        reconnects: true,
        diagnosis: Diagnosis {
            word: "no primary",
            remedy: "this Redis is a replica that has lost its primary: start the primary, or point REDIS_URL at the new one",
        },
    },
    Fault {
        marks: &["CLUSTERDOWN", "ClusterDown"],
        reconnects: true,
        diagnosis: Diagnosis {
            word: "cluster down",
            remedy: "repair the cluster (redis-cli --cluster check); Latchkey requires a single Redis, not a cluster",
        },
    },
    Fault {
        marks: &["NOREPLICAS"],
        reconnects: false,
        diagnosis: Diagnosis {
            word: "no replicas",
            remedy: "start the replicas that min-replicas-to-write asks for, or lower it",
        },
    },
    Fault {
        marks: &["BUSY"],
        reconnects: false,
        diagnosis: Diagnosis {
            word: "busy",
            remedy: "a script of another program blocks Redis: SCRIPT KILL ends it",
        },
    },
    Fault {
        marks: &["max number of clients"],
        reconnects: false,
        diagnosis: Diagnosis {
            word: "too many clients",
            remedy: "raise maxclients (CONFIG SET maxclients, and in redis.conf), or end other clients of this Redis (CLIENT LIST)",
        },
    },
    Fault {
        marks: &["DENIED"],
        reconnects: false,
        diagnosis: Diagnosis {
            word: "protected mode",
            remedy: "this Redis accepts only local clients: set a password (requirepass) and put it into REDIS_URL, or correct bind and protected-mode in redis.conf",
        },
    },
    Fault {
        marks: &["WRONGTYPE"],
        reconnects: false,
        diagnosis: Diagnosis {
            word: "wrong type",
            remedy: "another program has written keys of REDIS_NAMESPACE: delete those keys, or choose another REDIS_NAMESPACE",
        },
    },
    Fault {
        marks: &["unknown command", "Unknown Redis command"],
        reconnects: false,
        diagnosis: Diagnosis {
            word: "lacks a command",
            remedy: "Latchkey needs all commands of Redis 6.2: update Redis, or remove rename-command from redis.conf",
        },
    },
];

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
        ] {
            let refusal = from_text(text);
            assert_eq!(refusal.diagnosis.word, word, "{text}");
            assert_eq!(is_cured_by_reconnecting(text), reconnects, "{text}");
            assert!(!refusal.diagnosis.remedy.is_empty());
        }
    }
}

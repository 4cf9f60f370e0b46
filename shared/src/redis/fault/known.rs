//! The errors of Redis that the programs know, with their remedies.

use crate::dependency::Diagnosis;

/// An error of Redis that operators can cause.
pub(super) struct Fault {
    /// Error codes, as Redis and as redis-rs spell them, and phrases of texts without a code.
    pub(super) marks: &'static [&'static str],
    /// Whether a new connection may reach a working server: after a failover behind a name or a virtual address, or after a change
    /// of the password.
    pub(super) reconnects: bool,
    /// Whether it lasts until an operator changes `REDIS_URL`, a permission or a setting of Redis. The programs do not start then.
    /// Other errors are outages: the programs start and wait for their end.
    pub(super) stops_start: bool,
    pub(super) diagnosis: Diagnosis,
}

/// The known errors. The first one that matches applies.
pub(super) const FAULTS: &[Fault] = &[
    Fault {
        marks: &["READONLY", "ReadOnly"],
        reconnects: true,
        stops_start: false,
        diagnosis: Diagnosis {
            word: "read-only",
            remedy: "this Redis is a replica: point REDIS_URL at the primary, or promote this one (REPLICAOF NO ONE)",
        },
    },
    Fault {
        marks: &["OOM"],
        reconnects: false,
        stops_start: false,
        diagnosis: Diagnosis {
            word: "out of memory",
            remedy: "raise maxmemory (CONFIG SET maxmemory), or delete data of other programs in this Redis",
        },
    },
    Fault {
        marks: &["MISCONF"],
        reconnects: false,
        stops_start: false,
        diagnosis: Diagnosis {
            word: "cannot persist",
            remedy: "free space on Redis' disk or make its folder writable (see the log of Redis); Redis accepts writes again after its next save that succeeds",
        },
    },
    Fault {
        marks: &["LOADING", "BusyLoading"],
        reconnects: false,
        stops_start: false,
        diagnosis: Diagnosis {
            word: "loading",
            remedy: "wait until Redis has loaded its data",
        },
    },
    Fault {
        // Without a login, Redis refuses calls with more than 10 arguments before it reads them.
        marks: &["NOAUTH", "unauthenticated"],
        reconnects: true,
        stops_start: true,
        diagnosis: Diagnosis {
            word: "refuses the login",
            remedy: "put user and password into REDIS_URL: redis://user:password@host",
        },
    },
    Fault {
        marks: &["WRONGPASS"],
        reconnects: true,
        stops_start: true,
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
        stops_start: true,
        diagnosis: Diagnosis {
            word: "not permitted",
            remedy: "allow the user of REDIS_URL all commands on the keys of REDIS_NAMESPACE (ACL SETUSER)",
        },
    },
    Fault {
        marks: &["MASTERDOWN", "MasterDown"],
        reconnects: true,
        stops_start: false,
        diagnosis: Diagnosis {
            word: "no primary",
            remedy: "this Redis is a replica that has lost its primary: start the primary, or point REDIS_URL at the new one",
        },
    },
    Fault {
        marks: &["CLUSTERDOWN", "ClusterDown"],
        reconnects: true,
        stops_start: false,
        diagnosis: Diagnosis {
            word: "cluster down",
            remedy: "repair the cluster (redis-cli --cluster check); Latchkey requires a single Redis, not a cluster",
        },
    },
    Fault {
        marks: &["NOREPLICAS"],
        reconnects: false,
        stops_start: false,
        diagnosis: Diagnosis {
            word: "no replicas",
            remedy: "start the replicas that min-replicas-to-write asks for, or lower it",
        },
    },
    Fault {
        marks: &["BUSY"],
        reconnects: false,
        stops_start: false,
        diagnosis: Diagnosis {
            word: "busy",
            remedy: "a script of another program blocks Redis: SCRIPT KILL ends it",
        },
    },
    Fault {
        marks: &["max number of clients"],
        reconnects: false,
        stops_start: false,
        diagnosis: Diagnosis {
            word: "too many clients",
            remedy: "raise maxclients (CONFIG SET maxclients, and in redis.conf), or end other clients of this Redis (CLIENT LIST)",
        },
    },
    Fault {
        marks: &["DENIED"],
        reconnects: false,
        stops_start: true,
        diagnosis: Diagnosis {
            word: "protected mode",
            remedy: "this Redis accepts only local clients: set a password (requirepass) and put it into REDIS_URL, or correct bind and protected-mode in redis.conf",
        },
    },
    Fault {
        marks: &["WRONGTYPE"],
        reconnects: false,
        stops_start: false,
        diagnosis: Diagnosis {
            word: "wrong type",
            remedy: "another program has written keys of REDIS_NAMESPACE: delete those keys, or choose another REDIS_NAMESPACE",
        },
    },
    Fault {
        marks: &["unknown command", "Unknown Redis command"],
        reconnects: false,
        stops_start: true,
        diagnosis: Diagnosis {
            word: "lacks a command",
            remedy: "Latchkey needs all commands of Redis 6.2: update Redis, or remove rename-command from redis.conf",
        },
    },
    Fault {
        marks: &["DB index is out of range"],
        reconnects: false,
        stops_start: true,
        diagnosis: Diagnosis {
            word: "no such database",
            remedy: "correct the number at the end of REDIS_URL, or raise databases in redis.conf",
        },
    },
];

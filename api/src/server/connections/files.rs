//! The limit of open files (`RLIMIT_NOFILE`). Every connection is a file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Number of files kept for other purposes than client connections: database, Redis, pictures, listeners.
const OTHER_FILES: u64 = 256;

/// Raises the soft limit of open files for `connections` client connections. Systems set it to 1,024 for programs that use
/// `select`, but every process can raise it to the hard limit.
///
/// Returns the number of connections that can be open. It is lower than `connections` if the hard limit is too low, so that the
/// database and Redis stay reachable.
#[must_use]
pub fn raise_file_limit(connections: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = connections as u64 + OTHER_FILES;
    if limit.current.is_none_or(|current| current >= wanted) {
        return connections;
    }
    let possible = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = Rlimit {
        current: Some(possible),
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => possible,
        Err(_) => limit.current.unwrap_or(possible),
    };
    if files == wanted {
        tracing::info!(files, "Raised the limit of open files");
        return connections;
    }
    let connections = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(connections);
    let connections = connections.max(1);
    tracing::warn!(
        files,
        connections,
        "MAX_CONNECTIONS was lowered to fit the limit of open files; raise the hard limit (ulimit -Hn, \
         LimitNOFILE=) to MAX_CONNECTIONS + {OTHER_FILES}"
    );
    connections
}

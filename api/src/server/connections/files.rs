//! The limit of open files (`RLIMIT_NOFILE`), of which every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the process may have open beside its clients' connections: those to databases and Redis, pictures, listeners.
const OTHER_FILES: u64 = 256;

/// Raises the soft limit of open files so that so many connections can be open. Systems set it to 1,024 for the sake of
/// programs that use `select`, and let every process raise it to the hard limit.
///
/// Returns how many connections can be open: fewer where the hard limit does not suffice, so that the database and Redis can
/// still be reached when all of them are.
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
        "MAX_CONNECTIONS is more than the limit of open files allows, and was lowered; raise the hard limit (ulimit -Hn, \
         LimitNOFILE=) to MAX_CONNECTIONS + {OTHER_FILES}"
    );
    connections
}

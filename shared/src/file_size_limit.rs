//! The limit on the size of files (`RLIMIT_FSIZE`, `ulimit -f`).

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// Lets writes beyond the limit fail with `EFBIG`, like writes to a full disk. Without a handler, SIGXFSZ ends the program
/// (setrlimit(2)). Call this at the start of a program, in a tokio runtime.
pub fn fail_writes_only() -> io::Result<()> {
    // tokio keeps the handler when the listener is dropped.
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

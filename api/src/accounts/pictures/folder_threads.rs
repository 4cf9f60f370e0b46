//! Bounds the threads that `MEDIA_DIR` can block.
//!
//! A network mount that hangs blocks every thread that uses it, for as long as it hangs. Without a bound, these threads would fill
//! the pool of blocking threads, which also looks up host names and parses large bodies.

use std::{io, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

/// The maximum number of requests that use the folder at the same time.
const REQUESTS: usize = 16;

/// Maximum time of a call, including the wait for a thread. A sync of 256 KiB on a slow disk is faster.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The blocking threads that may use a folder. Clones share them.
#[derive(Clone)]
pub(super) struct FolderThreads {
    permits: Arc<Semaphore>,
    timeout: Duration,
}

impl FolderThreads {
    /// The threads of requests.
    pub(super) fn of_requests() -> Self {
        Self::new(REQUESTS, TIMEOUT)
    }

    /// The thread of the health check. It has its own, so that hanging requests do not hide that the folder works again.
    pub(super) fn of_check() -> Self {
        Self::new(1, TIMEOUT)
    }

    fn new(threads: usize, timeout: Duration) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(threads)),
            timeout,
        }
    }

    /// Runs a call once a thread is free. The thread is not free until the call ends, even after the timeout or if the request is
    /// cancelled.
    ///
    /// # Errors
    /// `TimedOut` after the timeout. The call may still end, and what it writes may be stored.
    pub(super) async fn run<A: Send + 'static>(
        &self,
        call: impl FnOnce() -> io::Result<A> + Send + 'static,
    ) -> io::Result<A> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        let called = async {
            let permit = permit.await.map_err(io::Error::other)?;
            let called = spawn_blocking(move || {
                let _permit = permit;
                call()
            });
            called.await.map_err(io::Error::other)?
        };
        let called = timeout(self.timeout, called).await;
        called.unwrap_or_else(|_| Err(timed_out("no answer in time")))
    }

    /// Runs a call like [`Self::run`], but fails at once if no thread is free.
    pub(super) async fn run_if_free<A: Send + 'static>(
        &self,
        call: impl FnOnce() -> io::Result<A> + Send + 'static,
    ) -> io::Result<A> {
        if self.permits.available_permits() == 0 {
            return Err(timed_out("an earlier call still has no answer"));
        }
        self.run(call).await
    }
}

fn timed_out(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Starts a call that hangs until the sender is dropped, and returns after its timeout.
    async fn hang(threads: &FolderThreads) -> mpsc::Sender<()> {
        let (end, may_end) = mpsc::channel::<()>();
        let hanging = threads.run(move || Ok(may_end.recv()));
        assert_eq!(hanging.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        end
    }

    /// C2, R2
    #[tokio::test]
    async fn hanging_calls_use_no_further_threads() {
        let threads = FolderThreads::new(2, Duration::from_millis(20));
        let hanging = [hang(&threads).await, hang(&threads).await];

        for _ in 0..3 {
            let further = || -> io::Result<()> { panic!("a further thread") };
            let refused = threads.run(further).await;
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }

        drop(hanging);
        let patient = FolderThreads {
            timeout: TIMEOUT,
            ..threads
        };
        assert_eq!(patient.run(|| Ok(1)).await.unwrap(), 1);
    }

    /// R2
    #[tokio::test]
    async fn check_fails_at_once_while_an_earlier_one_hangs() {
        let threads = FolderThreads::new(1, Duration::from_millis(20));
        let hanging = hang(&threads).await;
        let patient = FolderThreads {
            timeout: Duration::MAX,
            ..threads
        };

        let refused = patient.run_if_free(|| Ok(())).await;

        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(hanging);
        patient.run(|| Ok(())).await.unwrap();
        patient.run_if_free(|| Ok(())).await.unwrap();
    }
}

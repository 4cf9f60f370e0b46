//! Runs CPU-bound work on blocking threads, so that the async threads stay free for other requests.

use std::{sync::Arc, thread};

use tokio::sync::Semaphore;

use crate::http::error::ApiError;

/// Limits concurrent CPU-bound work to one task for each core. Further tasks wait in the order of their arrival.
#[derive(Clone)]
pub struct CpuPool {
    cores: Arc<Semaphore>,
}

impl Default for CpuPool {
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from))
    }
}

impl CpuPool {
    /// Creates a pool that runs `cores` tasks at a time.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        Self {
            cores: Arc::new(Semaphore::new(cores)),
        }
    }

    /// Runs a task on a blocking thread and returns its result. Fails if the task panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        // The semaphore is never closed.
        let core = Arc::clone(&self.cores).acquire_owned().await.ok();
        let done = tokio::task::spawn_blocking(move || {
            // Kept until the task ends, even if the request is cancelled.
            let _core = core;
            work()
        });
        done.await
            .map_err(|error| ApiError::Internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    /// C1
    #[tokio::test]
    async fn cpu_pool_cancelled_work_keeps_its_core() {
        let pool = CpuPool::new(1);
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (finish, may_finish) = mpsc::channel::<()>();
        let running = tokio::spawn({
            let pool = pool.clone();
            async move {
                let work = move || {
                    started.send(()).unwrap();
                    may_finish.recv().unwrap();
                };
                pool.run(work).await
            }
        });
        has_started.await.unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());

        assert!(pool.run(|| ()).now_or_never().is_none());
        assert_eq!(pool.cores.available_permits(), 0);

        finish.send(()).unwrap();
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }
}

//! Limits concurrent decoding: one picture per core, and a memory budget for all of them.

use std::{sync::Arc, thread, time::Duration};

use latchkey_shared::types::validation_error::Invalid;
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use crate::accounts::pictures::{invalid, not_a_picture};
use crate::http::error::ApiError;

/// Memory budget of all decoders, in MiB. The largest picture, a CMYK JPEG of 25 megapixels, needs 287.
const MEMORY_MIB: usize = 320;

/// Memory budget of all decoders, in bytes.
pub(super) const MEMORY: u64 = MEMORY_MIB as u64 * 1024 * 1024;

/// Maximum time that an upload waits for a core and memory before the answer is 503.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// The queue of uploads that wait to be decoded.
#[derive(Clone)]
pub(super) struct DecodeQueue {
    /// One permit for each core.
    cores: Arc<Semaphore>,
    /// One permit for each MiB of the memory budget.
    memory: Arc<Semaphore>,
    timeout: Duration,
}

impl Default for DecodeQueue {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores, QUEUE_TIMEOUT)
    }
}

impl DecodeQueue {
    fn new(cores: usize, timeout: Duration) -> Self {
        Self {
            cores: Arc::new(Semaphore::new(cores)),
            memory: Arc::new(Semaphore::new(MEMORY_MIB)),
            timeout,
        }
    }

    /// Measures how many bytes decoding needs, waits for this memory, and decodes. Both steps run on a blocking thread and keep
    /// their core until they end, even if the request is cancelled.
    pub(super) async fn run<I: Send + 'static, T: Send + 'static>(
        &self,
        measure: impl FnOnce() -> Result<(u64, I), Invalid> + Send + 'static,
        decode: impl FnOnce(I) -> Result<T, Invalid> + Send + 'static,
    ) -> Result<T, ApiError> {
        let busy = |_| ApiError::Busy;
        let deadline = Instant::now() + self.timeout;
        let core = Arc::clone(&self.cores).acquire_owned();
        let core = timeout_at(deadline, core).await.map_err(busy)?;
        let (core, measured) = blocking(move || (core, measure())).await?;
        let (bytes, input) = measured.map_err(invalid)?;
        let memory = Arc::clone(&self.memory).acquire_many_owned(mebibytes(bytes));
        let memory = timeout_at(deadline, memory).await.map_err(busy)?;
        let decoded = blocking(move || {
            let _permits = (core, memory);
            decode(input)
        });
        decoded.await?.map_err(invalid)
    }
}

/// Runs a decoder on a blocking thread. Treats a panic as an invalid picture.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let done = spawn_blocking(work).await;
    done.map_err(|_| invalid(not_a_picture()))
}

fn mebibytes(bytes: u64) -> u32 {
    let whole = usize::try_from(bytes.div_ceil(1024 * 1024)).unwrap_or(usize::MAX);
    // No accepted picture needs more than the budget.
    u32::try_from(whole.min(MEMORY_MIB)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::{sync::oneshot, task::JoinHandle};

    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// A decoder that runs until its gate opens.
    struct Gated {
        task: JoinHandle<Result<(), ApiError>>,
        open: mpsc::Sender<()>,
    }

    /// Starts a gated decoder and waits until it runs.
    async fn start(queue: &DecodeQueue, mebibytes: u64) -> Gated {
        let (started, has_started) = oneshot::channel();
        let (open, gate) = mpsc::channel();
        let queue = queue.clone();
        let task = tokio::spawn(async move {
            let decode = move |()| {
                started.send(()).unwrap();
                gate.recv().unwrap();
                Ok(())
            };
            queue.run(move || Ok((mebibytes * MIB, ())), decode).await
        });
        has_started.await.unwrap();
        Gated { task, open }
    }

    /// Runs a decoder of `mebibytes` MiB that ends at once.
    async fn decode(queue: &DecodeQueue, mebibytes: u64) -> Result<(), ApiError> {
        queue.run(move || Ok((mebibytes * MIB, ())), Ok).await
    }

    /// A queue with a timeout of zero: a decoder either starts at once or is refused.
    fn without_waiting(cores: usize) -> DecodeQueue {
        DecodeQueue::new(cores, Duration::ZERO)
    }

    /// The same queue with a timeout that no test reaches.
    fn waiting(queue: &DecodeQueue) -> DecodeQueue {
        DecodeQueue {
            timeout: Duration::from_mins(1),
            ..queue.clone()
        }
    }

    #[track_caller]
    fn assert_busy(answer: &Result<(), ApiError>) {
        assert!(matches!(answer, Err(ApiError::Busy)), "{answer:?}");
    }

    /// C1
    #[tokio::test]
    async fn decoders_run_one_at_a_time_per_core() {
        let queue = without_waiting(2);
        let first = start(&queue, 1).await;
        let second = start(&queue, 1).await;

        assert_busy(&decode(&queue, 1).await);

        first.open.send(()).unwrap();
        first.task.await.unwrap().unwrap();
        decode(&waiting(&queue), 1).await.unwrap();
        second.open.send(()).unwrap();
        second.task.await.unwrap().unwrap();
    }

    /// C1: the thread of a cancelled request keeps its permits.
    #[tokio::test]
    async fn decoder_of_cancelled_request_keeps_core_and_memory() {
        let queue = without_waiting(1);
        let cancelled = start(&queue, 300).await;
        cancelled.task.abort();
        assert!(cancelled.task.await.unwrap_err().is_cancelled());

        assert_busy(&decode(&queue, 1).await);
        assert_eq!(queue.memory.available_permits(), 20);

        cancelled.open.send(()).unwrap();
        decode(&waiting(&queue), 300).await.unwrap();
    }

    /// C1
    #[tokio::test]
    async fn measuring_of_cancelled_request_keeps_its_core() {
        let queue = without_waiting(1);
        let (started, has_started) = oneshot::channel();
        let (open, gate) = mpsc::channel::<()>();
        let measuring = tokio::spawn({
            let queue = queue.clone();
            let measure = move || {
                started.send(()).unwrap();
                gate.recv().unwrap();
                Ok((MIB, ()))
            };
            async move { queue.run(measure, Ok).await }
        });
        has_started.await.unwrap();
        measuring.abort();
        assert!(measuring.await.unwrap_err().is_cancelled());

        assert_busy(&decode(&queue, 1).await);

        open.send(()).unwrap();
        decode(&waiting(&queue), 1).await.unwrap();
    }

    /// C1
    #[tokio::test]
    async fn decoders_share_320_mib() {
        let queue = without_waiting(3);
        let large = start(&queue, 287).await;

        assert_busy(&decode(&queue, 34).await);
        decode(&queue, 33).await.unwrap();

        large.open.send(()).unwrap();
        large.task.await.unwrap().unwrap();
        decode(&waiting(&queue), 320).await.unwrap();
    }

    /// C1: an upload that waits 10 s is answered 503. `http::request_context` adds the `Retry-After`.
    #[test]
    fn decode_queue_timeout_is_503() {
        assert_eq!(DecodeQueue::default().timeout, Duration::from_secs(10));
        assert_eq!(ApiError::Busy.problem_type().status.as_u16(), 503);
    }
}

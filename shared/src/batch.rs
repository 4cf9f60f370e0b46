//! Coalesces concurrent queries into one statement.
//!
//! Callers that arrive while a batch is in flight form the next batch. Nothing is cached: a result goes only to the callers that
//! submitted a query before the statement ran. A batch also waits one scheduler turn for tasks that are about to submit a query.

use std::{future::Future, sync::Arc};

use sea_orm::DbErr;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// A query with the channel for its result.
type PendingQuery<Q, A> = (Q, oneshot::Sender<A>);

/// Runs queries `Q` with results `A` in batches. Clones share the batches.
#[derive(Debug)]
pub struct Batch<Q, A>(mpsc::UnboundedSender<PendingQuery<Q, A>>);

/// The batch failed before it returned a result: it panicked, or the program stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the batch ended without a result")]
pub struct BatchClosed;

impl From<BatchClosed> for DbErr {
    fn from(error: BatchClosed) -> Self {
        Self::Custom(error.to_string())
    }
}

impl<Q, A> Clone for Batch<Q, A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Q: Send + 'static, A: Send + 'static> Batch<Q, A> {
    /// Creates a batcher. `run` receives up to `max_size` queries and returns their results in the same order. Up to
    /// `max_in_flight` batches run at once: one makes the largest batches, a second avoids waiting for a slow one.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new<F, R>(max_size: usize, max_in_flight: usize, run: F) -> Self
    where
        F: Fn(Vec<Q>) -> R + Send + Sync + 'static,
        R: Future<Output = Vec<A>> + Send + 'static,
    {
        let (sender, mut receiver) = mpsc::unbounded_channel::<PendingQuery<Q, A>>();
        let in_flight = Arc::new(Semaphore::new(max_in_flight));
        tokio::spawn(async move {
            // The semaphore is never closed.
            while let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await {
                let mut batch = Vec::new();
                if receiver.recv_many(&mut batch, max_size).await == 0 {
                    return;
                }
                // Tokio runs a woken task before tasks that are about to submit a query, so these go first.
                tokio::task::yield_now().await;
                if !receiver.is_empty() {
                    let free = max_size - batch.len();
                    receiver.recv_many(&mut batch, free).await;
                }
                // Skips callers that were cancelled.
                let live = batch.into_iter().filter(|(_, caller)| !caller.is_closed());
                let (queries, callers): (Vec<_>, Vec<_>) = live.unzip();
                if queries.is_empty() {
                    continue;
                }
                let results = run(queries);
                // In a task of its own, so that a panic fails this batch only.
                tokio::spawn(async move {
                    for (caller, result) in callers.into_iter().zip(results.await) {
                        // Sending fails if the caller was cancelled.
                        let _ = caller.send(result);
                    }
                    drop(permit);
                });
            }
        });
        Self(sender)
    }

    /// Submits a query, and waits for its result.
    pub async fn submit(&self, query: Q) -> Result<A, BatchClosed> {
        let (caller, result) = oneshot::channel();
        self.0.send((query, caller)).map_err(|_| BatchClosed)?;
        result.await.map_err(|_| BatchClosed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::{sync::Notify, task::JoinSet};

    use super::*;

    /// Doubles numbers once the gate opens, and records the sizes of the batches.
    fn doubling(gate: Arc<Notify>, sizes: Arc<Mutex<Vec<usize>>>) -> Batch<u32, u32> {
        Batch::new(4, 2, move |numbers: Vec<u32>| {
            let gate = Arc::clone(&gate);
            sizes.lock().unwrap().push(numbers.len());
            async move {
                gate.notified().await;
                assert!(!numbers.contains(&13), "a query that panics");
                numbers.into_iter().map(|number| number * 2).collect()
            }
        })
    }

    #[tokio::test]
    async fn queries_during_a_batch_form_the_next_batch() {
        let (gate, sizes) = (Arc::default(), Arc::default());
        let batch = doubling(Arc::clone(&gate), Arc::clone(&sizes));
        let mut callers = JoinSet::new();
        for number in 0..10 {
            let batch = batch.clone();
            callers.spawn(async move { (number, batch.submit(number).await) });
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        while let Some(done) = {
            gate.notify_one();
            tokio::task::yield_now().await;
            callers.join_next().await
        } {
            let (number, result) = done.unwrap();
            assert_eq!(result, Ok(number * 2));
        }

        let sizes = sizes.lock().unwrap().clone();
        assert_eq!(sizes.iter().sum::<usize>(), 10);
        assert!(
            sizes.len() < 10 && sizes.iter().all(|size| *size <= 4),
            "{sizes:?}"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn query_about_to_be_submitted_joins_the_first_batch() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&sizes);
        let batch = Batch::new(4, 2, move |numbers: Vec<u32>| {
            recorded.lock().unwrap().push(numbers.len());
            async { numbers }
        });
        let requests = tokio::spawn(async move {
            let mut callers = JoinSet::new();
            for number in 0..4 {
                let batch = batch.clone();
                callers.spawn(async move { batch.submit(number).await });
            }
            callers.join_all().await
        });
        assert_eq!(requests.await.unwrap().len(), 4);
        assert_eq!(*sizes.lock().unwrap(), [4]);
    }

    #[tokio::test]
    async fn panic_fails_its_own_batch_only() {
        let gate = Arc::new(Notify::new());
        let batch = doubling(Arc::clone(&gate), Arc::default());
        gate.notify_one();
        assert_eq!(batch.submit(13).await, Err(BatchClosed));
        gate.notify_one();
        assert_eq!(batch.submit(1).await, Ok(2));
    }
}

//! What several ask for at the same time is asked together: one statement, one round trip, for all of them.
//!
//! Nothing is kept: an answer is given to those who asked before the question was put, and to nobody after. Whoever asks
//! waits for those who are just about to; the more ask while an answer is under way, the more the next question is for.

use std::{future::Future, sync::Arc};

use sea_orm::DbErr;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Somebody's part of a question, and where the answer goes.
type PendingQuery<Q, A> = (Q, oneshot::Sender<A>);

/// Asks `Q` and answers `A`, many at a time. Clones share the questions.
#[derive(Debug)]
pub struct Batch<Q, A>(mpsc::UnboundedSender<PendingQuery<Q, A>>);

/// The question was never answered: whatever answers it panicked, or the program stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a question that several had asked together was not answered")]
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
    /// `together` answers up to `most` at a time, in the order of the questions, and has `under_way` of that at once: with one
    /// the most is asked together, a second is for those who come while the first is slow.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new<F, R>(most: usize, under_way: usize, together: F) -> Self
    where
        F: Fn(Vec<Q>) -> R + Send + Sync + 'static,
        R: Future<Output = Vec<A>> + Send + 'static,
    {
        let (sender, mut asked) = mpsc::unbounded_channel::<PendingQuery<Q, A>>();
        let free = Arc::new(Semaphore::new(under_way));
        tokio::spawn(async move {
            // Never closed, so there is always a permit in the end.
            while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
                let mut part = Vec::new();
                if asked.recv_many(&mut part, most).await == 0 {
                    return;
                }
                // What is woken runs next, before other tasks that are about to ask. Those go first.
                tokio::task::yield_now().await;
                if !asked.is_empty() {
                    let more = most - part.len();
                    asked.recv_many(&mut part, more).await;
                }
                // Those who have lost patience are not asked for.
                let waiting = part.into_iter().filter(|(_, asker)| !asker.is_closed());
                let (questions, askers): (Vec<_>, Vec<_>) = waiting.unzip();
                if questions.is_empty() {
                    continue;
                }
                let answers = together(questions);
                // By itself, so that a panic concerns those alone who asked.
                tokio::spawn(async move {
                    for (asker, answer) in askers.into_iter().zip(answers.await) {
                        // Whoever is gone meanwhile needs no answer.
                        let _ = asker.send(answer);
                    }
                    drop(permit);
                });
            }
        });
        Self(sender)
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self, question: Q) -> Result<A, BatchClosed> {
        let (asker, answer) = oneshot::channel();
        self.0.send((question, asker)).map_err(|_| BatchClosed)?;
        answer.await.map_err(|_| BatchClosed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::{sync::Notify, task::JoinSet};

    use super::*;

    /// Doubles numbers, when it is let; notes how many it was asked at a time.
    fn doubling(gate: Arc<Notify>, sizes: Arc<Mutex<Vec<usize>>>) -> Batch<u32, u32> {
        Batch::new(4, 2, move |numbers: Vec<u32>| {
            let gate = Arc::clone(&gate);
            sizes.lock().unwrap().push(numbers.len());
            async move {
                gate.notified().await;
                assert!(!numbers.contains(&13), "a question that cannot be answered");
                numbers.into_iter().map(|number| number * 2).collect()
            }
        })
    }

    #[tokio::test]
    async fn those_who_come_while_answers_are_under_way_are_asked_for_together() {
        let (gate, sizes) = (Arc::default(), Arc::default());
        let batch = doubling(Arc::clone(&gate), Arc::clone(&sizes));
        let mut asking = JoinSet::new();
        for number in 0..10 {
            let batch = batch.clone();
            asking.spawn(async move { (number, batch.ask(number).await) });
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        while let Some(answered) = {
            gate.notify_one();
            tokio::task::yield_now().await;
            asking.join_next().await
        } {
            let (number, answer) = answered.unwrap();
            assert_eq!(answer, Ok(number * 2));
        }

        let sizes = sizes.lock().unwrap().clone();
        assert_eq!(sizes.iter().sum::<usize>(), 10);
        assert!(
            sizes.len() < 10 && sizes.iter().all(|size| *size <= 4),
            "{sizes:?}"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn those_who_are_about_to_ask_when_the_first_does_are_asked_for_with_it() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&sizes);
        let batch = Batch::new(4, 2, move |numbers: Vec<u32>| {
            noted.lock().unwrap().push(numbers.len());
            async { numbers }
        });
        let requests = tokio::spawn(async move {
            let mut asking = JoinSet::new();
            for number in 0..4 {
                let batch = batch.clone();
                asking.spawn(async move { batch.ask(number).await });
            }
            asking.join_all().await
        });
        assert_eq!(requests.await.unwrap().len(), 4);
        assert_eq!(*sizes.lock().unwrap(), [4]);
    }

    #[tokio::test]
    async fn a_panic_concerns_those_alone_who_asked() {
        let gate = Arc::new(Notify::new());
        let batch = doubling(Arc::clone(&gate), Arc::default());
        gate.notify_one();
        assert_eq!(batch.ask(13).await, Err(BatchClosed));
        gate.notify_one();
        assert_eq!(batch.ask(1).await, Ok(2));
    }
}

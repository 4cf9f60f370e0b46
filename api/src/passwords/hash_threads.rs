//! Dedicated threads for password hashing, one per core, each with a buffer of its own.
//!
//! A hash needs 19 MiB. A new allocation for each hash, on any thread of the runtime, would make the kernel clear every page and
//! would leave the memory in the heap of every thread.
//!
//! [`PasswordHasher`](super::hasher::PasswordHasher) bounds the number of passwords that wait for a thread.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use argon2::{Block, Params};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// The buffer of one thread. Allocated at the first hash and kept.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// Returns the blocks that a hash with these parameters needs. They are not cleared, as a hash reads only what it has
    /// written.
    pub(super) fn for_params(&mut self, params: &Params) -> &mut [Block] {
        let blocks = params.block_count();
        if self.0.len() < blocks {
            self.0.resize(blocks, Block::default());
        }
        &mut self.0[..blocks]
    }
}

#[cfg(test)]
impl Memory {
    /// Returns the number of blocks that hashes have needed so far.
    pub(super) fn blocks(&self) -> usize {
        self.0.len()
    }
}

/// A pool of hash threads. They end on drop.
pub(super) struct Threads(mpsc::Sender<Job>);

impl Threads {
    /// Starts `count` threads.
    pub(super) fn start(count: usize) -> Self {
        let (sender, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..count {
            let jobs = Arc::clone(&jobs);
            thread::spawn(move || run_jobs(&jobs));
        }
        Self(sender)
    }

    /// Runs a job on one of the threads. Returns `None` if it panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, result) = oneshot::channel();
        let job = move |memory: &mut Memory| {
            // Fails if the request was cancelled.
            let _ = sender.send(work(memory));
        };
        self.0.send(Box::new(job)).ok()?;
        result.await.ok()
    }
}

/// Runs jobs until the pool is dropped.
fn run_jobs(jobs: &Mutex<mpsc::Receiver<Job>>) {
    lower_priority();
    let mut memory = Memory::default();
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic hook logs the message. The thread continues with the next job.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut memory)));
    }
}

/// Lowers the thread's priority, so that logins do not slow down other requests. Linux only: elsewhere it would apply to the
/// whole process.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(10) {
        tracing::debug!(%error, "Priority of the password threads not lowered");
    }
}

//! Threads that do nothing but hash, each with memory of its own.
//!
//! A hash works through 19 MiB. Asked of the allocator anew each time, on whichever of the runtime's threads, the kernel
//! had to clear it page by page, and every thread's part of the heap kept as much for good. Here it is one for each core,
//! whatever comes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use argon2::{Block, Params};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// What one thread hashes in. It grows with the first hash and is kept.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// As much as these parameters ask for, with whatever was in it before: a hash reads nothing that it has not
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
    /// How much of it a hash has needed so far.
    pub(super) fn blocks(&self) -> usize {
        self.0.len()
    }
}

/// The threads. They end with this value.
pub(super) struct Threads(mpsc::Sender<Job>);

impl Threads {
    /// Starts so many.
    pub(super) fn start(count: usize) -> Self {
        let (sender, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..count {
            let jobs = Arc::clone(&jobs);
            thread::spawn(move || work_off(&jobs));
        }
        Self(sender)
    }

    /// Does some work on one of them; `None` when it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, result) = oneshot::channel();
        let job = move |memory: &mut Memory| {
            // A client that went away waits for nothing.
            let _ = sender.send(work(memory));
        };
        self.0.send(Box::new(job)).ok()?;
        result.await.ok()
    }
}

fn work_off(jobs: &Mutex<mpsc::Receiver<Job>>) {
    lower_priority();
    let mut memory = Memory::default();
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic hook has written the message; the next job finds the thread as it was.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut memory)));
    }
}

/// Lowers the thread's priority, so that whoever is logged in is answered while others log in. On Linux alone is it the
/// thread's and not the program's.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(10) {
        tracing::debug!(%error, "Passwords are hashed at the priority of everything else.");
    }
}

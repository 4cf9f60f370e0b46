//! Password hashes: argon2id (RFC 9106) on dedicated threads, behind a bounded queue.
//!
//! A stored hash may also be one of an imported account (see [`django`](super::django)). A verification replaces it by argon2id.
//!
//! The queue isolates other endpoints from a flood of logins. It allows one hash per core at a time and [`QUEUE_LENGTH`] waiting
//! passwords. The answer is 503 if the queue is full or a password waits longer than the timeout.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use latchkey_shared::crypto::random_bytes;

use crate::config::hash_cost::HashCost;
use crate::{
    http::error::ApiError,
    passwords::django::{
        Dearest, DjangoHash, MAX_ARGON2_MEMORY_KIB,
        scheme::{FUNCTIONS, Scheme},
    },
    passwords::metrics::{ARGON2ID, HashMetrics},
    passwords::{CurrentPassword, NewPassword},
};

use crate::passwords::hash_threads::{Memory, Threads};

/// Maximum number of waiting passwords.
pub const QUEUE_LENGTH: usize = 512;

/// Memory of all hashes of imported accounts that are computed at one time, in MiB. One of them needs at most as much.
const OLD_HASH_MEMORY_MIB: u32 = MAX_ARGON2_MEMORY_KIB / 1_024;

/// Hashes and verifies passwords.
pub struct PasswordHasher {
    argon2: Argon2<'static>,
    threads: Threads,
    cores: Arc<Semaphore>,
    /// Permits of one MiB for hashes of imported accounts.
    old_hash_memory: Arc<Semaphore>,
    queue: Semaphore,
    timeout: Duration,
    metrics: HashMetrics,
    /// A random hash. Verified when there is no account, so that the work is the same.
    dummy: Arc<str>,
}

/// The result of a verification.
#[derive(Debug)]
pub struct PasswordCheck {
    /// Whether the password is right.
    pub correct: bool,
    /// A new hash to store, if the cost of the stored one is outdated.
    pub rehashed: Option<String>,
}

impl PasswordHasher {
    /// Creates a hasher with one thread per core. A password waits for at most `timeout`.
    ///
    /// # Panics
    /// If argon2 does not accept the cost. The configuration has checked it.
    #[must_use]
    pub fn new(cost: HashCost, timeout: Duration, metrics: HashMetrics) -> Self {
        let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, None)
            .expect("the configuration keeps to argon2's bounds");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy = dummy_hash(&argon2).into();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            argon2,
            threads: Threads::start(cores),
            cores: Arc::new(Semaphore::new(cores)),
            old_hash_memory: Arc::new(Semaphore::new(OLD_HASH_MEMORY_MIB as usize)),
            queue: Semaphore::new(QUEUE_LENGTH),
            timeout,
            metrics,
            dummy,
        }
    }

    /// Hashes a new password. Returns a PHC string, or [`ApiError::Busy`] if the queue is full or too slow.
    pub async fn hash(&self, password: NewPassword) -> Result<String, ApiError> {
        let argon2 = self.argon2.clone();
        self.metrics.count(ARGON2ID);
        self.run(0, move |memory| {
            hash(&argon2, password.into_inner().expose_to_hash(), memory)
        })
        .await
    }

    /// Returns the hash of an account without a password: random, so that no password matches it. Verifying it takes as long as
    /// that of any other account.
    #[must_use]
    pub fn no_password(&self) -> String {
        dummy_hash(&self.argon2)
    }

    /// Verifies a password of a known account against the stored hash. Returns [`ApiError::Busy`] if the queue is full or too slow.
    pub async fn verify(
        &self,
        password: CurrentPassword,
        stored: &str,
    ) -> Result<PasswordCheck, ApiError> {
        self.verify_login(password, Some(stored), &Dearest::default())
            .await
    }

    /// Verifies the password of a login. A failure costs the same for every account: one argon2id and one hash of each function in
    /// `dearest`. Pass no hash if the login fails with any password. Returns [`ApiError::Busy`] if the queue is full or too slow.
    pub async fn verify_login(
        &self,
        password: CurrentPassword,
        stored: Option<&str>,
        dearest: &Dearest,
    ) -> Result<PasswordCheck, ApiError> {
        let old = stored.and_then(|stored| DjangoHash::parse(stored).ok());
        let padding = dearest.remainder(old.as_ref().map(|old| &old.scheme));
        let memory_mib = padding
            .iter()
            .chain(old.as_ref().map(|old| &old.scheme))
            .map(Scheme::memory_mib);
        let memory_mib = memory_mib.max().unwrap_or_default();
        let verification = Verification {
            argon2: self.argon2.clone(),
            metrics: self.metrics.clone(),
            padding,
            password,
        };
        // A text that is no hash costs the same as no account.
        let stored = stored.filter(|stored| PasswordHash::new(stored).is_ok());
        let exists = stored.is_some();
        let stored: Arc<str> = stored.map_or_else(|| self.dummy.clone(), Into::into);
        let dummy = self.dummy.clone();
        self.run(memory_mib, move |memory| match old {
            Some(old) => verification.of_old(&old, &dummy, memory),
            None => verification.of_own(&stored, exists, memory),
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        memory_mib: u32,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let core = self.wait_for_core(memory_mib).await?;
        let done = self.threads.run(move |memory| {
            // Owned by the job, so that a cancelled request does not release a busy core.
            let _core = core;
            work(memory)
        });
        done.await
            .ok_or_else(|| ApiError::Internal("a password hash thread panicked".to_owned()))
    }

    async fn wait_for_core(&self, memory_mib: u32) -> Result<[OwnedSemaphorePermit; 2], ApiError> {
        let start = Instant::now();
        self.metrics.waiting.inc();
        let core = self.queue_for_core(memory_mib).await;
        self.metrics.waiting.dec();
        let Some(core) = core else {
            self.metrics.refused.inc();
            return Err(ApiError::Busy);
        };
        self.metrics.wait.observe(start.elapsed().as_secs_f64());
        Ok(core)
    }

    async fn queue_for_core(&self, memory_mib: u32) -> Option<[OwnedSemaphorePermit; 2]> {
        let _permit = self.queue.try_acquire().ok()?;
        let acquired = async {
            // The memory first: a core must not wait for it.
            let memory = self.old_hash_memory.clone();
            let memory = memory
                .acquire_many_owned(memory_mib.min(OLD_HASH_MEMORY_MIB))
                .await?;
            Ok::<_, AcquireError>([memory, self.cores.clone().acquire_owned().await?])
        };
        tokio::time::timeout(self.timeout, acquired)
            .await
            .ok()?
            .ok()
    }
}

/// The work of one verification.
struct Verification {
    argon2: Argon2<'static>,
    metrics: HashMetrics,
    /// What a failure computes besides.
    padding: Vec<Scheme>,
    password: CurrentPassword,
}

impl Verification {
    /// Verifies a hash of this service. `exists` is false for the dummy.
    fn of_own(&self, stored: &str, exists: bool, memory: &mut Memory) -> PasswordCheck {
        let bytes = self.password.expose_to_hash();
        self.metrics.count(ARGON2ID);
        let correct = verify(bytes, stored, memory) && exists;
        if !correct {
            self.pad();
        }
        let outdated = correct && is_outdated(&self.argon2, stored);
        let rehashed = outdated.then(|| hash(&self.argon2, bytes, memory));
        PasswordCheck { correct, rehashed }
    }

    /// Verifies a hash of an imported account. Always computes one argon2id, too: the new hash, or a dummy.
    fn of_old(&self, old: &DjangoHash, dummy: &str, memory: &mut Memory) -> PasswordCheck {
        let correct = self.password.candidates().iter().any(|text| {
            self.metrics.count(FUNCTIONS[old.scheme.function()]);
            old.matches(text)
        });
        // As typed, so that the owner's password manager keeps working. It need not be the text that Django hashed.
        let bytes = self.password.expose_to_hash();
        self.metrics.count(ARGON2ID);
        let rehashed = if correct {
            Some(hash(&self.argon2, bytes, memory))
        } else {
            verify(bytes, dummy, memory);
            self.pad();
            None
        };
        PasswordCheck { correct, rehashed }
    }

    /// Computes what a failure costs besides, for each text that an old hash is compared with.
    fn pad(&self) {
        for text in self.password.candidates() {
            for scheme in &self.padding {
                self.metrics.count(FUNCTIONS[scheme.function()]);
                scheme.compute(text.as_bytes(), &[0; 16], &mut [0; 20]);
            }
        }
    }
}

fn hash(argon2: &Argon2<'_>, password: &[u8], memory: &mut Memory) -> String {
    let salt = Salt::generate();
    let hash = output(argon2, password, &salt, memory, Params::DEFAULT_OUTPUT_LEN);
    phc(argon2.params(), salt, hash.expect("the cost is checked"))
}

/// Returns a random hash with these parameters, which no password matches.
fn dummy_hash(argon2: &Argon2<'_>) -> String {
    let bytes = random_bytes::<{ Params::DEFAULT_OUTPUT_LEN }>();
    let hash = Output::new(&bytes).expect("a length that outputs have");
    phc(argon2.params(), Salt::generate(), hash)
}

fn phc(params: &Params, salt: Salt, hash: Output) -> String {
    PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).expect("parameters that can be written"),
        salt: Some(salt),
        hash: Some(hash),
    }
    .to_string()
}

fn verify(password: &[u8], stored: &str, memory: &mut Memory) -> bool {
    verified(password, stored, memory).unwrap_or(false)
}

/// Verifies a password. Returns `None` if the stored hash is invalid.
fn verified(password: &[u8], stored: &str, memory: &mut Memory) -> Option<bool> {
    let stored = PasswordHash::new(stored).ok()?;
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let version = Version::try_from(stored.version?).ok()?;
    let (salt, hash) = (stored.salt?, stored.hash?);
    let argon2 = Argon2::new(algorithm, version, Params::try_from(&stored).ok()?);
    let found = output(&argon2, password, &salt, memory, hash.len())?;
    // A comparison in constant time.
    Some(found == hash)
}

fn output(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &Salt,
    memory: &mut Memory,
    length: usize,
) -> Option<Output> {
    let blocks = memory.for_params(argon2.params());
    let mut bytes = vec![0; length];
    argon2
        .hash_password_into_with_memory(password, salt, &mut bytes, blocks)
        .ok()?;
    Output::new(&bytes).ok()
}

/// Whether a hash has other parameters than the configured ones.
fn is_outdated(argon2: &Argon2<'_>, stored: &str) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else {
        return true;
    };
    let (Ok(stored), ours) = (Params::try_from(&stored), argon2.params()) else {
        return true;
    };
    (stored.m_cost(), stored.t_cost(), stored.p_cost())
        != (ours.m_cost(), ours.t_cost(), ours.p_cost())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashCost = HashCost {
        memory_kib: 64,
        iterations: 1,
        parallelism: 1,
    };

    fn hasher(cost: HashCost, timeout: Duration) -> PasswordHasher {
        let metrics = HashMetrics::new(&prometheus::Registry::new()).unwrap();
        PasswordHasher::new(cost, timeout, metrics)
    }

    fn password(text: &str) -> CurrentPassword {
        text.parse().unwrap()
    }

    fn new_password(text: &str) -> NewPassword {
        NewPassword::unjudged(text)
    }

    /// P4
    #[tokio::test]
    async fn hashes_are_argon2id_at_the_documented_cost_and_salted() {
        let hasher = hasher(HashCost::default(), Duration::from_mins(1));
        let first = hasher.hash(new_password("velvet harbour")).await.unwrap();
        let second = hasher.hash(new_password("velvet harbour")).await.unwrap();
        assert!(
            first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{first}"
        );
        assert_ne!(first, second);
    }

    /// P4
    #[tokio::test]
    async fn a_login_rehashes_when_the_cost_has_changed() {
        let old = hasher(CHEAP, Duration::from_mins(1));
        let stored = old.hash(new_password("velvet harbour")).await.unwrap();
        let new = hasher(
            HashCost {
                iterations: 2,
                ..CHEAP
            },
            Duration::from_mins(1),
        );

        let right = new
            .verify(password("velvet harbour"), &stored)
            .await
            .unwrap();
        let wrong = new
            .verify(password("velvet harbor"), &stored)
            .await
            .unwrap();
        let same = old
            .verify(password("velvet harbour"), &stored)
            .await
            .unwrap();

        assert!(right.rehashed.unwrap().contains("t=2"));
        assert!(!wrong.correct && wrong.rehashed.is_none());
        assert!(same.correct && same.rehashed.is_none());
    }

    /// Returns the number of blocks that each thread of a hasher has used.
    async fn blocks(hasher: &PasswordHasher) -> Vec<usize> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // Each job waits for the others, so that every thread runs one.
        let all = Arc::new(std::sync::Barrier::new(cores));
        let asked = (0..cores).map(|_| {
            let all = Arc::clone(&all);
            hasher.threads.run(move |memory| {
                all.wait();
                memory.blocks()
            })
        });
        let mut blocks: Vec<_> = futures_util::future::join_all(asked)
            .await
            .into_iter()
            .flatten()
            .collect();
        blocks.sort_unstable();
        blocks
    }

    /// N2: a verification without an account uses the same memory and passes, and fails.
    #[tokio::test]
    async fn without_an_account_the_same_work_is_done_and_fails() {
        let dear = HashCost {
            memory_kib: 1_024,
            iterations: 3,
            parallelism: 2,
        };
        for cost in [CHEAP, dear, HashCost::default()] {
            let hasher_of = || hasher(cost, Duration::from_mins(1));
            let (with, without) = (hasher_of(), hasher_of());
            // Hashed by another hasher, so that it does not affect the count.
            let stored = hasher_of().hash(new_password("velvet harbour")).await;
            let stored = stored.unwrap();

            let wrong = with.verify(password("velvet harbor"), &stored).await;
            let no_account = without
                .verify_login(password("velvet harbor"), None, &Dearest::default())
                .await;

            for check in [wrong.unwrap(), no_account.unwrap()] {
                assert!(!check.correct && check.rehashed.is_none());
            }
            assert_eq!(blocks(&with).await, blocks(&without).await);
            assert!(blocks(&without).await.iter().any(|blocks| *blocks > 0));
            let (stored, dummy) = (
                PasswordHash::new(&stored).unwrap(),
                PasswordHash::new(&without.dummy).unwrap(),
            );
            assert_eq!(dummy.algorithm, stored.algorithm);
            assert_eq!(dummy.version, stored.version);
            assert_eq!(dummy.params, stored.params);
            let lengths =
                |hash: &PasswordHash| (hash.salt.unwrap().len(), hash.hash.unwrap().len());
            assert_eq!(lengths(&dummy), lengths(&stored));
        }
    }

    /// P5: the queue stays usable after a refusal.
    #[tokio::test]
    async fn past_the_deadline_the_answer_is_busy() {
        let hasher = hasher(CHEAP, Duration::from_millis(1));
        let cores = hasher.cores.clone();
        let all = u32::try_from(cores.available_permits()).unwrap();
        let taken = cores.acquire_many(all).await.unwrap();
        assert!(matches!(
            hasher
                .verify_login(password("x"), None, &Dearest::default())
                .await,
            Err(ApiError::Busy)
        ));
        drop(taken);
        hasher
            .verify_login(password("x"), None, &Dearest::default())
            .await
            .unwrap();
    }

    /// P5
    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let hasher = hasher(CHEAP, Duration::from_hours(1));
        let permits = u32::try_from(QUEUE_LENGTH).unwrap();
        let _taken = hasher.queue.acquire_many(permits).await.unwrap();
        assert!(matches!(
            hasher
                .verify_login(password("x"), None, &Dearest::default())
                .await,
            Err(ApiError::Busy)
        ));
    }
}

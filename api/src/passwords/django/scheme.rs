//! The functions of Django's hashes: what they compute and what that costs.

use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use ring::{digest, pbkdf2};

/// Maximum length of a password that bcrypt reads, in bytes. Django passes longer ones, and bcrypt truncates them.
const BCRYPT_MAX_LENGTH: usize = 72;

/// The function of a hash, with its cost. Every cost is within the bounds of [`DjangoHash::parse`](super::DjangoHash::parse).
#[derive(Clone, Debug)]
pub(in crate::passwords) enum Scheme {
    /// `pbkdf2_sha256`
    Pbkdf2Sha256 { rounds: u32 },
    /// `pbkdf2_sha1`
    Pbkdf2Sha1 { rounds: u32 },
    /// `scrypt`, with N = 2^`log_n`
    Scrypt { log_n: u8, r: u32, p: u32 },
    /// `argon2`
    Argon2 {
        algorithm: Algorithm,
        version: Version,
        params: Params,
    },
    /// `bcrypt`, or `bcrypt_sha256` if `prehashed`
    Bcrypt { cost: u32, prehashed: bool },
}

/// The names of the functions, which are labels of a metric, too.
pub(in crate::passwords) const FUNCTIONS: [&str; 5] =
    ["pbkdf2_sha256", "pbkdf2_sha1", "scrypt", "argon2", "bcrypt"];

impl Scheme {
    /// Returns the index of the function in [`FUNCTIONS`]. Costs of one function can be compared.
    pub(in crate::passwords) fn function(&self) -> usize {
        match self {
            Self::Pbkdf2Sha256 { .. } => 0,
            Self::Pbkdf2Sha1 { .. } => 1,
            Self::Scrypt { .. } => 2,
            Self::Argon2 { .. } => 3,
            Self::Bcrypt { .. } => 4,
        }
    }

    /// Returns the cost, in a unit of the function: rounds; blocks of scrypt; KiB of argon2, once per pass.
    pub(in crate::passwords) fn work(&self) -> u64 {
        match self {
            Self::Pbkdf2Sha256 { rounds } | Self::Pbkdf2Sha1 { rounds } => (*rounds).into(),
            Self::Scrypt { log_n, r, p } => (u64::from(*r) << log_n) * u64::from(*p),
            Self::Argon2 { params, .. } => u64::from(params.m_cost()) * u64::from(params.t_cost()),
            Self::Bcrypt { cost, .. } => 1 << cost,
        }
    }

    /// Returns the memory that the function needs, in MiB, rounded up. Zero stands for a few KiB.
    pub(in crate::passwords) fn memory_mib(&self) -> u32 {
        match self {
            Self::Scrypt { log_n, r, p } => (r << log_n).saturating_add(r * p).div_ceil(8 * 1_024),
            Self::Argon2 { params, .. } => params.m_cost().div_ceil(1_024),
            _ => 0,
        }
    }

    /// Returns the computations that cost as much as this one after one of `done`, which has the same function.
    pub(in crate::passwords) fn remainder(&self, done: &Self) -> Vec<Self> {
        let missing = self.work().saturating_sub(done.work());
        let rounds = u32::try_from(missing).unwrap_or(u32::MAX);
        match (self, done) {
            _ if missing == 0 => Vec::new(),
            (Self::Pbkdf2Sha256 { .. }, _) => vec![Self::Pbkdf2Sha256 { rounds }],
            (Self::Pbkdf2Sha1 { .. }, _) => vec![Self::Pbkdf2Sha1 { rounds }],
            // 2^c + 2^c + 2^(c + 1) + … + 2^(n - 1) is 2^n.
            (Self::Bcrypt { cost, prehashed }, Self::Bcrypt { cost: done, .. }) => (*done..*cost)
                .map(|cost| Self::Bcrypt {
                    cost,
                    prehashed: *prehashed,
                })
                .collect(),
            (Self::Scrypt { .. }, Self::Scrypt { log_n, r, .. }) => {
                let pass = u64::from(*r) << log_n;
                let p = u32::try_from(missing.div_ceil(pass)).unwrap_or(u32::MAX);
                vec![Self::Scrypt {
                    log_n: *log_n,
                    r: *r,
                    p,
                }]
            }
            (Self::Argon2 { params, .. }, _) => argon2_of(rounds, params.m_cost()),
            _ => Vec::new(),
        }
    }

    /// Whether Django rejects a password whatever its hash is: bcrypt reads no zero bytes.
    pub(in crate::passwords) fn refuses(&self, password: &str) -> bool {
        matches!(
            self,
            Self::Bcrypt {
                prehashed: false,
                ..
            }
        ) && password.contains('\0')
    }

    /// Computes the function. `digest` has the length of the stored one.
    pub(in crate::passwords) fn compute(&self, password: &[u8], salt: &[u8], digest: &mut [u8]) {
        match self {
            Self::Pbkdf2Sha256 { rounds } => {
                derive(pbkdf2::PBKDF2_HMAC_SHA256, *rounds, password, salt, digest);
            }
            Self::Pbkdf2Sha1 { rounds } => {
                derive(pbkdf2::PBKDF2_HMAC_SHA1, *rounds, password, salt, digest);
            }
            Self::Scrypt { log_n, r, p } => {
                let params = scrypt::Params::new(*log_n, *r, *p).expect("costs within the bounds");
                scrypt::scrypt(password, salt, &params, digest).expect("a length above zero");
            }
            Self::Argon2 {
                algorithm,
                version,
                params,
            } => {
                // Not the buffer of the thread, which would keep this memory.
                let mut memory = vec![Block::default(); params.block_count()];
                Argon2::new(*algorithm, *version, params.clone())
                    .hash_password_into_with_memory(password, salt, digest, &mut memory)
                    .expect("lengths within the bounds");
            }
            Self::Bcrypt { cost, prehashed } => {
                let key = bcrypt_key(password, *prehashed);
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&salt[..16]);
                let output = bcrypt::bcrypt(*cost, bytes, &key);
                digest.copy_from_slice(&output[..digest.len()]);
            }
        }
    }
}

/// Returns an argon2 of about so much work, with at most `max_memory` KiB.
fn argon2_of(work: u32, max_memory: u32) -> Vec<Scheme> {
    let passes = work.div_ceil(max_memory);
    let memory = (work / passes).max(Params::MIN_M_COST);
    let params = Params::new(memory, passes, 1, None);
    let scheme = |params| Scheme::Argon2 {
        algorithm: Algorithm::Argon2id,
        version: Version::V0x13,
        params,
    };
    params.map(scheme).into_iter().collect()
}

fn derive(
    algorithm: pbkdf2::Algorithm,
    rounds: u32,
    password: &[u8],
    salt: &[u8],
    digest: &mut [u8],
) {
    let rounds = NonZeroU32::new(rounds).expect("at least one round");
    pbkdf2::derive(algorithm, rounds, salt, password, digest);
}

/// Returns the bytes that bcrypt reads: the password, or the hex digits of its SHA-256, with a zero byte at the end.
fn bcrypt_key(password: &[u8], prehashed: bool) -> Vec<u8> {
    let mut key = if prehashed {
        let digest = digest::digest(&digest::SHA256, password);
        let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        hex.collect::<String>().into_bytes()
    } else {
        password.to_vec()
    };
    key.push(0);
    key.truncate(BCRYPT_MAX_LENGTH);
    key
}

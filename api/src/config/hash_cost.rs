//! The cost of a password hash.

use latchkey_shared::config::settings::{Environment, Settings};

/// The parameters of argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    /// `ARGON2_MEMORY_KIB`: the memory of one hash, in KiB.
    pub memory_kib: u32,
    /// `ARGON2_ITERATIONS`: the number of passes over the memory.
    pub iterations: u32,
    /// `ARGON2_PARALLELISM`: the number of lanes.
    pub parallelism: u32,
}

/// The first recommendation for argon2id of OWASP's Password Storage Cheat Sheet.
impl Default for HashCost {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
            parallelism: 1,
        }
    }
}

impl HashCost {
    /// Reads the cost. In production it cannot be lower than the default.
    pub(super) fn read(settings: &mut Settings, environment: Environment) -> Self {
        let default = Self::default();
        let cost = Self {
            memory_kib: settings.within("ARGON2_MEMORY_KIB", default.memory_kib, 8..=4_194_304),
            iterations: settings.within("ARGON2_ITERATIONS", default.iterations, 1..=1_000),
            parallelism: settings.within("ARGON2_PARALLELISM", default.parallelism, 1..=64),
        };
        if cost.memory_kib < 8 * cost.parallelism {
            settings.fault("ARGON2_MEMORY_KIB", "at least 8 times ARGON2_PARALLELISM");
        }
        if environment == Environment::Production {
            if cost.memory_kib < default.memory_kib {
                settings.fault("ARGON2_MEMORY_KIB", "at least 19456 in production");
            }
            if cost.iterations < default.iterations {
                settings.fault("ARGON2_ITERATIONS", "at least 2 in production");
            }
        }
        cost
    }
}

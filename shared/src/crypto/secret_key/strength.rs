//! Estimates whether a key is random or made up by a person.

use std::collections::HashSet;

/// The minimum number of distinct bytes. 32 random hexadecimal digits have 14 on average, and fewer than 8 once in some 20
/// million keys.
const MIN_DISTINCT: usize = 8;

/// Returns whether a key of at least 32 bytes can be guessed. The thresholds are far from random hexadecimal digits, base64 and
/// bytes, so that random keys are never refused.
pub(super) fn is_guessable(key: &[u8]) -> bool {
    let distinct: HashSet<_> = key.iter().collect();
    distinct.len() < MIN_DISTINCT || repeats(key) || runs(key) || is_text(key)
}

/// Returns whether a quarter of all three-byte sequences are repetitions.
fn repeats(key: &[u8]) -> bool {
    let mut seen = HashSet::new();
    let all = key.windows(3).count();
    let again = key.windows(3).filter(|part| !seen.insert(*part)).count();
    again * 4 > all
}

/// Returns whether half of the bytes continue the sequence before them, as in `abcd`, `1357` and `zyxw`.
fn runs(key: &[u8]) -> bool {
    let step = |from: u8, to: u8| i16::from(to) - i16::from(from);
    let all = key.windows(3).count();
    let steady = key
        .windows(3)
        .filter(|part| step(part[0], part[1]) == step(part[1], part[2]));
    steady.count() * 2 > all
}

/// Returns whether the key looks like words: mostly letters of one case, with as many vowels as languages have.
fn is_text(key: &[u8]) -> bool {
    if key.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    let count = |of: fn(&u8) -> bool| key.iter().filter(|byte| of(byte)).count();
    let lower = count(u8::is_ascii_lowercase);
    let upper = count(u8::is_ascii_uppercase);
    let separators = count(|byte| b" -_.,:;'".contains(byte));
    let vowels = count(|byte| b"aeiouy".contains(&byte.to_ascii_lowercase()));
    let is_one_case = (lower.max(upper) + separators) * 4 >= key.len() * 3;
    is_one_case && vowels * 10 >= (lower + upper) * 3
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn keys_that_people_make_are_guessable() {
        for key in [
            &"a".repeat(32),
            &"ab".repeat(20),
            &"0123456789abcdef".repeat(2),
            &"latchkey".repeat(4),
            &"Xk3$9qLw".repeat(4),
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "zyxwvutsrqponmlkjihgfedcba9876543210",
            "please-change-this-secret-key-now",
            "correct horse battery staple again",
            "CorrectHorseBatteryStapleOnceAgain",
            "THIS_IS_NOT_A_VERY_GOOD_SECRET_KEY",
            "my-super-secret-production-key-2026",
            "changemechangemechangemechangeme",
            "11111111111111112222222222222222",
        ] {
            assert!(is_guessable(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn keys_of_a_generator_are_never_guessable() {
        let mut random = StdRng::seed_from_u64(20_261_128);
        for _ in 0..5_000 {
            let mut bytes = [0; 32];
            random.fill_bytes(&mut bytes);
            let hex = |bytes: &[u8]| {
                let mut text = String::new();
                for byte in bytes {
                    write!(text, "{byte:02x}").unwrap();
                }
                text
            };
            for key in [
                hex(&bytes[..16]).into_bytes(),
                hex(&bytes).into_bytes(),
                hex(&bytes[..16]).to_uppercase().into_bytes(),
                STANDARD.encode(&bytes[..24]).into_bytes(),
                STANDARD.encode(bytes).into_bytes(),
                bytes.to_vec(),
            ] {
                assert!(!is_guessable(&key), "{}", String::from_utf8_lossy(&key));
            }
        }
    }
}

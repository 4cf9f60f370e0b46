//! Estimates whether a key is random or made up by a person.

use std::collections::HashSet;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, general_purpose::PAD},
};

mod digests;
mod known;

/// Decodes base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The minimum number of distinct bytes. 32 random hexadecimal digits have 14 on average, and fewer than 8 once in some 20
/// million keys.
const MIN_DISTINCT: usize = 8;

/// Returns whether a key of at least 32 bytes can be guessed, itself or decoded from hexadecimal digits or base64. The
/// thresholds are far from random hexadecimal digits, base64 and bytes: of those, one key in millions is refused.
///
/// Computes up to 0.7 million digests of short texts for a key that decodes to the length of one.
pub(super) fn is_guessable(key: &[u8]) -> bool {
    let decoded = decoded(key);
    is_made_up(key, &decoded) || decoded.iter().any(|it| digests::is_known(it))
}

/// Returns whether a key or what it encodes was typed by a person.
fn is_made_up(key: &[u8], decoded: &[Vec<u8>]) -> bool {
    let is_decoded_made_up =
        |decoded: &Vec<u8>| is_regular(decoded) || is_printable(decoded) && is_readable(decoded);
    is_regular(key)
        || is_readable(key)
        || known::is_constant(key)
        || decoded.iter().any(is_decoded_made_up)
}

/// Returns whether the key has few distinct bytes, repetitions or sequences.
fn is_regular(key: &[u8]) -> bool {
    let distinct: HashSet<_> = key.iter().collect();
    // Without case and doubled letters, as in `AaBbCc`.
    let mut folded = key.to_ascii_lowercase();
    folded.dedup();
    distinct.len() < MIN_DISTINCT || repeats(key) || runs(key) || runs(&folded)
}

/// Returns whether the key is a number, words, or rows of a keyboard.
fn is_readable(key: &[u8]) -> bool {
    is_number(key)
        || is_sentence(key)
        || is_text(key)
        || known::has_word(key)
        || known::is_mostly_known(key)
}

/// Returns the bytes that a key encodes in hexadecimal digits, in base64 (RFC 4648, 4 or 5, with or without padding), or in both.
fn decoded(key: &[u8]) -> Vec<Vec<u8>> {
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let digits: Option<Vec<_>> = key.iter().map(digit).collect();
    let from_hex = digits.map(|digits| {
        digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect()
    });
    let standard = key.iter().map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    });
    let standard: Vec<_> = standard.collect();
    from_hex
        .into_iter()
        .chain(BASE64.decode(standard))
        .collect()
}

/// Returns whether all bytes are printable ASCII characters or line ends.
fn is_printable(key: &[u8]) -> bool {
    key.iter()
        .all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\n')
}

/// Returns whether the key is digits, in groups or not: the digits of pi, dates, telephone numbers.
fn is_number(key: &[u8]) -> bool {
    key.iter()
        .all(|byte| byte.is_ascii_digit() || b" .,:;/-+_()".contains(byte))
}

/// Returns whether the key is letters and blanks. No generator of keys makes blanks, and words that a person chose are few.
fn is_sentence(key: &[u8]) -> bool {
    key.contains(&b' ')
        && key
            .iter()
            .all(|byte| byte.is_ascii_alphabetic() || b" .,:;'!?-\n".contains(byte))
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

/// Returns whether the key looks like words: mostly letters of one case, with as many vowels and frequent pairs of letters as
/// languages have. Of the pairs in a random text, 14 % are frequent.
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
    is_one_case && vowels * 10 >= (lower + upper) * 3 && has_frequent_pairs(key)
}

/// Returns whether half of the pairs of letters are frequent.
fn has_frequent_pairs(key: &[u8]) -> bool {
    let lower = key.to_ascii_lowercase();
    let pairs = lower
        .windows(2)
        .filter(|pair| pair.iter().all(u8::is_ascii_lowercase));
    let (mut all, mut frequent) = (0, 0);
    for pair in pairs {
        all += 1;
        frequent += usize::from(known::PAIRS.iter().any(|it| it.as_bytes() == pair));
    }
    all > 0 && frequent * 2 >= all
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

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
            "the quick brown fox jumps over the lazy dog",
            "Sphinx of black quartz, judge my vow! Now",
            "ZzYyXxWwVvUuTtSsRrQqPpOoNnMmLlKk",
            "aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpP",
            "THIS_IS_NOT_A_VERY_GOOD_SECRET_KEY",
            "my-super-secret-production-key-2026",
            "changemechangemechangemechangeme",
            "11111111111111112222222222222222",
            // Words, also with digits for letters.
            "SuperSecretKeyForLatchkeyProduction2026!",
            "django-insecure-9x#k2m!v7p0q4z8w1t6y3u5i",
            "Xk3$9qLw-S3cr3t-7tKq9vXw2LmZ4pRb8sYc",
            "7tKq9vXw2LmZ4pRb8sYc1nHd6P@ssw0rd",
            "CHANGEME7tKq9vXw2LmZ4pRb8sYc1nHd",
            "your-256-bit-example-hmac-7tKq9v",
            "dragon17Monkey23shadow99Master42x",
            // Rows of keys.
            "qwertyuiopasdfghjklzxcvbnm1234567890",
            "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
            "Zaq12wsxCde34rfvBgt56yhnMju78ik,",
            "q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6j7k8",
            "!@#$%^&*()qwertyuiop!@#$%^&*()QWERTYUIOP",
            // Numbers.
            "31415926535897932384626433832795028841",
            "3.14159265358979323846264338327950288",
            "2026-11-28 03:17:52 +1 (555) 867-530942",
            "243f6a8885a308d313198a2e03707344",
            // Digests of nothing, `secret`, `password` and other words, also in base64url.
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "D41D8CD98F00B204E9800998ECF8427E",
            "5f4dcc3b5aa765d61d8327deb882cf99",
            "5ebe2294ecd0e0f08eab7690d2a6ee69",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "3858f62230ac3c915f300c664312c63f",
            "s5F5eoCnyaK9F9182EH_Yy3_WiOsurRG08WkdOnJuoU",
            // Such a key in base64 or hexadecimal digits.
            &STANDARD.encode("SuperSecretKeyForLatchkeyProduction2026!"),
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        ] {
            assert!(is_guessable(key.as_bytes()), "{key}");
        }
    }

    /// What password generators make: 40 letters and digits.
    fn passwords(random: &mut StdRng) -> Vec<u8> {
        let characters: Vec<u8> = (b'0'..=b'9')
            .chain(b'A'..=b'Z')
            .chain(b'a'..=b'z')
            .collect();
        let draw = |_| characters[random.random_range(..characters.len())];
        (0..40).map(draw).collect()
    }

    #[test]
    fn keys_of_a_generator_are_never_guessable() {
        let mut random = StdRng::seed_from_u64(20_261_128);
        for _ in 0..1_000 {
            let mut bytes = [0; 32];
            random.fill_bytes(&mut bytes);
            let hex = |bytes: &[u8]| {
                let mut text = String::new();
                for byte in bytes {
                    write!(text, "{byte:02x}").unwrap();
                }
                text
            };
            let mut uuid = || {
                let mut bytes = [0; 16];
                random.fill_bytes(&mut bytes);
                uuid::Builder::from_random_bytes(bytes)
                    .into_uuid()
                    .to_string()
            };
            let uuids = [uuid(), uuid()];
            for key in [
                hex(&bytes[..16]).into_bytes(),
                hex(&bytes).into_bytes(),
                hex(&bytes[..16]).to_uppercase().into_bytes(),
                STANDARD.encode(&bytes[..24]).into_bytes(),
                STANDARD.encode(bytes).into_bytes(),
                URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
                uuids.concat().into_bytes(),
                uuids.join("\n").into_bytes(),
                uuids.concat().replace('-', "").into_bytes(),
                passwords(&mut random),
                bytes.to_vec(),
            ] {
                // The digests are left out, as a random key is none of them and they take long.
                assert!(
                    !is_made_up(&key, &decoded(&key)),
                    "{}",
                    String::from_utf8_lossy(&key)
                );
            }
        }
    }
}

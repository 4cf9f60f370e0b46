//! Digests of words and other short texts, from which people make keys that look random: `echo secret | sha256sum`.

use md5::{Digest as _, Md5};
use ring::digest::{
    self, Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN, SHA256, SHA256_OUTPUT_LEN, SHA384,
    SHA384_OUTPUT_LEN, SHA512, SHA512_OUTPUT_LEN,
};

use super::known;

/// 13,000 frequent passwords, English words and first names, one per line. See `api/data/README.md` for its sources.
const WORDS: &str = include_str!("../../../../data/common-words.txt");

/// Suffixes of words.
const SUFFIXES: [&str; 12] = [
    "", "!", "1", "12", "123", "2020", "2021", "2022", "2023", "2024", "2025", "2026",
];

/// Terms of software, alone and in pairs.
const TERMS: [&str; 56] = [
    "access",
    "account",
    "accounts",
    "acme",
    "admin",
    "api",
    "app",
    "auth",
    "authentication",
    "backend",
    "bar",
    "change",
    "changeme",
    "cookie",
    "default",
    "dev",
    "django",
    "example",
    "foo",
    "hello",
    "hmac",
    "jwt",
    "key",
    "latchkey",
    "local",
    "localhost",
    "login",
    "master",
    "me",
    "my",
    "null",
    "pass",
    "password",
    "private",
    "prod",
    "production",
    "random",
    "root",
    "s3cr3t",
    "salt",
    "secret",
    "secure",
    "server",
    "service",
    "session",
    "signing",
    "staging",
    "super",
    "sup3r",
    "test",
    "the",
    "this",
    "token",
    "user",
    "web",
    "world",
];

/// Texts between the terms of a pair.
const SEPARATORS: [&str; 4] = ["", " ", "-", "_"];

/// Well-known texts other than pairs of terms.
const TEXTS: [&str; 9] = [
    "",
    "correct horse battery staple",
    "correcthorsebatterystaple",
    "example.com",
    "lorem ipsum",
    "my secret key",
    "my-secret-key",
    "the quick brown fox jumps over the lazy dog",
    "this is a secret",
];

/// The length of an MD5 digest.
const MD5_OUTPUT_LEN: usize = 16;

/// Returns whether a decoded key is a digest of such a text, also with the line end that `echo` appends. The length of the key
/// selects the algorithm, so that each text is hashed once.
pub(super) fn is_known(decoded: &[u8]) -> bool {
    let of = |algorithm: &'static Algorithm| {
        any_text(|text| digest::digest(algorithm, text).as_ref() == decoded)
    };
    match decoded.len() {
        MD5_OUTPUT_LEN => any_text(|text| Md5::digest(text).as_slice() == decoded),
        SHA1_OUTPUT_LEN => of(&SHA1_FOR_LEGACY_USE_ONLY),
        SHA256_OUTPUT_LEN => of(&SHA256),
        SHA384_OUTPUT_LEN => of(&SHA384),
        SHA512_OUTPUT_LEN => of(&SHA512),
        _ => false,
    }
}

/// Returns whether a text matches.
fn any_text(mut matches: impl FnMut(&[u8]) -> bool) -> bool {
    let mut line = String::new();
    let mut matches = |parts: &[&str]| {
        line.clear();
        line.extend(parts.iter().copied());
        line.push('\n');
        let (with_end, text) = (line.as_bytes(), &line.as_bytes()[..line.len() - 1]);
        matches(text) || matches(with_end)
    };
    any_other_text(&mut matches) || any_pair(&mut matches) || any_word(&mut matches)
}

/// Tests each word with each suffix, also with a capital letter or in capital letters.
fn any_word(matches: &mut impl FnMut(&[&str]) -> bool) -> bool {
    let mut words = WORDS.lines().chain(TERMS).chain(known::words());
    words.any(|word| {
        let (first, rest) = word.split_at(1);
        let (capital, upper) = (first.to_ascii_uppercase(), word.to_ascii_uppercase());
        let with_suffix =
            |suffix| matches(&[first, rest, suffix]) || matches(&[&capital, rest, suffix]);
        SUFFIXES.into_iter().any(with_suffix) || matches(&[&upper])
    })
}

fn any_pair(matches: &mut impl FnMut(&[&str]) -> bool) -> bool {
    TERMS.iter().any(|first| {
        TERMS.iter().any(|second| {
            let with_separator = |separator: &&str| matches(&[first, separator, second]);
            SEPARATORS.iter().any(with_separator)
        })
    })
}

/// Tests the other texts, keyboard rows, and one or two characters.
fn any_other_text(matches: &mut impl FnMut(&[&str]) -> bool) -> bool {
    let characters = || ('0'..='9').chain('a'..='z').map(String::from);
    TEXTS.iter().any(|text| matches(&[text]))
        || known::row_starts().any(|start| matches(&[start]))
        || characters().any(|first| {
            matches(&[&first]) || characters().any(|second| matches(&[&first, &second]))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_common_texts_are_known() {
        for text in [
            "",
            "a",
            "7x",
            "foobar",
            "hunter2",
            "mysecret",
            "my secret",
            "prod",
            "company",
            "house",
            "world",
            "helloworld",
            "hello world",
            "placeholder",
            "iloveyou",
            "kate",
            "acme",
            "jwt",
            "localhost",
            "accounts",
            "s3cr3t",
            "Sommer2024",
            "example.com",
            "correct horse battery staple",
            "secret",
            "Password1",
            "CHANGEME",
            "jwt-secret",
            "qwertz",
            "1234567890",
            "superuser",
            "autumn!",
        ] {
            let line = format!("{text}\n");
            assert!(is_known(&Md5::digest(text)), "{text}");
            let digest = digest::digest(&SHA256, line.as_bytes());
            assert!(is_known(digest.as_ref()), "{text}");
        }
        for algorithm in [&SHA1_FOR_LEGACY_USE_ONLY, &SHA384, &SHA512] {
            let digest = digest::digest(algorithm, b"foobar");
            assert!(is_known(digest.as_ref()), "{algorithm:?}");
        }
    }

    #[test]
    fn digests_of_other_texts_are_not_known() {
        for text in ["velvet-otter-lantern-42", "7tKq9vXw2LmZ4pRb8sYc1nHd"] {
            assert!(
                !is_known(digest::digest(&SHA256, text.as_bytes()).as_ref()),
                "{text}"
            );
            assert!(!is_known(&Md5::digest(text)), "{text}");
        }
    }

    #[test]
    fn words_are_lower_case_ascii() {
        assert!(WORDS.lines().count() > 12_000);
        for word in WORDS.lines() {
            assert!(word.len() >= 3 && word.is_ascii(), "{word}");
            assert_eq!(word, word.to_ascii_lowercase());
        }
    }
}

//! Hashes that Django 5.1 wrote.

use super::*;

/// Passwords, as Django hashed them, and their hashes.
pub(super) const HASHES: [(&str, &str); 8] = include!("../../../tests/data/django_hashes.rs");

#[test]
fn hashes_match_their_passwords_only() {
    for (password, text) in HASHES {
        let hash = DjangoHash::parse(text).unwrap();
        assert!(hash.matches(password), "{text}");
        assert!(!hash.matches("another quiet morning"), "{text}");
    }
}

#[test]
fn bcrypt_password_with_zero_byte_does_not_match() {
    let (password, text) = HASHES[7];
    let hash = DjangoHash::parse(text).unwrap();
    assert!(!hash.matches(&format!("{password}\0{password}")));
}

#[test]
fn candidates_are_as_typed_then_stripped_then_normalized() {
    for (typed, normalized, expected) in [
        (
            " \u{1f}two words\u{a0}",
            " \u{1f}two words ",
            &[" \u{1f}two words\u{a0}", "two words", " \u{1f}two words "][..],
        ),
        ("two words", "two words", &["two words"]),
        ("two words ", "two words ", &["two words ", "two words"]),
        ("\u{fb01}ve", "five", &["\u{fb01}ve", "five"]),
        ("  ", "  ", &["  "]),
    ] {
        assert_eq!(candidates(typed, normalized), expected);
    }
}

/// Hashes of argon2 and bcrypt have a form that other systems write, too.
#[test]
fn hashes_of_other_systems_round_trip() {
    for (_, stored) in HASHES {
        let other = to_common_format(stored);
        assert_eq!(from_common_format(other.to_owned()), stored);
        let is_shared = stored.starts_with("argon2$") || stored.starts_with("bcrypt$");
        assert_eq!(other.starts_with('$'), is_shared, "{stored}");
    }
    let own =
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$BWHe8J+B7+ap9TDZu4f1spzhQg0nxpkUlLMkJdS5wI4";
    assert_eq!(to_common_format(own), own);
    assert!(DjangoHash::parse(&from_common_format(own.to_owned())).is_ok());
    for other in ["$scrypt$ln=14,r=8,p=1$c2FsdA$aGFzaA", "$2x$12$abc", "", "$"] {
        assert_eq!(from_common_format(other.to_owned()), other);
    }
}

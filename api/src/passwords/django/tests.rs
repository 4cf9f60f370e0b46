//! Hashes that Django 5.1 wrote.

use super::*;

/// Passwords, as Django hashed them, and their hashes.
pub(super) const HASHES: [(&str, &str); 8] = [
    (
        "Invented-weak-words",
        "pbkdf2_sha256$1$s$TwXb66Px2h57jCk7fcr71r2aVbH2pzzAH9PkzkFViA8=",
    ),
    (
        "Invented-weak-words",
        "pbkdf2_sha256$5000$ملح-salt$IUck/MCy2KNaxQhiymO3v+k15Ceg1g8DU84oYZewiMQ=",
    ),
    (
        "Invented-260k-words",
        "pbkdf2_sha256$260000$aDSvxDl0fbVkBb7QC2pqDR$hh/LATlUinOf+7yKAvPtymrZmsi2Jt+zLiLHQvY5PjI=",
    ),
    (
        "Invented-sha1-words",
        "pbkdf2_sha1$870000$en4xAo42ZvJH86Ia7soF7U$c7YZsL/oKaus285C3PFbp16UjFE=",
    ),
    (
        "Invented-scrypt-words",
        "scrypt$16384$zZF3Ja12uUqLw8AqJQnyBA$8$5$vjSQ3/4HpKgBwOt/Qe3Ad+xFyIyax5SazLx1xrswU5PHBSZra032Z7gAlfCSlK8RJECbzeeE8vl6RmtrK6sKog==",
    ),
    (
        "Invented-argon2-words",
        "argon2$argon2id$v=19$m=102400,t=2,p=8$aFF1V05xU24xU3JDNmE4QUl6MGdLYg$BWHe8J+B7+ap9TDZu4f1spzhQg0nxpkUlLMkJdS5wI4",
    ),
    (
        "Invented-bcryptsha256-words",
        "bcrypt_sha256$$2b$12$MDDFE8avpYORw/pllAYE6OxgF3UkaC7MUe9awrZIY0TNzeD8.0266",
    ),
    (
        "Invented-bcrypt-words",
        "bcrypt$$2b$12$beNOw0Zfj8IDq.SN3b5NP.ZqRBMdPJxYRzV70rNgO8Qf.VaYUgMSG",
    ),
];

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
fn hashes_of_other_systems_become_djangos_and_back() {
    for (_, stored) in HASHES {
        let other = to_other_form(stored);
        assert_eq!(of_other_form(other.to_owned()), stored);
        let is_shared = stored.starts_with("argon2$") || stored.starts_with("bcrypt$");
        assert_eq!(other.starts_with('$'), is_shared, "{stored}");
    }
    let own =
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$BWHe8J+B7+ap9TDZu4f1spzhQg0nxpkUlLMkJdS5wI4";
    assert_eq!(to_other_form(own), own);
    assert!(DjangoHash::parse(&of_other_form(own.to_owned())).is_ok());
    for other in ["$scrypt$ln=14,r=8,p=1$c2FsdA$aGFzaA", "$2x$12$abc", "", "$"] {
        assert_eq!(of_other_form(other.to_owned()), other);
    }
}

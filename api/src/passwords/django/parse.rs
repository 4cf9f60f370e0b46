//! Parses the texts of Django's password column.

use argon2::{Algorithm, Params, Version};
use base64::{
    Engine as _, alphabet,
    engine::{
        GeneralPurpose,
        general_purpose::{NO_PAD, STANDARD, STANDARD_NO_PAD},
    },
};

use super::{
    DjangoHash, DjangoHashError, MAX_ARGON2_LANES, MAX_ARGON2_MEMORY_KIB, MAX_ARGON2_PASSES,
    MAX_ARGON2_WORK, MAX_BCRYPT_COST, MAX_LENGTH, MAX_PBKDF2_ROUNDS, MAX_SALT_LENGTH,
    MAX_SCRYPT_BLOCKS, MAX_SCRYPT_PARALLELISM, MAX_SCRYPT_WORK, Scheme,
};

use DjangoHashError::{TooCostly, Unusable};

/// bcrypt's Base64: its own alphabet, without padding.
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD);

/// Number of characters of a bcrypt salt: 16 bytes.
const BCRYPT_SALT_LENGTH: usize = 22;

/// Number of bytes of a bcrypt digest. The 24th byte of the function's output is never stored.
const BCRYPT_DIGEST_LENGTH: usize = 23;

impl DjangoHash {
    /// Parses a stored hash. Accepts a number or Base64 only in the form that Django writes, because Django compares the whole
    /// text and therefore accepts no other.
    pub fn parse(text: &str) -> Result<Self, DjangoHashError> {
        if text.len() > MAX_LENGTH {
            return Err(Unusable);
        }
        let (function, rest) = text.split_once('$').ok_or(Unusable)?;
        let hash = match function {
            "pbkdf2_sha256" => pbkdf2(rest, 32, |rounds| Scheme::Pbkdf2Sha256 { rounds }),
            "pbkdf2_sha1" => pbkdf2(rest, 20, |rounds| Scheme::Pbkdf2Sha1 { rounds }),
            "scrypt" => scrypt(rest),
            "argon2" => argon2(rest),
            "bcrypt" => bcrypt(rest, false),
            "bcrypt_sha256" => bcrypt(rest, true),
            _ => Err(Unusable),
        }?;
        if hash.salt.is_empty() || hash.salt.len() > MAX_SALT_LENGTH {
            return Err(Unusable);
        }
        Ok(hash)
    }
}

/// Parses `rounds$salt$digest`. The salt is text.
fn pbkdf2(
    text: &str,
    digest_length: usize,
    scheme: fn(u32) -> Scheme,
) -> Result<DjangoHash, DjangoHashError> {
    let [rounds, salt, digest] = fields(text)?;
    let digest = decoded(&STANDARD, digest, digest_length..=digest_length)?;
    let rounds = bounded(rounds, MAX_PBKDF2_ROUNDS)?;
    Ok(DjangoHash {
        scheme: scheme(rounds),
        salt: salt.into(),
        digest,
    })
}

/// Parses `N$salt$r$p$digest`. The salt is text.
fn scrypt(text: &str) -> Result<DjangoHash, DjangoHashError> {
    let [n, salt, r, p, digest] = fields(text)?;
    let digest = decoded(&STANDARD, digest, 64..=64)?;
    let n = number(n)?;
    let r = bounded(r, u32::MAX)?;
    if !n.is_power_of_two() || n == 1 {
        return Err(Unusable);
    }
    let blocks = n.saturating_mul(r.into());
    let p = bounded(p, MAX_SCRYPT_PARALLELISM)?;
    if blocks > MAX_SCRYPT_BLOCKS || blocks * u64::from(p) > MAX_SCRYPT_WORK {
        return Err(TooCostly);
    }
    let log_n = u8::try_from(n.ilog2()).map_err(|_| TooCostly)?;
    Ok(DjangoHash {
        scheme: Scheme::Scrypt { log_n, r, p },
        salt: salt.into(),
        digest,
    })
}

/// Parses `argon2id$v=19$m=…,t=…,p=…$salt$digest`: a PHC string without its first `$`. Old versions of Django wrote argon2i; before version 1.3 of
/// argon2 there was no `v`.
fn argon2(text: &str) -> Result<DjangoHash, DjangoHashError> {
    let phc = text.split('$').collect::<Vec<_>>();
    let (algorithm, version, params, salt, digest) = match phc[..] {
        [algorithm, params, salt, digest] => (algorithm, "v=16", params, salt, digest),
        [algorithm, version, params, salt, digest] => (algorithm, version, params, salt, digest),
        _ => return Err(Unusable),
    };
    let scheme = Scheme::Argon2 {
        algorithm: Algorithm::try_from(algorithm).map_err(|_| Unusable)?,
        version: match version {
            "v=16" => Version::V0x10,
            "v=19" => Version::V0x13,
            _ => return Err(Unusable),
        },
        params: argon2_params(params)?,
    };
    Ok(DjangoHash {
        scheme,
        salt: decoded(&STANDARD_NO_PAD, salt, 8..=64)?,
        digest: decoded(&STANDARD_NO_PAD, digest, 12..=64)?,
    })
}

/// Parses `m=…,t=…,p=…`.
fn argon2_params(text: &str) -> Result<Params, DjangoHashError> {
    let named = text.split(',').map(|param| param.split_once('='));
    let named = named.collect::<Option<Vec<_>>>().ok_or(Unusable)?;
    let [("m", memory), ("t", passes), ("p", lanes)] = named[..] else {
        return Err(Unusable);
    };
    let memory = bounded(memory, MAX_ARGON2_MEMORY_KIB)?;
    let passes = bounded(passes, MAX_ARGON2_PASSES)?;
    let lanes = bounded(lanes, MAX_ARGON2_LANES)?;
    if u64::from(memory) * u64::from(passes) > MAX_ARGON2_WORK {
        return Err(TooCostly);
    }
    Params::new(memory, passes, lanes, None).map_err(|_| Unusable)
}

/// Parses `$2b$cost$` with 22 characters of salt and 31 of digest. `$2a$` and `$2y$` are the same function.
fn bcrypt(text: &str, prehashed: bool) -> Result<DjangoHash, DjangoHashError> {
    let ["", "2a" | "2b" | "2y", cost, encoded] = fields(text)? else {
        return Err(Unusable);
    };
    let (salt, digest) = encoded
        .split_at_checked(BCRYPT_SALT_LENGTH)
        .ok_or(Unusable)?;
    let salt = decoded(&BCRYPT_BASE64, salt, 16..=16)?;
    let digest_length = BCRYPT_DIGEST_LENGTH..=BCRYPT_DIGEST_LENGTH;
    let digest = decoded(&BCRYPT_BASE64, digest, digest_length)?;
    // Always two digits.
    let cost = match cost.strip_prefix('0') {
        _ if cost.len() != 2 => return Err(Unusable),
        Some(digit) => number(digit)?,
        None => number(cost)?,
    };
    match u32::try_from(cost) {
        Ok(0..4 | 32..) | Err(_) => Err(Unusable),
        Ok(cost) if cost > MAX_BCRYPT_COST => Err(TooCostly),
        Ok(cost) => Ok(DjangoHash {
            scheme: Scheme::Bcrypt { cost, prehashed },
            salt,
            digest,
        }),
    }
}

/// Splits a text at `$` into exactly `N` fields.
fn fields<const N: usize>(text: &str) -> Result<[&str; N], DjangoHashError> {
    let fields = text.split('$').collect::<Vec<_>>();
    fields.try_into().map_err(|_| Unusable)
}

/// Parses a number of at least 1 and at most `max`.
fn bounded(text: &str, max: u32) -> Result<u32, DjangoHashError> {
    match u32::try_from(number(text)?) {
        Ok(0) => Err(Unusable),
        Ok(number) if number <= max => Ok(number),
        _ => Err(TooCostly),
    }
}

/// Parses decimal digits without a leading zero. A number that does not fit is the largest one.
fn number(text: &str) -> Result<u64, DjangoHashError> {
    let is_canonical = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if !is_canonical {
        return Err(Unusable);
    }
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// Decodes Base64 of so many bytes.
fn decoded(
    base64: &GeneralPurpose,
    text: &str,
    length: std::ops::RangeInclusive<usize>,
) -> Result<Vec<u8>, DjangoHashError> {
    let bytes = base64.decode(text).map_err(|_| Unusable)?;
    length
        .contains(&bytes.len())
        .then_some(bytes)
        .ok_or(Unusable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passwords::django::tests::HASHES;

    const DIGEST: &str = "TwXb66Px2h57jCk7fcr71r2aVbH2pzzAH9PkzkFViA8=";
    const SCRYPT_DIGEST: &str =
        "vjSQ3/4HpKgBwOt/Qe3Ad+xFyIyax5SazLx1xrswU5PHBSZra032Z7gAlfCSlK8RJECbzeeE8vl6RmtrK6sKog==";
    const BCRYPT: &str = "beNOw0Zfj8IDq.SN3b5NP.ZqRBMdPJxYRzV70rNgO8Qf.VaYUgMSG";

    fn error(text: &str) -> DjangoHashError {
        let Err(error) = DjangoHash::parse(text) else {
            panic!("accepted: {text}");
        };
        error
    }

    #[test]
    fn texts_that_django_writes_are_accepted() {
        for (_, text) in HASHES {
            assert!(DjangoHash::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_hash_are_unusable() {
        let long_salt = format!(
            "pbkdf2_sha256$1${}${DIGEST}",
            "s".repeat(MAX_SALT_LENGTH + 1)
        );
        for text in [
            "",
            "!",
            "!JlPHW8qMidDmYOYdY6ZwAgeKB5EGHz0CgCiADeYP",
            "!important1",
            "New-Passw0rd",
            "pa$$word$1$x",
            "0123456789abcdef0123456789abcdef",
            "md5$MDGnsddVDuVmY2EnZFXWY7$d0369125a1955b9dac763f476d93aca6",
            "sha1$salt$0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33",
            "pbkdf2_sha256",
            "pbkdf2_sha256$870000$onlysalt",
            "pbkdf2_sha256$many$salt$aGFzaA==",
            &long_salt,
        ] {
            assert_eq!(error(text), DjangoHashError::Unusable, "{text}");
        }
    }

    #[test]
    fn numbers_and_base64_have_one_spelling() {
        let argon2 = "BWHe8J+B7+ap9TDZu4f1spzhQg0nxpkUlLMkJdS5wI4";
        for text in [
            format!("pbkdf2_sha256$0$salt${DIGEST}"),
            format!("pbkdf2_sha256$01$salt${DIGEST}"),
            format!("pbkdf2_sha256$+1$salt${DIGEST}"),
            format!("pbkdf2_sha256$ 1$salt${DIGEST}"),
            format!("pbkdf2_sha256$-1$salt${DIGEST}"),
            format!("pbkdf2_sha256$١$salt${DIGEST}"),
            format!("pbkdf2_sha256$1$${DIGEST}"),
            format!("pbkdf2_sha256$1$salt${DIGEST}$"),
            format!("pbkdf2_sha256$1$salt${DIGEST}\n"),
            format!("pbkdf2_sha256$1$salt${}", DIGEST.trim_end_matches('=')),
            format!("pbkdf2_sha256$1$salt${}", DIGEST.replace("A8=", "A9=")),
            format!("pbkdf2_sha1$1$salt${DIGEST}"),
            format!("scrypt$16383$salt$8$1${SCRYPT_DIGEST}"),
            format!("scrypt$1$salt$8$1${SCRYPT_DIGEST}"),
            format!("scrypt$0$salt$8$1${SCRYPT_DIGEST}"),
            format!("scrypt$16384$salt$0$1${SCRYPT_DIGEST}"),
            format!("scrypt$16384$salt$8$0${SCRYPT_DIGEST}"),
            format!("scrypt$16384$salt$8$1${DIGEST}"),
            format!("argon2$argon2x$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0${argon2}"),
            format!("argon2$argon2id$v=18$m=64,t=1,p=1$c2FsdHNhbHRzYWx0${argon2}"),
            format!("argon2$argon2id$v=19$t=1,m=64,p=1$c2FsdHNhbHRzYWx0${argon2}"),
            format!("argon2$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHRzYWx0${argon2}"),
            format!("argon2$argon2id$v=19$m=7,t=1,p=1$c2FsdHNhbHRzYWx0${argon2}"),
            "argon2$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$".to_owned(),
            format!("argon2$$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0${argon2}"),
            format!("argon2argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0${argon2}"),
            format!("bcrypt$$2x$12${BCRYPT}"),
            format!("bcrypt$$2b$3${BCRYPT}"),
            format!("bcrypt$$2b$03${BCRYPT}"),
            format!("bcrypt$$2b$012${BCRYPT}"),
            format!("bcrypt$$2b$12${BCRYPT}a"),
            format!("bcrypt$$2b$12${}", &BCRYPT[1..]),
            format!("bcrypt$2b$12${BCRYPT}"),
        ] {
            assert_eq!(error(&text), DjangoHashError::Unusable, "{text}");
        }
    }

    #[test]
    fn a_cost_above_its_bound_is_too_costly() {
        let argon2 = |params: &str| {
            format!(
                "argon2$argon2id$v=19${params}$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
            )
        };
        let pbkdf2 = |rounds: &str| format!("pbkdf2_sha256${rounds}$salt${DIGEST}");
        let scrypt = |n: u64, r: &str, p: u32| format!("scrypt${n}$salt${r}${p}${SCRYPT_DIGEST}");
        let bcrypt = |cost: &str| format!("bcrypt_sha256$$2b${cost}${BCRYPT}");
        for (accepted, refused) in [
            (pbkdf2("2000000"), pbkdf2("2000001")),
            (pbkdf2("1"), pbkdf2("2147483647")),
            (pbkdf2("1"), pbkdf2("99999999999999999999999999")),
            (argon2("m=262144,t=4,p=1"), argon2("m=262145,t=4,p=1")),
            (argon2("m=102400,t=10,p=8"), argon2("m=102400,t=11,p=8")),
            (argon2("m=104857,t=10,p=8"), argon2("m=104858,t=10,p=8")),
            (argon2("m=102400,t=2,p=16"), argon2("m=102400,t=2,p=17")),
            (argon2("m=64,t=1,p=1"), argon2("m=4194304,t=50,p=1")),
            (scrypt(1 << 15, "8", 1), scrypt(1 << 16, "8", 1)),
            (scrypt(1 << 14, "8", 8), scrypt(1 << 14, "8", 9)),
            (scrypt(1 << 10, "8", 16), scrypt(1 << 10, "8", 17)),
            (scrypt(2, "131072", 1), scrypt(2, "131073", 1)),
            (
                scrypt(2, "1", 1),
                scrypt(1 << 63, "99999999999999999999", 1),
            ),
            (bcrypt("14"), bcrypt("15")),
            (bcrypt("04"), bcrypt("31")),
        ] {
            assert!(DjangoHash::parse(&accepted).is_ok(), "{accepted}");
            assert_eq!(error(&refused), DjangoHashError::TooCostly, "{refused}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(index in 0..HASHES.len(), at in 0_usize..140, with in "\\PC{0,3}") {
            let mut text = HASHES[index].1.to_owned();
            if text.is_char_boundary(at) && at < text.len() {
                let end = (at + 1..=text.len()).find(|end| text.is_char_boundary(*end));
                text.replace_range(at..end.unwrap_or(at), &with);
            }
            let _ = DjangoHash::parse(&text);
        }
    }
}

//! Time-based one-time passwords (RFC 6238) with the parameters that every authenticator app supports: HMAC-SHA-1, six digits, steps
//! of 30 seconds.

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE32_NOPAD;
use form_urlencoded::byte_serialize;
use latchkey_shared::{crypto::random_bytes, redis::one_time_code::Otp};
use qrcode::{EcLevel, QrCode, render::svg, types::QrError};
use ring::hmac;

/// The number of digits of a code.
pub const DIGITS: u32 = 6;

/// The length of a time step, in seconds.
const STEP_SECONDS: i64 = 30;

/// How many steps before and after the current one are accepted (RFC 6238, 5.2), for the delay of the network and small errors of clocks.
const ACCEPTED_STEPS: i64 = 1;

/// How many steps before and after the current one are searched for the code of a device whose clock is wrong: 10 minutes.
const SEARCHED_STEPS: i64 = 20;

/// The secret that an account shares with an authenticator app: 160 bits, as RFC 4226, 4, recommends.
pub struct TotpSecret(Vec<u8>);

/// What a code is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotpMatch {
    /// The code of this step, which is accepted now.
    Accepted(i64),
    /// The code of this step, which is too old or too new: the clock of the device is wrong.
    ClockWrong(i64),
    /// Not a code of this time.
    Wrong,
}

impl TotpSecret {
    /// Generates a secret with the operating system's generator.
    pub fn generate() -> Self {
        Self(random_bytes::<20>().to_vec())
    }

    /// Returns a stored secret.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, to store them sealed.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the secret as authenticator apps take it: in base32.
    pub fn to_base32(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }

    /// Returns the `otpauth://` URI that authenticator apps read. `issuer` names the service, `account` the account.
    pub fn uri(&self, issuer: &str, account: &str) -> String {
        // Some apps show `+` as it is, so a space is `%20`.
        let encode = |text: &str| {
            byte_serialize(text.as_bytes())
                .collect::<String>()
                .replace('+', "%20")
        };
        let (issuer, account) = (encode(issuer), encode(account));
        format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}",
            self.to_base32()
        )
    }

    /// Compares a code with those of the steps around `now`. Codes up to the step `last_used` are wrong, as one code is accepted once.
    pub fn check(&self, code: &Otp, now: DateTime<Utc>, last_used: i64) -> TotpMatch {
        let current = step_at(now);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let mut found = TotpMatch::Wrong;
        // Compares all, so that the time does not show which one matches.
        for step in current - SEARCHED_STEPS..=current + SEARCHED_STEPS {
            if !code_at(&key, step).matches(code) || step <= last_used {
                continue;
            }
            if (step - current).abs() <= ACCEPTED_STEPS {
                found = TotpMatch::Accepted(step);
            } else if found == TotpMatch::Wrong {
                found = TotpMatch::ClockWrong(step);
            }
        }
        found
    }
}

/// Returns how far the clock of a device is ahead that shows the code of `step`. Negative if it is behind.
pub fn clock_error(step: i64, now: DateTime<Utc>) -> TimeDelta {
    TimeDelta::seconds((step - step_at(now)) * STEP_SECONDS)
}

/// Draws a QR code as an SVG image.
pub fn qr_svg(text: &str) -> Result<String, QrError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
    Ok(code.render::<svg::Color>().min_dimensions(200, 200).build())
}

fn step_at(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(STEP_SECONDS)
}

/// Returns the code of a step (RFC 4226, 5.3).
fn code_at(key: &hmac::Key, step: i64) -> Otp {
    let mac = hmac::sign(key, &step.to_be_bytes());
    let mac = mac.as_ref();
    let offset = usize::from(mac[mac.len() - 1] & 0xf);
    let word = [
        mac[offset] & 0x7f,
        mac[offset + 1],
        mac[offset + 2],
        mac[offset + 3],
    ];
    Otp::from_value(u64::from(u32::from_be_bytes(word)), DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn code(text: &str) -> Otp {
        Otp::from_typed(text, DIGITS).unwrap()
    }

    /// RFC 6238, appendix B: the last six of the eight digits.
    #[test]
    fn codes_are_those_of_rfc_6238() {
        let secret = TotpSecret::new(b"12345678901234567890".to_vec());
        for (seconds, digits) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let matched = secret.check(&code(digits), at(seconds), 0);
            assert_eq!(matched, TotpMatch::Accepted(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn code_is_accepted_one_step_around_and_once() {
        let secret = TotpSecret::new(b"12345678901234567890".to_vec());
        // The code of step 37,037,036.
        let code = code("081804");
        let step = 37_037_036;
        for (seconds, last_used, expected) in [
            (step * 30, 0, TotpMatch::Accepted(step)),
            (step * 30 - 30, 0, TotpMatch::Accepted(step)),
            (step * 30 + 59, 0, TotpMatch::Accepted(step)),
            (step * 30 - 31, 0, TotpMatch::ClockWrong(step)),
            (step * 30 + 60, 0, TotpMatch::ClockWrong(step)),
            (step * 30 - 600, 0, TotpMatch::ClockWrong(step)),
            (step * 30 - 601, 0, TotpMatch::Wrong),
            (step * 30 + 630, 0, TotpMatch::Wrong),
            (step * 30, step - 1, TotpMatch::Accepted(step)),
            (step * 30, step, TotpMatch::Wrong),
        ] {
            let matched = secret.check(&code, at(seconds), last_used);
            assert_eq!(matched, expected, "{seconds} {last_used}");
        }
    }

    #[test]
    fn uri_names_service_and_account() {
        let secret = TotpSecret::new(vec![0; 20]);
        assert_eq!(
            secret.uri("Ada & Co", "ada+1@example.com"),
            "otpauth://totp/Ada%20%26%20Co:ada%2B1%40example.com?secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&issuer=Ada%20%26%20Co\
             &algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn qr_code_of_the_longest_uri_is_drawn() {
        let longest = "\u{10ffff}".repeat(45);
        let uri = TotpSecret::generate().uri(&longest, &"a".repeat(254));
        assert!(qr_svg(&uri).unwrap().contains("<svg"));
    }
}

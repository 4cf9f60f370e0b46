//! Fields of the profile.

use chrono::NaiveDate;
use latchkey_shared::types::{
    email::Email,
    gender::Gender,
    language_tag::LanguageTag,
    phone_number::{PhoneNumber, Region},
    username::Username,
};

use crate::{http::body::fields::FromField as _, import::outcome::Reason};

/// The maximum length of a username, in characters.
const MAX_USERNAME: usize = 45;

/// Returns a username that Latchkey accepts. A blank one becomes the local part of the email.
pub(super) fn username(text: &str, email: &Email, reasons: &mut Vec<Reason>) -> Username {
    if let Ok(username) = text.parse() {
        return username;
    }
    let is_control = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let without_controls = text.replace(is_control, " ");
    let visible: String = without_controls
        .chars()
        .filter(|c| is_allowed(*c))
        .collect();
    let short: String = visible.chars().take(MAX_USERNAME).collect();
    if let Ok(username) = short.trim().parse() {
        for (is_changed, reason) in [
            (text != without_controls, Reason::UsernameControlCharacters),
            (
                visible != without_controls,
                Reason::UsernameCharactersDropped,
            ),
            (short != visible, Reason::UsernameShortened),
        ] {
            if is_changed {
                reasons.push(reason);
            }
        }
        return username;
    }
    reasons.push(Reason::UsernameBlank);
    let local: String = email.local_part().chars().take(MAX_USERNAME).collect();
    // A local part has a visible character, but it may have joiners that no username has.
    let user = || {
        "user"
            .parse()
            .unwrap_or_else(|_| unreachable!("a valid username"))
    };
    local.parse().unwrap_or_else(|_| user())
}

/// Returns whether a username may contain a character.
fn is_allowed(c: char) -> bool {
    format!("a{c}").parse::<Username>().is_ok()
}

/// Returns the E.164 form of a phone number.
pub(super) fn phone_number(
    text: Option<&str>,
    region: Option<Region>,
    reasons: &mut Vec<Reason>,
) -> Option<PhoneNumber> {
    let text = text.filter(|text| !text.is_empty())?;
    // An extension follows a word or letter: "ext. 5", "x5", ";ext=5".
    let end = text.find(|c: char| c.is_ascii_alphabetic() || c == ';' || c == '#');
    let (number, extension) = text.split_at(end.unwrap_or(text.len()));
    let (number, has_extension) = if is_extension(extension) {
        (number, true)
    } else {
        (text, false)
    };
    // The international prefix of most countries (ITU-T E.164).
    let international = number
        .trim()
        .strip_prefix("00")
        .map(|rest| format!("+{rest}"));
    let number = international.as_deref().unwrap_or(number);
    let Ok(number) = PhoneNumber::in_region(number, region) else {
        reasons.push(Reason::PhoneDropped);
        return None;
    };
    if has_extension {
        reasons.push(Reason::PhoneExtensionDropped);
    } else if number.as_str() != text {
        reasons.push(Reason::PhoneNormalised);
    }
    Some(number)
}

/// Returns whether a text is an extension of a phone number: a word for it and up to seven digits.
fn is_extension(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_start_matches([';', '#', '.', '=', ' ', ':']);
    let digits = ["extension", "ext", "x"]
        .into_iter()
        .find_map(|word| digits.strip_prefix(word))
        .unwrap_or(digits)
        .trim_start_matches(['.', '=', ' ', ':'])
        .trim_end();
    !text.is_empty()
        && (1..=7).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns a date of birth from 1900 to today.
pub(super) fn date_birth(
    text: Option<&str>,
    today: NaiveDate,
    reasons: &mut Vec<Reason>,
) -> Option<NaiveDate> {
    let text = text.filter(|text| !text.is_empty())?;
    let date = NaiveDate::from_field(text)
        .ok()
        .filter(|date| *date <= today);
    if date.is_none() {
        reasons.push(Reason::DateBirthDropped);
    }
    date
}

/// Returns a gender of Latchkey. An empty text is none.
pub(super) fn gender(text: Option<&str>, reasons: &mut Vec<Reason>) -> Option<Gender> {
    let text = text.filter(|text| !text.is_empty())?;
    if let Ok(gender) = text.parse() {
        return Some(gender);
    }
    let gender = text.trim().to_lowercase().parse().ok();
    reasons.push(match gender {
        Some(_) => Reason::GenderNormalised,
        None => Reason::GenderDropped,
    });
    gender
}

/// Returns a language tag.
pub(super) fn language(text: Option<&str>, reasons: &mut Vec<Reason>) -> Option<LanguageTag> {
    let text = text.filter(|text| !text.is_empty())?;
    let language = text.parse().ok();
    if language.is_none() {
        reasons.push(Reason::LanguageDropped);
    }
    language
}

//! Comparison of a password with the account's data, the product name and the host of `PUBLIC_URL`.

use std::collections::BTreeSet;

use chrono::{Datelike as _, NaiveDate};
use latchkey_shared::{
    models::user,
    types::{
        ascii_reading::ascii_readings, email::Email, phone_number::PhoneNumber, username::Username,
    },
};
use url::Host;

use crate::passwords::{
    common::{Forms, MIN_WORD},
    dates::MONTHS,
    variations::{bare, letters, reversed, spellings, unit},
};

/// Similarity from which a password is too similar to a known text (0 to 1).
const TOO_SIMILAR: f64 = 0.7;

/// Minimum length of a part of a password, in characters: names such as Li, and labels such as `io`.
const MIN_PART: usize = 2;

/// Minimum length of a part beside which any number of digits is ignored, in characters: a date with a year of two digits.
const MIN_LONG_PART: usize = 6;

/// Maximum number of combinations of substitutes in a password that is compared with parts.
const MAX_SPELLINGS: usize = 64;

/// Maximum length of texts in an edit distance, in characters, as its time is the product of the lengths.
const MAX_COMPARED: usize = 64;

/// The data of the account that a new password is for.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The email.
    pub email: &'a Email,
    /// The username.
    pub username: &'a Username,
    /// The phone number.
    pub phone_number: Option<&'a PhoneNumber>,
    /// The date of birth.
    pub date_birth: Option<NaiveDate>,
}

impl<'a> Owner<'a> {
    /// Returns the data of an account.
    #[must_use]
    pub fn of(user: &'a user::Model) -> Self {
        Self {
            email: &user.email,
            username: &user.username,
            phone_number: user.phone_number.as_ref(),
            date_birth: user.date_birth,
        }
    }

    pub(super) fn known(self) -> Vec<Known> {
        let email = self.email.as_str().to_lowercase();
        let (local, domain) = email.rsplit_once('@').unwrap_or_default();
        // Mail to `ada+shop@` arrives at `ada@` (RFC 5233).
        let (mailbox, _) = local.split_once('+').unwrap_or_default();
        let mut known = vec![
            Known::whole("e-mail address", &email),
            Known::whole("e-mail address", local),
            Known::whole("e-mail address", mailbox),
            Known::whole("user name", self.username.as_str()),
        ];
        known.extend(Known::parts("e-mail address", local));
        known.extend(Known::domain("e-mail address", domain));
        known.extend(Known::parts("user name", self.username.as_str()));
        if let Some(number) = self.phone_number {
            known.extend(Known::phone_number(number.as_str()));
        }
        known.extend(self.date_birth.into_iter().flat_map(Known::date));
        known
    }
}

/// Returns a text in lower case, and its readings in ASCII.
pub(super) fn readings(text: &str) -> BTreeSet<String> {
    let ascii = ascii_readings(text);
    ascii.into_iter().chain([text.to_lowercase()]).collect()
}

/// Returns the name of the known text that a password is similar to, or mostly consists of.
pub(super) fn resembled(
    passwords: &BTreeSet<String>,
    forms: &Forms,
    known: &[Known],
) -> Option<&'static str> {
    let is_like = |known: &&Known| {
        let mut passwords = passwords.iter();
        passwords.any(|password| known.is_resembled_by(password, forms))
    };
    let alone = known.iter().find(is_like).map(|known| known.what);
    alone.or_else(|| {
        let parts = parts_of_passwords(known);
        let mut spelled = passwords
            .iter()
            .flat_map(|password| spellings(&bare(password), MAX_SPELLINGS));
        spelled.find_map(|password| made_of(&password, &parts))
    })
}

/// Returns the letters and digits of the known texts, forwards and backwards, longest first, with their names.
fn parts_of_passwords(known: &[Known]) -> Vec<(String, &'static str)> {
    let words = known.iter().flat_map(|known| {
        let texts = known.texts.iter().map(|text| bare(text));
        texts.flat_map(|word| [(reversed(&word), known.what), (word, known.what)])
    });
    let mut parts: Vec<_> = words
        .filter(|(word, _)| word.chars().count() >= MIN_PART)
        .collect();
    parts.sort_by_key(|(word, _)| std::cmp::Reverse(word.chars().count()));
    parts
}

/// Returns the name of the longest part of a password, if fewer than [`MIN_WORD`] letters and digits remain without parts. Digits do not
/// count beside parts of [`MIN_LONG_PART`] characters together.
fn made_of(password: &str, parts: &[(String, &'static str)]) -> Option<&'static str> {
    let mut rest = password.to_owned();
    let (mut longest, mut length) = (None, 0);
    for (part, what) in parts {
        if rest.contains(part.as_str()) {
            rest = rest.replace(part.as_str(), "\0");
            longest = longest.or(Some(*what));
            length += part.chars().count();
        }
    }
    let counts = |c: &char| c.is_alphabetic() || c.is_numeric() && length < MIN_LONG_PART;
    let is_made_of = length >= MIN_WORD && rest.chars().filter(counts).count() < MIN_WORD;
    longest.filter(|_| is_made_of)
}

/// A text that an attacker may know.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The name of the text in error messages.
    what: &'static str,
    /// The text in lower case, and its readings in ASCII.
    texts: BTreeSet<String>,
    /// Whether a similar password is refused, too, and not only one that contains the text.
    is_whole: bool,
}

impl Known {
    fn whole(what: &'static str, text: &str) -> Self {
        Self {
            what,
            texts: readings(text),
            is_whole: true,
        }
    }

    fn part(what: &'static str, text: &str) -> Self {
        Self {
            is_whole: false,
            ..Self::whole(what, text)
        }
    }

    /// Returns the words of a text.
    fn parts(what: &'static str, text: &str) -> Vec<Self> {
        text.split(|c: char| !c.is_alphanumeric())
            .map(|part| Self::part(what, part))
            .collect()
    }

    /// Returns the words of a domain as it is written and with U-labels, which users read and type.
    fn domain(what: &'static str, domain: &str) -> Vec<Self> {
        let (unicode, _) = idna::domain_to_unicode(domain);
        let spellings = BTreeSet::from([domain, &unicode]).into_iter();
        spellings
            .flat_map(|domain| Self::parts(what, domain))
            .collect()
    }

    /// Returns a number in E.164 form, with its country code of one to three digits and without.
    fn phone_number(number: &str) -> Vec<Self> {
        let what = "phone number";
        let national = (2..=4).filter_map(|start| number.get(start..));
        national
            .map(|number| Self::part(what, number))
            .chain([Self::whole(what, number)])
            .collect()
    }

    /// Returns a date in every usual order, with and without leading zeros and with the name of its month, and its parts of at least
    /// four digits. Separators do not matter, see [`bare`].
    fn date(date: NaiveDate) -> Vec<Self> {
        let (year, month, day) = (date.year(), date.month(), date.day());
        let mut texts = BTreeSet::from([format!("{year:04}")]);
        let years = [format!("{year:04}"), format!("{:02}", year.rem_euclid(100))];
        let numbers = [
            (format!("{month:02}"), format!("{day:02}")),
            (month.to_string(), day.to_string()),
        ];
        let name = MONTHS[date.month0() as usize];
        let names = [name, &name[..3]].map(|name| {
            let days = numbers.each_ref().map(|(_, day)| day.clone());
            days.map(|day| (name.to_owned(), day))
        });
        for (m, d) in names.as_flattened().iter().chain(&numbers) {
            texts.extend([format!("{d}{m}"), format!("{m}{d}")]);
            for y in &years {
                texts.extend([
                    format!("{y}{m}{d}"),
                    format!("{y}{d}{m}"),
                    format!("{d}{m}{y}"),
                ]);
                texts.extend([format!("{m}{d}{y}"), format!("{m}{y}"), format!("{y}{m}")]);
            }
        }
        let long = texts.into_iter().filter(|text| text.len() >= MIN_WORD);
        long.map(|text| Self::part("date of birth", &text))
            .collect()
    }

    /// Returns the product name, the host and their words.
    pub(super) fn of_installation(product: &str, host: Option<&Host<&str>>) -> Vec<Self> {
        let what = "name of this service";
        let mut known = vec![Self::whole(what, product)];
        known.extend(Self::parts(what, product));
        let what = "address of this service";
        known.extend(host.map(|host| Self::whole(what, &host.to_string())));
        if let Some(Host::Domain(host)) = host {
            known.extend(Self::domain(what, host));
        }
        known
    }

    /// Whether a reading of a password, or one of its forms, is this text with little added, or with digits and signs only.
    fn is_resembled_by(&self, password: &str, forms: &Forms) -> bool {
        let mut texts = self.texts.iter();
        texts.any(|text| has_letters_of(password, text) || self.is_like(text, password, forms))
    }

    fn is_like(&self, text: &str, password: &str, forms: &Forms) -> bool {
        let word = bare(text);
        if !word.is_empty() && forms.contain(&word) {
            return true;
        }
        let length = text.chars().count();
        // Shorter texts would match too many passwords.
        if length < MIN_WORD {
            return false;
        }
        let is_mostly = || password.contains(text) && password.chars().count() < length + MIN_WORD;
        is_mostly() || (self.is_whole && likeness(password, text) >= TOO_SIMILAR)
    }
}

/// Returns whether the letters of a password are those of a text, forwards or backwards, once or repeated: `bob12345!`.
fn has_letters_of(password: &str, text: &str) -> bool {
    let (written, word) = (letters(password), letters(text));
    let backwards = reversed(&word);
    !word.is_empty() && [unit(&word), unit(&backwards)].contains(&unit(&written))
}

/// Returns the similarity of two texts (0 to 1): the larger of edit distance and common character pairs.
fn likeness(password: &str, text: &str) -> f64 {
    let longest = password.chars().count().max(text.chars().count());
    let as_written = if longest <= MAX_COMPARED {
        strsim::normalized_damerau_levenshtein(text, password)
    } else {
        0.0
    };
    as_written.max(strsim::sorensen_dice(text, password))
}

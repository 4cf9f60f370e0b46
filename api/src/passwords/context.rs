//! What a password must not resemble: the account's own data, the name of the product and the host of its URL.

use std::collections::BTreeSet;

use chrono::{Datelike as _, NaiveDate};
use latchkey_shared::{
    models::user,
    types::{
        ascii_reading::ascii_readings, email::Email, phone_number::PhoneNumber, username::Username,
    },
};
use url::Host;

use crate::passwords::common::{Forms, MIN_WORD, bare, reversed, spellings};

/// Above this share of likeness a password is a known text over again.
const TOO_SIMILAR: f64 = 0.7;

/// The shortest text that counts as a part beside longer ones, in characters: names such as Li and labels such as `io`.
const MIN_PART: usize = 2;

/// The longest texts that are compared character by character, as that takes the product of their lengths.
const MAX_COMPARED: usize = 64;

/// What is known of the account that a new password is for.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Its address.
    pub email: &'a Email,
    /// Its name.
    pub username: &'a Username,
    /// Its number.
    pub phone_number: Option<&'a PhoneNumber>,
    /// Its owner's date of birth.
    pub date_birth: Option<NaiveDate>,
}

impl<'a> Owner<'a> {
    /// What is known of an account.
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
        let mut known = vec![
            Known::whole("e-mail address", &email),
            Known::whole("e-mail address", local),
            Known::whole("user name", self.username.as_str()),
        ];
        known.extend(Known::parts("e-mail address", local));
        known.extend(Known::parts("e-mail address", domain));
        known.extend(Known::parts("user name", self.username.as_str()));
        if let Some(number) = self.phone_number {
            known.push(Known::whole("phone number", number.as_str()));
        }
        known.extend(self.date_birth.into_iter().flat_map(Known::date));
        known
    }
}

/// Returns a text in lower case, and as it reads in ASCII.
pub(super) fn readings(text: &str) -> BTreeSet<String> {
    let ascii = ascii_readings(text);
    ascii.into_iter().chain([text.to_lowercase()]).collect()
}

/// Returns what a password resembles, if it resembles a known text or has next to nothing beside such texts.
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
            .flat_map(|password| spellings(&bare(password)));
        spelled.find_map(|password| made_of(&password, &parts))
    })
}

/// Letters and digits of the known texts, forwards and backwards, the longest first, with what they are.
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

/// Returns what the longest part in a password is, if fewer than [`MIN_WORD`] of its letters and digits are no part.
fn made_of(password: &str, parts: &[(String, &'static str)]) -> Option<&'static str> {
    let mut rest = password.to_owned();
    let mut longest = None;
    for (part, what) in parts {
        if rest.contains(part.as_str()) {
            rest = rest.replace(part.as_str(), "\0");
            longest = longest.or(Some((part, *what)));
        }
    }
    let left = rest.chars().filter(|c| *c != '\0').count();
    let (part, what) = longest?;
    (left < MIN_WORD && part.chars().count() >= MIN_WORD).then_some(what)
}

/// A text that everybody may know.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What it is, for people.
    what: &'static str,
    /// In lower case, and as it reads in ASCII.
    texts: BTreeSet<String>,
    /// Whether likeness is enough.
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

    /// The words of a text.
    fn parts(what: &'static str, text: &str) -> Vec<Self> {
        text.split(|c: char| !c.is_alphanumeric())
            .map(|part| Self {
                is_whole: false,
                ..Self::whole(what, part)
            })
            .collect()
    }

    /// A date in every usual order of its parts, with and without leading zeros, and those of its parts that have four
    /// digits or more together. The signs between them are no matter: see [`bare`].
    fn date(date: NaiveDate) -> Vec<Self> {
        let (year, month, day) = (date.year(), date.month(), date.day());
        let mut texts = BTreeSet::from([format!("{year:04}")]);
        let years = [format!("{year:04}"), format!("{:02}", year.rem_euclid(100))];
        let short = (month.to_string(), day.to_string());
        for (m, d) in [(format!("{month:02}"), format!("{day:02}")), short] {
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
        long.map(|text| Self {
            is_whole: false,
            ..Self::whole("date of birth", &text)
        })
        .collect()
    }

    /// The name of the product, and the names in its host.
    pub(super) fn of_installation(product: &str, host: Option<&Host<&str>>) -> Vec<Self> {
        let what = "name of this service";
        let mut known = vec![Self::whole(what, product)];
        known.extend(Self::parts(what, product));
        if let Some(Host::Domain(host)) = host {
            let what = "address of this service";
            known.push(Self::whole(what, host));
            known.extend(Self::parts(what, host));
        }
        known
    }

    /// Whether a password, in a reading and in all of its forms, is this text with next to nothing added.
    fn is_resembled_by(&self, password: &str, forms: &Forms) -> bool {
        self.texts
            .iter()
            .any(|text| self.is_like(text, password, forms))
    }

    fn is_like(&self, text: &str, password: &str, forms: &Forms) -> bool {
        let length = text.chars().count();
        // Shorter texts are like everything.
        if length < MIN_WORD {
            return false;
        }
        let is_mostly = || password.contains(text) && password.chars().count() < length + MIN_WORD;
        let word = bare(text);
        (word.chars().count() >= MIN_WORD && forms.contain(&word))
            || is_mostly()
            || (self.is_whole && likeness(password, text) >= TOO_SIMILAR)
    }
}

/// From 0 to 1: as written, and whatever the order of the words.
fn likeness(password: &str, text: &str) -> f64 {
    let longest = password.chars().count().max(text.chars().count());
    let as_written = if longest <= MAX_COMPARED {
        strsim::normalized_damerau_levenshtein(text, password)
    } else {
        0.0
    };
    as_written.max(strsim::sorensen_dice(text, password))
}

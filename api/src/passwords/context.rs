//! What a password must not resemble: the account's own data, the name of the product and the host of its URL.

use latchkey_shared::{
    models::user,
    types::{email::Email, phone_number::PhoneNumber, username::Username},
};
use url::Host;

use crate::passwords::common::{Forms, MIN_WORD, bare};

/// Above this share of likeness a password is a known text over again.
const TOO_SIMILAR: f64 = 0.7;

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
}

impl<'a> Owner<'a> {
    /// What is known of an account.
    #[must_use]
    pub fn of(user: &'a user::Model) -> Self {
        Self {
            email: &user.email,
            username: &user.username,
            phone_number: user.phone_number.as_ref(),
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
        known
    }
}

/// A text that everybody may know, in lower case.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What it is, for people.
    pub(super) what: &'static str,
    text: String,
    /// Whether likeness is enough.
    is_whole: bool,
}

impl Known {
    fn whole(what: &'static str, text: &str) -> Self {
        Self {
            what,
            text: text.to_lowercase(),
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

    /// Whether a password, in lower case and in all of its forms, is this text with next to nothing added.
    pub(super) fn is_resembled_by(&self, password: &str, forms: &Forms) -> bool {
        let length = self.text.chars().count();
        // Shorter texts are like everything.
        if length < MIN_WORD {
            return false;
        }
        let is_mostly =
            || password.contains(&self.text) && password.chars().count() < length + MIN_WORD;
        let word = bare(&self.text);
        (word.chars().count() >= MIN_WORD && forms.contain(&word))
            || is_mostly()
            || (self.is_whole && likeness(password, &self.text) >= TOO_SIMILAR)
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

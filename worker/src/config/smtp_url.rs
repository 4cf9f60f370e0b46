//! `SMTP_URL`: which server takes the mails, and how the way there is secured.

use std::str::FromStr;

use latchkey_shared::config::service_url::{EXPECTED_ENCODED, is_percent_encoded};
use percent_encoding::percent_decode_str;
use url::Url;

/// What `SMTP_URL` has to look like.
pub const EXPECTED: &str = "smtp://[user:password@]host[:port][?tls=required|opportunistic|none] or \
                            smtps://[user:password@]host[:port]";

/// A server to hand mails to.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl {
    /// Its name, which its certificate has to bear.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub tls: Tls,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

/// How a connection is secured. Certificates are always checked where there is TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// TLS from the first byte (`smtps`, RFC 8314).
    Implicit,
    /// STARTTLS, or no mail.
    Required,
    /// STARTTLS where the server offers it.
    Opportunistic,
    /// Never.
    None,
}

/// Why a text is not an `SMTP_URL`. It repeats nothing of the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnSmtpUrl {
    /// It does not look like [`EXPECTED`].
    Malformed,
    /// The user or the password is not percent-encoded: see [`EXPECTED_ENCODED`].
    NotEncoded,
}

impl NotAnSmtpUrl {
    /// What the text should have been.
    #[must_use]
    pub fn expected(self) -> &'static str {
        match self {
            Self::Malformed => EXPECTED,
            Self::NotEncoded => EXPECTED_ENCODED,
        }
    }
}

impl FromStr for SmtpUrl {
    type Err = NotAnSmtpUrl;

    fn from_str(text: &str) -> Result<Self, NotAnSmtpUrl> {
        if !is_percent_encoded(text) {
            return Err(NotAnSmtpUrl::NotEncoded);
        }
        let url = Url::parse(text).map_err(|_| NotAnSmtpUrl::Malformed)?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host
            .ok_or(NotAnSmtpUrl::Malformed)?
            .trim_matches(['[', ']']);
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(NotAnSmtpUrl::Malformed);
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) if !user.is_empty() => Some((decode(user)?, decode(password)?)),
            _ => return Err(NotAnSmtpUrl::Malformed),
        };
        let tls = tls(&url, credentials.is_some())?;
        let usual_port = match (tls, &credentials) {
            (Tls::Implicit, _) => 465,
            (_, Some(_)) => 587,
            (_, None) => 25,
        };
        Ok(Self {
            host: host.to_owned(),
            port: url.port().unwrap_or(usual_port),
            tls,
            credentials,
        })
    }
}

fn tls(url: &Url, with_credentials: bool) -> Result<Tls, NotAnSmtpUrl> {
    let parameters: Vec<_> = url.query_pairs().collect();
    let asked = match parameters.as_slice() {
        [] => None,
        [(key, value)] if key == "tls" => Some(value.as_ref()),
        _ => return Err(NotAnSmtpUrl::Malformed),
    };
    match (url.scheme(), asked) {
        ("smtps", None) => Ok(Tls::Implicit),
        ("smtp", Some("required")) => Ok(Tls::Required),
        ("smtp", Some("none")) => Ok(Tls::None),
        // A password is not sent in the open unless somebody says so.
        ("smtp", None) if with_credentials => Ok(Tls::Required),
        ("smtp", None | Some("opportunistic")) => Ok(Tls::Opportunistic),
        _ => Err(NotAnSmtpUrl::Malformed),
    }
}

fn decode(text: &str) -> Result<String, NotAnSmtpUrl> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| NotAnSmtpUrl::NotEncoded)?;
    Ok(decoded.into_owned())
}

/// The password stays out.
impl std::fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SmtpUrl({}:{}, {:?})", self.host, self.port, self.tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> SmtpUrl {
        text.parse().unwrap()
    }

    #[test]
    fn the_scheme_the_login_and_the_parameter_decide_about_tls_and_the_port() {
        for (text, port, tls) in [
            ("smtp://mail.example.com", 25, Tls::Opportunistic),
            ("smtp://u:p@mail.example.com", 587, Tls::Required),
            ("smtp://u:p@mail.example.com:25?tls=none", 25, Tls::None),
            ("smtp://127.0.0.1:1025?tls=required", 1025, Tls::Required),
            ("smtps://u:p@mail.example.com/", 465, Tls::Implicit),
        ] {
            let url = parse(text);
            assert_eq!((url.port, url.tls), (port, tls), "{text}");
        }
    }

    #[test]
    fn a_password_may_hold_any_character_and_is_never_shown() {
        let url = parse("smtps://ada%40example.com:p%2Fw%25@mail.example.com");
        let expected = ("ada@example.com".to_owned(), "p/w%".to_owned());
        assert_eq!(url.credentials, Some(expected.clone()));
        assert!(!format!("{url:?}").contains(&expected.1));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "mail.example.com",
            "http://mail.example.com",
            "smtp://",
            "smtp://u@mail.example.com",
            "smtp://mail.example.com/inbox",
            "smtp://mail.example.com?tls=maybe",
            "smtp://mail.example.com?tls=none&tls=required",
            "smtps://mail.example.com?tls=none",
        ] {
            let refused = Err(NotAnSmtpUrl::Malformed);
            assert_eq!(text.parse::<SmtpUrl>(), refused, "{text}");
        }
    }

    #[test]
    fn raw_delimiters_in_credentials_are_refused_as_not_encoded() {
        for text in [
            "smtp://u:pa#ss@mail.example.com",
            "smtp://u:pa/ss@mail.example.com",
            "smtp://u:pa?ss@mail.example.com",
            "smtp://u:25#ss@mail.example.com",
            "smtp://u:25/ss@mail.example.com",
            "smtp://u:25?tls=none@mail.example.com",
            "smtps://u#x:pass@mail.example.com",
            "smtp://ada@example.com:pa/ss@mail.example.com",
            "smtp://u:100%@mail.example.com",
            "smtp://u:%zz@mail.example.com",
            "smtp://u:%ff@mail.example.com",
        ] {
            let refused = Err(NotAnSmtpUrl::NotEncoded);
            assert_eq!(text.parse::<SmtpUrl>(), refused, "{text}");
        }
    }
}

//! `SMTP_URL`: the SMTP server and the security of its connection.

use std::str::FromStr;

use latchkey_shared::config::{
    service_url::{
        EXPECTED_ENCODED, EXPECTED_WITHOUT_CONTROL, has_encoded_control, is_percent_encoded,
    },
    web_url::is_loopback_host,
};
use percent_encoding::percent_decode_str;
use url::Url;

/// The expected form of `SMTP_URL`.
pub const EXPECTED: &str = "smtp://[user:password@]host[:port][?tls=required|opportunistic|none] or \
                            smtps://[user:password@]host[:port]";

/// An SMTP server.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl {
    /// The host name, which the certificate must match.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the connection is secured.
    pub tls: Tls,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

/// The security of a connection. With TLS, certificates are always verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// TLS from the first byte (`smtps`, RFC 8314).
    Implicit,
    /// STARTTLS is required.
    Required,
    /// STARTTLS if the server offers it.
    Opportunistic,
    /// No TLS.
    None,
}

/// The reason why a text is not an `SMTP_URL`. It does not contain the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnSmtpUrl {
    /// The text does not have the form of [`EXPECTED`].
    Malformed,
    /// The user or the password is not percent-encoded ([`EXPECTED_ENCODED`]).
    NotEncoded,
    /// The decoded text has a control character.
    ControlCharacter,
}

impl NotAnSmtpUrl {
    /// Returns the expected form of the text.
    #[must_use]
    pub fn expected(self) -> &'static str {
        match self {
            Self::Malformed => EXPECTED,
            Self::NotEncoded => EXPECTED_ENCODED,
            Self::ControlCharacter => EXPECTED_WITHOUT_CONTROL,
        }
    }
}

impl SmtpUrl {
    /// Returns whether others on the network can read the password. Without TLS they can, and with opportunistic TLS if they
    /// remove `STARTTLS` from the server's reply.
    #[must_use]
    pub fn exposes_credentials(&self) -> bool {
        let is_secure = matches!(self.tls, Tls::Implicit | Tls::Required);
        self.credentials.is_some() && !is_secure && !is_loopback_host(&self.host)
    }
}

impl FromStr for SmtpUrl {
    type Err = NotAnSmtpUrl;

    fn from_str(text: &str) -> Result<Self, NotAnSmtpUrl> {
        if !is_percent_encoded(text) {
            return Err(NotAnSmtpUrl::NotEncoded);
        }
        if has_encoded_control(text) {
            return Err(NotAnSmtpUrl::ControlCharacter);
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
        let default_port = match (tls, &credentials) {
            (Tls::Implicit, _) => 465,
            (_, Some(_)) => 587,
            (_, None) => 25,
        };
        Ok(Self {
            host: host.to_owned(),
            port: url.port().unwrap_or(default_port),
            tls,
            credentials,
        })
    }
}

fn tls(url: &Url, with_credentials: bool) -> Result<Tls, NotAnSmtpUrl> {
    let parameters: Vec<_> = url.query_pairs().collect();
    let requested = match parameters.as_slice() {
        [] => None,
        [(key, value)] if key == "tls" => Some(value.as_ref()),
        _ => return Err(NotAnSmtpUrl::Malformed),
    };
    match (url.scheme(), requested) {
        ("smtps", None) => Ok(Tls::Implicit),
        ("smtp", Some("required")) => Ok(Tls::Required),
        ("smtp", Some("none")) => Ok(Tls::None),
        // A password is sent unencrypted only if `tls` allows it explicitly.
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

/// Omits the credentials.
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
    fn scheme_login_and_parameter_select_tls_and_port() {
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
    fn password_is_decoded_and_omitted_from_debug_output() {
        let url = parse("smtps://ada%40example.com:p%2Fw%25@mail.example.com");
        let expected = ("ada@example.com".to_owned(), "p/w%".to_owned());
        assert_eq!(url.credentials, Some(expected.clone()));
        assert!(!format!("{url:?}").contains(&expected.1));
    }

    #[test]
    fn malformed_smtp_urls_are_rejected() {
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
    fn encoded_control_characters_are_rejected() {
        for text in [
            "smtp://u%00:p@mail.example.com",
            "smtp://u:p%00w@mail.example.com",
            "smtp://u:p%0d%0aQUIT@mail.example.com",
            "smtps://u%0A:p@mail.example.com",
            "smtp://mail%0d.example.com",
        ] {
            let refused = Err(NotAnSmtpUrl::ControlCharacter);
            assert_eq!(text.parse::<SmtpUrl>(), refused, "{text}");
        }
    }

    #[test]
    fn raw_delimiters_in_credentials_are_rejected_as_not_encoded() {
        for text in [
            "smtp://u:pa#ss@mail.example.com",
            "smtp://u:pa/ss@mail.example.com",
            "smtp://u:pa?ss@mail.example.com",
            "smtp://u:25#ss@mail.example.com",
            "smtp://u:25/ss@mail.example.com",
            "smtp://u:25?tls=none@mail.example.com",
            "smtps://u#x:pass@mail.example.com",
            "smtp://ada@example.com:pa/ss@mail.example.com",
            "smtp://ada@example.com:pass@mail.example.com",
            "smtp://u:p@ss@mail.example.com",
            "smtp://u:100%@mail.example.com",
            "smtp://u:%zz@mail.example.com",
            "smtp://u:%ff@mail.example.com",
            "smtp://u:p\tw@mail.example.com",
            "smtp://u:p\nw@mail.example.com",
        ] {
            let refused = Err(NotAnSmtpUrl::NotEncoded);
            assert_eq!(text.parse::<SmtpUrl>(), refused, "{text}");
        }
    }
}

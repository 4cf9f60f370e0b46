//! The headers of tokens. They select a key, and nothing else: the key determines the algorithm (RFC 8725, 3.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer};

/// The length of a key id: a SHA-256 thumbprint in base64url.
const KID_LENGTH: usize = 43;

/// The only header that this service signs and accepts, in any JSON spelling. Further members are refused: `crit` would require
/// extensions (RFC 7515, 4.1.11), and none are supported.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
}

/// The key that a header names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyName {
    /// A shared secret: HS256 without a key id.
    Secret,
    /// The key pair with this id, with the algorithm that the header claims.
    Pair {
        /// The key id.
        kid: String,
        /// The algorithm, which has to be that of the key.
        algorithm: String,
    },
}

impl KeyName {
    /// Reads the header of a token. Returns `None` if this service has not made it.
    pub(super) fn of(token: &str) -> Option<Self> {
        let encoded = token.split('.').next()?;
        let json = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let header: Header = serde_json::from_slice(&json).ok()?;
        let is_kid = |kid: &String| {
            let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            kid.len() == KID_LENGTH && kid.bytes().all(is_base64url)
        };
        match (header.alg.as_str(), header.kid) {
            _ if header.typ != "JWT" => None,
            ("HS256", None) => Some(Self::Secret),
            ("ES256" | "EdDSA", Some(kid)) if is_kid(&kid) => Some(Self::Pair {
                kid,
                algorithm: header.alg,
            }),
            _ => None,
        }
    }
}

/// Reads a member that may be absent, but not null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(header: &str) -> Option<KeyName> {
        KeyName::of(&format!("{}.x.y", URL_SAFE_NO_PAD.encode(header)))
    }

    #[test]
    fn headers_of_this_service_name_a_key() {
        let kid = "k".repeat(KID_LENGTH);
        assert_eq!(
            name(r#"{ "typ":"JWT", "alg":"HS256" }"#),
            Some(KeyName::Secret)
        );
        for algorithm in ["ES256", "EdDSA"] {
            assert_eq!(
                name(&format!(
                    r#"{{"typ":"JWT","alg":"{algorithm}","kid":"{kid}"}}"#
                )),
                Some(KeyName::Pair {
                    kid: kid.clone(),
                    algorithm: algorithm.to_owned()
                })
            );
        }
    }

    #[test]
    fn other_headers_are_refused() {
        let kid = "k".repeat(KID_LENGTH);
        for header in [
            r#"{"typ":"JWT","alg":"HS256","kid":null}"#.to_owned(),
            r#"{"typ":"JWT","alg":"HS256","alg":"HS256"}"#.to_owned(),
            r#"{"typ":"JWT","alg":"ES256"}"#.to_owned(),
            r#"{"typ":"JWT","alg":"ES256","kid":"short"}"#.to_owned(),
            format!(r#"{{"typ":"JWT","alg":"HS256","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"JWT","alg":"none","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"JWT","alg":"es256","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"JWT","alg":"ES384","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"jwt","alg":"ES256","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"JWT","alg":"ES256","kid":"{kid}","x5u":""}}"#),
            format!(r#"{{"typ":"JWT","alg":"ES256","kid":"{kid}"}} "#) + "{}",
        ] {
            assert_eq!(name(&header), None, "{header}");
        }
    }
}

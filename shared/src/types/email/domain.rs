//! Domains of emails: valid DNS names by strict IDNA (UTS #46, non-transitional).

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use crate::types::{lookalike::fold_case, validation_error::Invalid};

/// The prefix of a label that encodes characters other than ASCII (RFC 5890, 2.3.2.1).
const A_LABEL: &str = "xn--";
/// Top-level domains without mail servers: `localhost` is this machine, and `invalid` never exists (RFC 6761, 6.3 and 6.4).
const TLDS_WITHOUT_MAIL: [&str; 2] = ["invalid", "localhost"];

/// Converts a domain to A-labels in lower case. Returns `None` if DNS cannot have such a name: a label has 1 to 63 letters, digits
/// and inner hyphens, and a name at most 253 bytes (RFC 1035, 2.3.4).
pub(super) fn to_ascii(domain: &str) -> Option<String> {
    Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::Check,
            DnsLength::Verify,
        )
        .ok()
        .map(Into::into)
}

/// Converts a domain to U-labels. A label that is not valid stays as it is.
pub(super) fn to_unicode(domain: &str) -> String {
    let (unicode, _) =
        Uts46::new().to_unicode(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    unicode.into_owned()
}

/// Returns the labels of a composed domain as U-labels. There are at least two.
///
/// # Errors
/// If DNS cannot have such a domain, or its spelling uses variants of characters, which IDNA would map.
pub(super) fn labels(domain: &str) -> Result<Vec<String>, Invalid> {
    let ascii = to_ascii(domain).ok_or_else(invalid)?;
    if !has_top_level_domain(&ascii) {
        return Err(invalid());
    }
    let (unicode, valid) =
        Uts46::new().to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    valid.map_err(|_| invalid())?;
    let labels: Vec<_> = unicode.split('.').map(str::to_owned).collect();
    let typed: Vec<_> = domain.split('.').collect();
    let is_mapped = |(typed, label): (&&str, &String)| {
        let is_encoded = typed
            .get(..A_LABEL.len())
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case(A_LABEL));
        !is_encoded && fold_case(typed) != *label
    };
    if typed.len() != labels.len() || typed.iter().zip(&labels).any(is_mapped) {
        return Err(Invalid::new(
            "character",
            "The domain has a character that no domain has: an invisible one, or a variant of another.",
        ));
    }
    Ok(labels)
}

/// Returns whether a domain has a dot and ends in a top-level domain that may have a mail server. Those consist of letters or are
/// encoded (RFC 3696, 2), so IP addresses such as `127.0.0.1` or `0x7f.1` are not domains.
fn has_top_level_domain(ascii: &str) -> bool {
    ascii.rsplit_once('.').is_some_and(|(_, top)| {
        let is_name =
            top.starts_with(A_LABEL) || top.bytes().all(|byte| byte.is_ascii_alphabetic());
        is_name && !TLDS_WITHOUT_MAIL.contains(&top)
    })
}

fn invalid() -> Invalid {
    Invalid::new(
        "invalid",
        "The part after the @ is not a domain, such as example.com.",
    )
}

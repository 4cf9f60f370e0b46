//! Pictures inside JSON: `data:` URLs (RFC 2397) with base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use latchkey_shared::types::validation_error::Invalid;

/// Maximum length of the part before the comma, in bytes. Media types are shorter.
const MAX_HEADER_BYTES: usize = 256;

/// Decodes a `data:image/…;base64,…` URL. Its media type is ignored: the bytes show the format.
pub fn decode(text: &str) -> Result<Vec<u8>, Invalid> {
    let invalid = || {
        Invalid::new(
            "invalid",
            "Not a picture: send a file, or a URL like data:image/png;base64,….",
        )
    };
    let (header, data) = text.trim().split_once(',').ok_or_else(invalid)?;
    if header.len() > MAX_HEADER_BYTES {
        return Err(invalid());
    }
    let header = header.to_ascii_lowercase();
    if !header.starts_with("data:image/") || !header.ends_with(";base64") {
        return Err(invalid());
    }
    STANDARD.decode(data.as_bytes()).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_base64_data_urls_of_images_decode() {
        assert_eq!(decode("data:image/png;base64,AQID").unwrap(), [1, 2, 3]);
        for bad in [
            "",
            "x.png",
            "data:text/html;base64,AQID",
            "data:image/png,AQID",
            "data:image/png;base64,?",
            "data:image/png;base64",
        ] {
            assert_eq!(decode(bad).unwrap_err().code, "invalid", "{bad}");
        }
    }
}

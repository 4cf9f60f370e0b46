//! The logo of pages and mails.

use std::{fs, io, path::Path, sync::Arc};

/// Maximum length of the file, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// A picture that browsers display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// Its media type, [`PNG`](Self::PNG) or [`SVG`](Self::SVG).
    pub media_type: &'static str,
    /// The content of the file.
    pub content: Arc<[u8]>,
}

impl Logo {
    /// The media type of PNG, which all mail clients display.
    pub const PNG: &str = "image/png";
    /// The media type of SVG, which most mail clients do not display.
    pub const SVG: &str = "image/svg+xml";

    /// Reads an SVG or PNG file of at most 256 KiB.
    ///
    /// # Errors
    /// When the file cannot be read, is larger, or is neither.
    pub fn read(path: &Path) -> io::Result<Self> {
        let content = fs::read(path)?;
        if content.len() > MAX_BYTES {
            return Err(io::Error::other(format!("it has {} bytes", content.len())));
        }
        let is_svg = || str::from_utf8(&content).is_ok_and(|text| text.contains("<svg"));
        let media_type = if content.starts_with(b"\x89PNG\r\n\x1a\n") {
            Self::PNG
        } else if is_svg() {
            Self::SVG
        } else {
            return Err(io::Error::other("it is neither"));
        };
        Ok(Self {
            media_type,
            content: content.into(),
        })
    }
}

//! `BRAND_COLOR` and `LOGO_FILE`: the colour and the logo of the dashboard.

use std::{fs, io, path::Path, str::FromStr};

use hyper::body::Bytes;
use latchkey_shared::config::settings::Settings;

/// The accent colour without `BRAND_COLOR`. `admin.css` and `logo.svg` contain it, too.
pub const DEFAULT_COLOR: BrandColor = BrandColor([0x42, 0x50, 0xd0]);

/// The darkest background of a text in the accent colour on a light page.
const LIGHT_BACKGROUND: BrandColor = BrandColor([0xf5, 0xf7, 0xfb]);
/// The lightest background of a text in the accent colour on a dark page.
const DARK_BACKGROUND: BrandColor = BrandColor([0x1f, 0x2a, 0x3b]);
/// Minimum contrast of a text (WCAG 2.2, success criterion 1.4.3).
const MIN_CONTRAST: f64 = 4.5;
/// Maximum length of the logo, in bytes.
const MAX_LOGO_BYTES: usize = 256 * 1024;

/// The colour and the logo of the dashboard.
#[derive(Clone, Debug)]
pub struct Branding {
    /// `BRAND_COLOR`
    pub color: BrandColor,
    /// The content of `LOGO_FILE`.
    pub logo: Option<Logo>,
}

/// A picture that browsers display.
#[derive(Clone, Debug)]
pub struct Logo {
    /// Its media type.
    pub media_type: &'static str,
    /// The content of the file.
    pub content: Bytes,
}

impl Branding {
    /// Reads the settings and the file.
    pub fn read(settings: &mut Settings) -> Self {
        let color = settings.parse(
            "BRAND_COLOR",
            DEFAULT_COLOR,
            "a colour in six hexadecimal digits such as 4250d0, dark enough to be read on a light page: its contrast to #f5f7fb must be at least 4.5:1",
        );
        let path = settings.text("LOGO_FILE");
        let logo = path.and_then(|path| match Logo::read(Path::new(&path)) {
            Ok(logo) => Some(logo),
            Err(error) => {
                let expected =
                    format!("the path of an SVG or PNG file of at most 256 KiB ({error})");
                settings.fault("LOGO_FILE", &expected);
                None
            }
        });
        Self { color, logo }
    }
}

impl Logo {
    fn read(path: &Path) -> io::Result<Self> {
        let content = fs::read(path)?;
        if content.len() > MAX_LOGO_BYTES {
            return Err(io::Error::other(format!("it has {} bytes", content.len())));
        }
        let is_svg = || str::from_utf8(&content).is_ok_and(|text| text.contains("<svg"));
        let media_type = if content.starts_with(b"\x89PNG\r\n\x1a\n") {
            "image/png"
        } else if is_svg() {
            "image/svg+xml"
        } else {
            return Err(io::Error::other("it is neither"));
        };
        Ok(Self {
            media_type,
            content: content.into(),
        })
    }
}

/// An sRGB colour with enough contrast for texts on light pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrandColor([u8; 3]);

impl BrandColor {
    /// Returns the colour in hexadecimal digits, such as `#4250d0`.
    #[must_use]
    pub fn to_hex(self) -> String {
        let [red, green, blue] = self.0;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// Returns a lighter colour with enough contrast for texts on dark pages.
    #[must_use]
    pub fn lightened(self) -> Self {
        (0..=100)
            .map(|percent| self.mixed_with_white(percent))
            .find(|color| color.contrast(DARK_BACKGROUND) >= MIN_CONTRAST)
            .unwrap_or(Self([0xff; 3]))
    }

    fn mixed_with_white(self, percent: u16) -> Self {
        Self(self.0.map(|channel| {
            let mixed = u16::from(channel) * (100 - percent) + 255 * percent;
            u8::try_from(mixed / 100).unwrap_or(u8::MAX)
        }))
    }

    /// Returns the contrast ratio of two colours (WCAG 2.2, section 5).
    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// Returns the relative luminance, from 0 to 1 (WCAG 2.2, section 5).
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|channel| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.04045 {
                channel / 12.92
            } else {
                ((channel + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl FromStr for BrandColor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        let number = u32::from_str_radix(digits, 16).map_err(|_| ())?;
        let [_, red, green, blue] = number.to_be_bytes();
        let color = Self([red, green, blue]);
        if color.contrast(LIGHT_BACKGROUND) >= MIN_CONTRAST {
            Ok(color)
        } else {
            Err(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_accepted_only_with_enough_contrast() {
        for (text, is_accepted) in [
            ("#4250d0", true),
            ("4250d0", true),
            ("#000000", true),
            ("#B00020", true),
            // 4.54:1 to white, and so too little to a page.
            ("#767676", false),
            ("#ffffff", false),
            ("#f59e0b", false),
            ("a00d0", false),
            ("#42d", false),
            ("#4250d0ff", false),
            ("#+250d0", false),
            ("red", false),
        ] {
            let color = text.parse::<BrandColor>();
            assert_eq!(color.is_ok(), is_accepted, "{text}");
            if let Ok(color) = color {
                assert_eq!(
                    color.to_hex(),
                    format!("#{}", text.trim_start_matches('#').to_lowercase())
                );
                let light = color.lightened();
                assert!(light.contrast(DARK_BACKGROUND) >= MIN_CONTRAST, "{text}");
            }
        }
    }
}

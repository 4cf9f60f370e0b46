//! The accent colour of pages and mails.

use std::str::FromStr;

/// The accent colour without `BRAND_COLOR`. The dashboard's `admin.css` and `logo.svg` contain it, too.
pub const DEFAULT_COLOR: BrandColor = BrandColor([0x42, 0x50, 0xd0]);

/// The darkest background of a text in the accent colour on a light page.
const LIGHT_BACKGROUND: BrandColor = BrandColor([0xf5, 0xf7, 0xfb]);
/// The lightest background of a text in the accent colour on a dark page.
const DARK_BACKGROUND: BrandColor = BrandColor([0x1f, 0x2a, 0x3b]);
/// Minimum contrast of a text (WCAG 2.2, success criterion 1.4.3).
const MIN_CONTRAST: f64 = 4.5;

/// An sRGB colour with enough contrast for texts on light pages and on buttons.
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

//! The style sheet with `BRAND_COLOR`, and the logo.

use hyper::body::Bytes;
use latchkey_shared::{
    outbox::template::MailBranding,
    types::brand_color::{BrandColor, DEFAULT_COLOR},
};

use crate::admin::dashboard::assets;

const DEFAULT_LOGO: &str = include_str!("../../../assets/logo.svg");

/// The assets that depend on the configuration.
pub struct BrandAssets {
    /// `None` with the default colour.
    stylesheet: Option<BrandAsset>,
    logo: BrandAsset,
}

/// A style sheet or a picture.
pub struct BrandAsset {
    /// Its media type.
    pub media_type: &'static str,
    /// Distinguishes versions.
    pub hash: u32,
    /// Its content, which all responses share.
    pub content: Bytes,
}

impl BrandAssets {
    /// Creates the assets. The default logo has the accent colour.
    #[must_use]
    pub fn new(branding: &MailBranding) -> Self {
        let color = branding.color;
        let logo = branding.logo.as_ref().map_or_else(
            || {
                let svg = DEFAULT_LOGO.replace(&DEFAULT_COLOR.to_hex(), &color.to_hex());
                BrandAsset::new(assets::SVG, svg.into())
            },
            |logo| BrandAsset::new(logo.media_type, Bytes::from_owner(logo.content.clone())),
        );
        let is_default = color == DEFAULT_COLOR;
        let stylesheet = || BrandAsset::new(assets::CSS, stylesheet(color).into());
        Self {
            stylesheet: (!is_default).then(stylesheet),
            logo,
        }
    }

    /// Returns the asset with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&BrandAsset> {
        match name {
            "brand.css" => self.stylesheet.as_ref(),
            "logo" => Some(&self.logo),
            _ => None,
        }
    }

    /// Returns the URL path of an asset, with the hash of its content.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<String> {
        let asset = self.find(name)?;
        Some(assets::versioned_path(name, asset.hash))
    }
}

impl BrandAsset {
    fn new(media_type: &'static str, content: Bytes) -> Self {
        Self {
            media_type,
            hash: assets::hash(&content),
            content,
        }
    }
}

/// Returns a style sheet that changes the accent colours of `admin.css`.
fn stylesheet(color: BrandColor) -> String {
    let (accent, light) = (color.to_hex(), color.lightened().to_hex());
    format!(":root, [data-bs-theme] {{ --tblr-primary: {accent}; --accent-light: {light}; }}\n")
}

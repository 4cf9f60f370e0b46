//! The values that all mails share. The dashboard has the same name, colour and logo.

use std::sync::Arc;

use url::Url;

use crate::types::{
    brand_color::{BrandColor, DEFAULT_COLOR},
    email::Email,
    logo::Logo,
};

/// The key of the default logo in white, without a background: 96 × 96 pixels, displayed at 40 × 40.
const KEY: &[u8] = include_bytes!("../../../assets/key.png");

/// The values that all mails share. Each field names its setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailBranding {
    /// `PRODUCT_NAME`
    pub product: String,
    /// `BRAND_COLOR`
    pub color: BrandColor,
    /// The content of `LOGO_FILE`.
    pub logo: Option<Logo>,
    /// `SUPPORT_ADDRESS`: the contact of users.
    pub support: Option<Email>,
    /// `LOGIN_URL`: the page of the team's front end where users log in. `None` without `APP_URL`.
    pub login_url: Option<Url>,
    /// `RESET_URL`: the page where users reset their passwords. `None` without `APP_URL`.
    pub reset_url: Option<Url>,
}

impl MailBranding {
    /// Returns the branding of a product without other settings.
    #[must_use]
    pub fn new(product: &str) -> Self {
        Self {
            product: product.to_owned(),
            color: DEFAULT_COLOR,
            logo: None,
            support: None,
            login_url: None,
            reset_url: None,
        }
    }

    /// Returns the PNG file of the logo in mails: the default one on the accent colour, or `LOGO_FILE`. Most mail clients do not
    /// display SVG, so mails do not have such a logo.
    #[must_use]
    pub(super) fn mail_logo(&self) -> Option<Arc<[u8]>> {
        match &self.logo {
            None => Some(KEY.into()),
            Some(logo) => (logo.media_type == Logo::PNG).then(|| logo.content.clone()),
        }
    }

    /// Returns warnings about what the mails of a production system lack, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let app = "APP_URL is not set: mails have no links to your front end. Set it to the URL of the front end.";
        let support = "SUPPORT_ADDRESS is not set: mails name no contact. Set it to an address that users can write to.";
        let app = self.login_url.is_none().then_some(app);
        let support = self.support.is_none().then_some(support);
        app.into_iter().chain(support).map(str::to_owned).collect()
    }
}

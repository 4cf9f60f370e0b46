//! The values that all mails share.

use url::Url;

use crate::types::email::Email;

/// The values that all mails share. Each field names its setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailBranding {
    /// `PRODUCT_NAME`
    pub product: String,
    /// `SUPPORT_ADDRESS`: the contact of users.
    pub support: Option<Email>,
    /// `LOGIN_URL`: the page of the team's front end where users log in. `None` without `APP_URL`.
    pub login_url: Option<Url>,
    /// `RESET_URL`: the page where users reset their passwords. `None` without `APP_URL`.
    pub reset_url: Option<Url>,
}

impl MailBranding {
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

//! The settings of the texts and the look of mails.

use std::path::Path;

use url::Url;

use crate::{
    config::{
        settings::{Environment, Settings},
        web_url,
    },
    outbox::template::{MailBranding, MailTemplates, TemplateErrors},
    types::{brand_color::DEFAULT_COLOR, logo::Logo},
};

/// Stands for `APP_URL` in the other URLs of the front end.
const APP: &str = "{app}";

/// Reads the values that all mails share.
pub fn branding(settings: &mut Settings, environment: Environment) -> MailBranding {
    let expected = "the URL of your front end, such as https://app.example.com";
    let app = web_url::read(settings, environment, "APP_URL", expected);
    let login = page(settings, "LOGIN_URL", "{app}/login");
    let reset = page(settings, "RESET_URL", "{app}/reset-password");
    let link = |page: String| {
        let app = app.as_ref()?.as_str().trim_end_matches('/');
        Url::parse(&page.replacen(APP, app, 1)).ok()
    };
    MailBranding {
        product: settings
            .text("PRODUCT_NAME")
            .unwrap_or_else(|| "Latchkey".to_owned()),
        color: settings.parse(
            "BRAND_COLOR",
            DEFAULT_COLOR,
            "a colour in six hexadecimal digits such as 4250d0, dark enough to be read on a light page: its contrast to #f5f7fb must be at least 4.5:1",
        ),
        logo: logo(settings),
        support: settings.optional("SUPPORT_ADDRESS", "an email address"),
        login_url: link(login),
        reset_url: link(reset),
    }
}

fn logo(settings: &mut Settings) -> Option<Logo> {
    let path = settings.text("LOGO_FILE")?;
    let logo = Logo::read(Path::new(&path));
    logo.map_err(|error| {
        let expected = format!("the path of an SVG or PNG file of at most 256 KiB ({error})");
        settings.fault("LOGO_FILE", &expected);
    })
    .ok()
}

/// Reads the pattern of a page of the front end.
fn page(settings: &mut Settings, key: &str, default: &str) -> String {
    let Some(text) = settings.text(key) else {
        return default.to_owned();
    };
    if is_page(&text) {
        return text;
    }
    settings.fault(
        key,
        &format!("{APP} and a path of ASCII characters, such as {default}"),
    );
    default.to_owned()
}

/// Returns whether a pattern is a page below `APP_URL`: a path, query or fragment follows it.
fn is_page(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(APP) else {
        return false;
    };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\x22'`{}|\\^".contains(&byte);
    (rest.is_empty() || rest.starts_with(['/', '?', '#'])) && rest.bytes().all(is_plain)
}

/// Loads the templates, with those of `MAIL_TEMPLATES_DIR`. Returns `None` if one has an error, which is recorded as a fault.
pub fn templates(settings: &mut Settings) -> Option<MailTemplates> {
    let folder = settings.text("MAIL_TEMPLATES_DIR");
    let loaded = MailTemplates::load(folder.as_deref().map(Path::new));
    loaded
        .map_err(|TemplateErrors(errors)| {
            for error in errors {
                let expected = format!("a folder of templates without errors ({error})");
                settings.fault("MAIL_TEMPLATES_DIR", &expected);
            }
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<MailBranding, String> {
        let mut settings = Settings::from_pairs(pairs.iter().copied());
        let branding = branding(&mut settings, Environment::Production);
        settings.finish().map_err(|error| error.to_string())?;
        Ok(branding)
    }

    fn links(pairs: &[(&str, &str)]) -> [Option<String>; 2] {
        let branding = read(pairs).unwrap();
        [branding.login_url, branding.reset_url].map(|url| url.map(String::from))
    }

    #[test]
    fn links_are_pages_of_app_url() {
        let app = ("APP_URL", "https://app.example.com/shop/");
        assert_eq!(links(&[]), [None, None]);
        assert_eq!(
            links(&[app]).map(Option::unwrap),
            [
                "https://app.example.com/shop/login",
                "https://app.example.com/shop/reset-password"
            ]
        );
        let patterns = [
            app,
            ("LOGIN_URL", "{app}/#/login?from=mail&x=1"),
            ("RESET_URL", "{app}"),
        ];
        assert_eq!(
            links(&patterns).map(Option::unwrap),
            [
                "https://app.example.com/shop/#/login?from=mail&x=1",
                "https://app.example.com/shop"
            ]
        );
    }

    #[test]
    fn url_outside_app_url_is_refused() {
        for page in [
            "https://login.example.com",
            "/login",
            "{app}.evil.example",
            "{app}@evil.example",
            "{app}/{page}",
            "{app}/\"><script>",
            "{app}/a b",
        ] {
            let refused = read(&[("LOGIN_URL", page)]).unwrap_err();
            assert!(refused.contains("LOGIN_URL: expected {app}"), "{refused}");
        }
        for app in [
            "http://app.example.com",
            "app.example.com",
            "https://u:p@app.example.com",
        ] {
            let refused = read(&[("APP_URL", app)]).unwrap_err();
            assert!(refused.contains("APP_URL: expected"), "{refused}");
        }
    }
}

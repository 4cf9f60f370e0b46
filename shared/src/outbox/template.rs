//! The contents of mails, rendered from one template a kind for the text part and one for the HTML part.
//!
//! The worker sends them, and the dashboard previews them. No mail contains text that a user has entered: anyone can register
//! with another person's email, and a username could carry a link or an advertisement to that person.

use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    config::SharedConfig,
    models::{
        mail::{self, MailKind},
        password_reset::Purpose,
    },
    redis::one_time_code::Otp,
};

/// The template data that all mails share.
#[derive(Clone, Debug)]
pub struct MailBranding {
    /// `PRODUCT_NAME`
    pub product: String,
    /// `SUPPORT_ADDRESS`
    pub support: Option<String>,
    /// `PUBLIC_URL`
    pub url: String,
}

impl From<&SharedConfig> for MailBranding {
    fn from(config: &SharedConfig) -> Self {
        Self {
            product: config.product_name.clone(),
            support: config.support_address.as_ref().map(ToString::to_string),
            url: config.public_url.as_str().trim_end_matches('/').to_owned(),
        }
    }
}

/// The content of a mail.
#[derive(Debug)]
pub enum Content {
    /// A one-time code.
    Code {
        /// The code.
        code: Code,
        /// What the code is for.
        purpose: Purpose,
        /// The time until the code expires.
        lifetime: TimeDelta,
    },
    /// The password was changed.
    PasswordChanged {
        /// When the password was changed.
        at: DateTime<Utc>,
    },
    /// The account was created and is pending approval.
    Welcome,
    /// The account was activated.
    Activated,
    /// A client tried to register with the owner's email.
    AddressTaken,
    /// A replaced refresh token was used again.
    TokenReused {
        /// When the token was used.
        at: DateTime<Utc>,
    },
    /// An administrator requests a password reset.
    ResetAsked,
    /// The email was changed. This mail goes to the previous address.
    EmailChanged {
        /// When the email was changed.
        at: DateTime<Utc>,
    },
}

/// A one-time code in a mail.
#[derive(Debug)]
pub enum Code {
    /// The code itself, for its owner.
    Shown(Otp),
    /// A placeholder, for previews.
    Hidden,
}

impl Code {
    fn text(&self) -> &str {
        match self {
            Self::Shown(code) => code.expose(),
            Self::Hidden => "······",
        }
    }
}

/// A mail's subject and both parts.
#[derive(Debug)]
pub struct RenderedMail {
    /// The subject.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

/// Renders a mail from the templates of its text part and its HTML part. The fields are variables of both templates.
macro_rules! render {
    ($subject:expr, $text:tt, $html:tt, $branding:ident $(, $field:ident)*) => {{
        #[derive(Template)]
        #[template(path = $text)]
        struct Text<'a> {
            $branding: &'a MailBranding,
            $($field: &'a str,)*
        }
        #[derive(Template)]
        #[template(path = $html)]
        struct Html<'a> {
            $branding: &'a MailBranding,
            $($field: &'a str,)*
        }
        Ok(RenderedMail {
            subject: $subject,
            text: Text { $branding, $($field,)* }.render()?,
            html: Html { $branding, $($field,)* }.render()?,
        })
    }};
}

impl Content {
    /// Renders the subject and both parts.
    pub fn render(&self, branding: &MailBranding) -> Result<RenderedMail, askama::Error> {
        let subject = self.subject(&branding.product);
        match self {
            Self::Code {
                code,
                purpose,
                lifetime,
            } => {
                let (code, minutes) = (code.text(), &*format_minutes(*lifetime));
                let effect = match purpose {
                    Purpose::Reset => "sets a new password",
                    Purpose::Activation => "activates your account",
                };
                render!(
                    subject,
                    "code.txt",
                    "code.html",
                    branding,
                    code,
                    effect,
                    minutes
                )
            }
            Self::PasswordChanged { at } => {
                let at = &*format_time(*at);
                render!(
                    subject,
                    "password_changed.txt",
                    "password_changed.html",
                    branding,
                    at
                )
            }
            Self::Welcome => render!(subject, "welcome.txt", "welcome.html", branding),
            Self::Activated => render!(subject, "activated.txt", "activated.html", branding),
            Self::AddressTaken => {
                render!(subject, "address_taken.txt", "address_taken.html", branding)
            }
            Self::ResetAsked => render!(subject, "reset_asked.txt", "reset_asked.html", branding),
            Self::TokenReused { at } => {
                let at = &*format_time(*at);
                render!(
                    subject,
                    "token_reused.txt",
                    "token_reused.html",
                    branding,
                    at
                )
            }
            Self::EmailChanged { at } => {
                let at = &*format_time(*at);
                render!(
                    subject,
                    "email_changed.txt",
                    "email_changed.html",
                    branding,
                    at
                )
            }
        }
    }

    fn subject(&self, product: &str) -> String {
        match self {
            Self::Code { code, .. } => format!("{} is your {product} code", code.text()),
            Self::PasswordChanged { .. } => format!("Your {product} password was changed"),
            Self::Welcome => format!("Welcome to {product}"),
            Self::Activated => format!("Your {product} account is active"),
            Self::AddressTaken => format!("You have a {product} account already"),
            Self::ResetAsked => format!("Please set a new {product} password"),
            Self::TokenReused { .. } => {
                format!("A device was logged out of your {product} account")
            }
            Self::EmailChanged { .. } => {
                format!("The email of your {product} account was changed")
            }
        }
    }

    /// Returns the content of a stored notification. `None` for mails with a one-time code.
    #[must_use]
    pub fn notice(kind: MailKind, mail: &mail::Model) -> Option<Self> {
        let at = mail.created_at;
        Some(match kind {
            MailKind::ResetCode | MailKind::ActivationCode => return None,
            MailKind::PasswordChanged => Self::PasswordChanged { at },
            MailKind::Welcome => Self::Welcome,
            MailKind::Activated => Self::Activated,
            MailKind::AddressTaken => Self::AddressTaken,
            MailKind::TokenReused => Self::TokenReused { at },
            MailKind::ResetAsked => Self::ResetAsked,
            MailKind::EmailChanged => Self::EmailChanged { at },
        })
    }
}

/// Formats a lifetime in whole minutes, rounded down so that a code never expires earlier than its mail says.
fn format_minutes(lifetime: TimeDelta) -> String {
    match lifetime.num_minutes() {
        ..1 => "less than a minute".to_owned(),
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

fn format_time(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y at %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branding() -> MailBranding {
        MailBranding {
            product: "Latchkey".to_owned(),
            support: Some("help@example.com".to_owned()),
            url: "https://accounts.example.com".to_owned(),
        }
    }

    fn contents() -> [(&'static str, Content); 9] {
        let code = |purpose| Content::Code {
            code: Code::Shown("048291".parse().unwrap()),
            purpose,
            lifetime: TimeDelta::seconds(300),
        };
        let at = DateTime::from_timestamp(1_772_450_040, 0).unwrap();
        [
            ("reset_code", code(Purpose::Reset)),
            ("activation_code", code(Purpose::Activation)),
            ("password_changed", Content::PasswordChanged { at }),
            ("welcome", Content::Welcome),
            ("activated", Content::Activated),
            ("reset_asked", Content::ResetAsked),
            ("address_taken", Content::AddressTaken),
            ("token_reused", Content::TokenReused { at }),
            ("email_changed", Content::EmailChanged { at }),
        ]
    }

    #[test]
    fn mail_texts_match_snapshots() {
        for (name, content) in contents() {
            let mail = content.render(&branding()).unwrap();
            let whole = format!("Subject: {}\n\n{}", mail.subject, mail.text);
            insta::assert_snapshot!(name, whole);
        }
    }

    #[test]
    fn hidden_code_appears_in_no_part() {
        let content = Content::Code {
            code: Code::Hidden,
            purpose: Purpose::Reset,
            lifetime: TimeDelta::seconds(300),
        };
        let mail = content.render(&branding()).unwrap();
        for part in [mail.subject, mail.text, mail.html] {
            assert!(part.contains("······"), "{part}");
        }
    }

    #[test]
    fn text_part_has_short_ascii_lines() {
        for (name, content) in contents() {
            let mail = content.render(&branding()).unwrap();
            assert!(mail.text.is_ascii(), "{name}");
            for line in mail.text.lines() {
                assert!(line.len() < 78, "{name}: {line}");
            }
        }
    }

    #[test]
    fn mail_without_support_address_mentions_none() {
        let branding = MailBranding {
            support: None,
            ..branding()
        };
        for (name, content) in contents() {
            let mail = content.render(&branding).unwrap();
            for part in [mail.text, mail.html] {
                assert!(
                    !part.contains("help@") && !part.contains("write to"),
                    "{name}: {part}"
                );
            }
        }
    }

    #[test]
    fn html_part_is_responsive_and_loads_nothing() {
        for (name, content) in contents() {
            let html = content.render(&branding()).unwrap().html;
            for needed in [
                "name=\"viewport\"",
                "name=\"color-scheme\"",
                "prefers-color-scheme",
                "max-width",
            ] {
                assert!(html.contains(needed), "{name}: {needed}");
            }
            for foreign in ["src=", "<link", "@import", "url("] {
                assert!(!html.contains(foreign), "{name}: {foreign}");
            }
        }
    }
}

//! What mails say: one template a kind for the text, one for the HTML. The worker sends them, the dashboard shows them.
//!
//! No mail repeats what a user has typed: anyone can register with a stranger's address, and a username could carry a link or
//! an advertisement to it.

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

/// What is the same in every mail.
#[derive(Clone, Debug)]
pub struct MailBranding {
    /// `PRODUCT_NAME`
    pub product: String,
    /// `SUPPORT_ADDRESS`
    pub support: Option<String>,
    /// `PUBLIC_URL`
    pub url: String,
}

impl MailBranding {
    /// As the configuration has it.
    #[must_use]
    pub fn of(common: &SharedConfig) -> Self {
        Self {
            product: common.product_name.clone(),
            support: common.support_address.as_ref().map(ToString::to_string),
            url: common.public_url.as_str().trim_end_matches('/').to_owned(),
        }
    }
}

/// What one mail says.
#[derive(Debug)]
pub enum Content {
    /// A one-time code, what it opens and how long it counts.
    Code {
        /// The code.
        code: Code,
        /// What it opens.
        purpose: Purpose,
        /// How long it counts from now.
        lifetime: TimeDelta,
    },
    /// The password was changed.
    PasswordChanged {
        /// When.
        at: DateTime<Utc>,
    },
    /// The account was made and waits for an administrator.
    Welcome,
    /// The account was activated.
    Activated,
    /// Somebody tried to register with the owner's address.
    AddressTaken,
    /// A refresh token was used again after its successor.
    TokenReplayed {
        /// When.
        at: DateTime<Utc>,
    },
    /// An administrator asks for a new password.
    ResetAsked,
    /// The address was changed; it goes to the one of before.
    EmailChanged {
        /// When.
        at: DateTime<Utc>,
    },
}

/// A one-time code in a text.
#[derive(Debug)]
pub enum Code {
    /// For its owner's eyes.
    Shown(Otp),
    /// For everybody else's.
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

/// Subject and both parts.
#[derive(Debug)]
pub struct RenderedMail {
    /// The subject.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

impl Content {
    /// Writes subject, text and HTML.
    pub fn write(&self, head: &MailBranding) -> Result<RenderedMail, askama::Error> {
        let product = &head.product;
        match self {
            Self::Code {
                code,
                purpose,
                lifetime,
            } => {
                let minutes = minutes(*lifetime);
                let (code, minutes) = (code.text(), minutes.as_str());
                let opens = match purpose {
                    Purpose::Reset => "sets a new password",
                    Purpose::Activation => "activates your account",
                };
                Ok(RenderedMail {
                    subject: format!("{code} is your {product} code"),
                    text: CodeText {
                        head,
                        code,
                        opens,
                        minutes,
                    }
                    .render()?,
                    html: CodeHtml {
                        head,
                        code,
                        opens,
                        minutes,
                    }
                    .render()?,
                })
            }
            Self::PasswordChanged { at } => {
                let at = &moment(*at);
                Ok(RenderedMail {
                    subject: format!("Your {product} password was changed"),
                    text: PasswordChangedText { head, at }.render()?,
                    html: PasswordChangedHtml { head, at }.render()?,
                })
            }
            Self::Welcome => Ok(RenderedMail {
                subject: format!("Welcome to {product}"),
                text: WelcomeText { head }.render()?,
                html: WelcomeHtml { head }.render()?,
            }),
            Self::Activated => Ok(RenderedMail {
                subject: format!("Your {product} account is active"),
                text: ActivatedText { head }.render()?,
                html: ActivatedHtml { head }.render()?,
            }),
            Self::AddressTaken => Ok(RenderedMail {
                subject: format!("You have a {product} account already"),
                text: AddressTakenText { head }.render()?,
                html: AddressTakenHtml { head }.render()?,
            }),
            Self::ResetAsked => Ok(RenderedMail {
                subject: format!("Please set a new {product} password"),
                text: ResetAskedText { head }.render()?,
                html: ResetAskedHtml { head }.render()?,
            }),
            Self::TokenReplayed { at } => {
                let at = &moment(*at);
                Ok(RenderedMail {
                    subject: format!("A device was logged out of your {product} account"),
                    text: TokenReplayedText { head, at }.render()?,
                    html: TokenReplayedHtml { head, at }.render()?,
                })
            }
            Self::EmailChanged { at } => {
                let at = &moment(*at);
                Ok(RenderedMail {
                    subject: format!("The address of your {product} account was changed"),
                    text: EmailChangedText { head, at }.render()?,
                    html: EmailChangedHtml { head, at }.render()?,
                })
            }
        }
    }

    /// What a kind of notice says of an account; `None` for codes, which are no notices.
    #[must_use]
    pub fn notice(kind: MailKind, mail: &mail::Model) -> Option<Self> {
        let at = mail.created_at;
        Some(match kind {
            MailKind::ResetCode | MailKind::ActivationCode => return None,
            MailKind::PasswordChanged => Self::PasswordChanged { at },
            MailKind::Welcome => Self::Welcome,
            MailKind::Activated => Self::Activated,
            MailKind::AddressTaken => Self::AddressTaken,
            MailKind::TokenReplayed => Self::TokenReplayed { at },
            MailKind::ResetAsked => Self::ResetAsked,
            MailKind::EmailChanged => Self::EmailChanged { at },
        })
    }
}

/// In words; rounded down, as nobody was ever annoyed by a code that lasts longer than promised.
fn minutes(lifetime: TimeDelta) -> String {
    match lifetime.num_minutes() {
        ..1 => "less than a minute".to_owned(),
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y at %H:%M UTC").to_string()
}

#[derive(Template)]
#[template(path = "code.txt")]
struct CodeText<'a> {
    head: &'a MailBranding,
    code: &'a str,
    opens: &'a str,
    minutes: &'a str,
}

#[derive(Template)]
#[template(path = "code.html")]
struct CodeHtml<'a> {
    head: &'a MailBranding,
    code: &'a str,
    opens: &'a str,
    minutes: &'a str,
}

#[derive(Template)]
#[template(path = "password_changed.txt")]
struct PasswordChangedText<'a> {
    head: &'a MailBranding,
    at: &'a str,
}

#[derive(Template)]
#[template(path = "password_changed.html")]
struct PasswordChangedHtml<'a> {
    head: &'a MailBranding,
    at: &'a str,
}

#[derive(Template)]
#[template(path = "welcome.txt")]
struct WelcomeText<'a> {
    head: &'a MailBranding,
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomeHtml<'a> {
    head: &'a MailBranding,
}

#[derive(Template)]
#[template(path = "activated.txt")]
struct ActivatedText<'a> {
    head: &'a MailBranding,
}

#[derive(Template)]
#[template(path = "activated.html")]
struct ActivatedHtml<'a> {
    head: &'a MailBranding,
}

#[derive(Template)]
#[template(path = "address_taken.txt")]
struct AddressTakenText<'a> {
    head: &'a MailBranding,
}

#[derive(Template)]
#[template(path = "address_taken.html")]
struct AddressTakenHtml<'a> {
    head: &'a MailBranding,
}

#[derive(Template)]
#[template(path = "reset_asked.txt")]
struct ResetAskedText<'a> {
    head: &'a MailBranding,
}

#[derive(Template)]
#[template(path = "reset_asked.html")]
struct ResetAskedHtml<'a> {
    head: &'a MailBranding,
}

#[derive(Template)]
#[template(path = "token_replayed.txt")]
struct TokenReplayedText<'a> {
    head: &'a MailBranding,
    at: &'a str,
}

#[derive(Template)]
#[template(path = "token_replayed.html")]
struct TokenReplayedHtml<'a> {
    head: &'a MailBranding,
    at: &'a str,
}

#[derive(Template)]
#[template(path = "email_changed.txt")]
struct EmailChangedText<'a> {
    head: &'a MailBranding,
    at: &'a str,
}

#[derive(Template)]
#[template(path = "email_changed.html")]
struct EmailChangedHtml<'a> {
    head: &'a MailBranding,
    at: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> MailBranding {
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
            ("token_replayed", Content::TokenReplayed { at }),
            ("email_changed", Content::EmailChanged { at }),
        ]
    }

    #[test]
    fn the_texts_read_like_this() {
        for (name, content) in contents() {
            let written = content.write(&head()).unwrap();
            let whole = format!("Subject: {}\n\n{}", written.subject, written.text);
            insta::assert_snapshot!(name, whole);
        }
    }

    #[test]
    fn a_hidden_code_is_in_no_part() {
        let content = Content::Code {
            code: Code::Hidden,
            purpose: Purpose::Reset,
            lifetime: TimeDelta::seconds(300),
        };
        let written = content.write(&head()).unwrap();
        for part in [written.subject, written.text, written.html] {
            assert!(part.contains("······"), "{part}");
        }
    }

    #[test]
    fn lines_are_short_and_plain_so_that_a_file_of_them_can_be_read() {
        for (name, content) in contents() {
            let written = content.write(&head()).unwrap();
            assert!(written.text.is_ascii(), "{name}");
            for line in written.text.lines() {
                assert!(line.len() < 78, "{name}: {line}");
            }
        }
    }

    #[test]
    fn a_mail_without_a_support_address_does_not_speak_of_one() {
        let head = MailBranding {
            support: None,
            ..head()
        };
        for (name, content) in contents() {
            let written = content.write(&head).unwrap();
            for part in [written.text, written.html] {
                assert!(
                    !part.contains("help@") && !part.contains("write to"),
                    "{name}: {part}"
                );
            }
        }
    }

    #[test]
    fn html_parts_suit_phones_and_the_dark_and_load_nothing() {
        for (name, content) in contents() {
            let html = content.write(&head()).unwrap().html;
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

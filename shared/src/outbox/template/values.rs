//! The values that templates use.

use chrono::{DateTime, Datelike as _, Utc};
use minijinja::{Value, context};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::{
    outbox::template::{
        bidi::{self, Direction},
        branding::MailBranding,
        content::Content,
    },
    types::email::Email,
};

/// The characters of an address that a link contains in percent-encoding.
const OUTSIDE_ADDRESS: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'+');

/// The URL of the logo in the HTML part: the part with this Content-ID (RFC 2392).
pub(super) const LOGO_URL: &str = "cid:logo";

/// The parts of a mail, which need values in different forms.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    /// The text part and the subject, in a language of this direction.
    Text(Direction),
    /// The HTML part, which repeats the subject and the preheader.
    Html {
        subject: &'a str,
        preheader: &'a str,
    },
}

/// Returns the values of a mail. A value that the mail does not have is none. Values of unknown direction are isolated, so that
/// templates need not do it.
pub(super) fn values(
    content: &Content,
    branding: &MailBranding,
    language: &str,
    part: Part<'_>,
) -> Value {
    let isolate = |value: &str| match part {
        Part::Text(direction) => Value::from(bidi::isolate(value, direction).into_owned()),
        Part::Html { .. } => bidi::bdi(value),
    };
    let (subject, preheader) = match part {
        Part::Text(_) => (None, None),
        Part::Html { subject, preheader } => (Some(subject), Some(preheader)),
    };
    let support = branding.support.as_ref();
    let link = |url: &Url| match part {
        Part::Text(_) => Value::from(url.as_str()),
        // The engine's escape would write slashes as entities, too. A URL has no other markup than these two.
        Part::Html { .. } => {
            let escaped = url.as_str().replace('&', "&amp;").replace('\'', "&#39;");
            Value::from_safe_string(escaped)
        }
    };
    let variable = Variable::of(content);
    context! {
        lang => language,
        subject,
        preheader,
        product => isolate(&branding.product),
        brand_color => branding.color.to_hex(),
        brand_color_on_dark => branding.color.lightened().to_hex(),
        logo => branding.mail_logo().map(|_| LOGO_URL),
        logo_is_default => branding.logo.is_none(),
        support => support.map(|email| isolate(email.as_str())),
        support_url => support.map(mailto),
        login_url => branding.login_url.as_ref().map(link),
        reset_url => branding.reset_url.as_ref().map(link),
        code => variable.code,
        minutes => variable.minutes,
        device => variable.device.map(isolate),
        api_token => variable.api_token.map(|name| isolate(&name)),
        cancel_url => variable.cancel_url.map(link),
        at => time(variable.at),
        deletion_at => variable.deletion_at.map(time),
    }
}

/// The values that differ between the mails of one kind.
struct Variable<'a> {
    code: Option<&'a str>,
    /// The time until the code expires.
    minutes: Option<u32>,
    device: Option<&'a str>,
    api_token: Option<String>,
    cancel_url: Option<&'a Url>,
    at: DateTime<Utc>,
    deletion_at: Option<DateTime<Utc>>,
}

impl<'a> Variable<'a> {
    fn of(content: &'a Content) -> Self {
        match content {
            Content::Code {
                code,
                at,
                device,
                lifetime,
                ..
            } => Self {
                code: Some(code.text()),
                // Rounded down, so that a code never expires earlier than its mail says.
                minutes: Some(u32::try_from(lifetime.num_minutes()).unwrap_or_default()),
                device: device.as_deref(),
                api_token: None,
                cancel_url: None,
                at: *at,
                deletion_at: None,
            },
            Content::Notice {
                at,
                device,
                api_token,
                deletion_at,
                cancel_url,
                ..
            } => Self {
                code: None,
                minutes: None,
                device: device.as_deref(),
                api_token: api_token.as_ref().map(ToString::to_string),
                cancel_url: cancel_url.as_ref(),
                at: *at,
                deletion_at: *deletion_at,
            },
        }
    }
}

/// Returns the link to write to an address (RFC 6068, section 2).
fn mailto(email: &Email) -> Value {
    let local_part = utf8_percent_encode(email.local_part(), &OUTSIDE_ADDRESS);
    Value::from_safe_string(format!("mailto:{local_part}@{}", email.ascii_domain()))
}

fn time(at: DateTime<Utc>) -> Value {
    context! {
        year => at.year(),
        month => at.month(),
        day => at.day(),
        hour_minute => at.format("%H:%M").to_string(),
        hour_minute_second => at.format("%H:%M:%S").to_string(),
    }
}

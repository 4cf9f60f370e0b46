//! The check of templates: complete languages, and each mail rendered with sample values.

use chrono::{DateTime, TimeDelta};
use url::Url;

use crate::{
    models::mail::MailKind,
    outbox::template::{
        branding::MailBranding,
        content::{Code, Content},
        error::TemplateError,
        files, plural,
        templates::{MailTemplates, RenderedMail},
    },
    types::language_tag::LanguageTag,
};

/// The code in samples.
const SAMPLE_CODE: &str = "048291";
/// The link that cancels a change of an email, in a sample mail.
const SAMPLE_CANCEL_URL: &str = "https://accounts.example.com/admin/cancel-email/?token=sample";
/// The name of an API token, in a sample mail.
const SAMPLE_TOKEN_NAME: &str = "Nightly export";
/// The time of samples, in seconds since 1970.
const SAMPLE_TIME: i64 = 1_772_450_047;

/// Returns the content of a sample mail, whose code is valid for a number of minutes.
///
/// # Panics
/// Never: the sample values are valid.
#[must_use]
pub fn sample(kind: MailKind, minutes: u32) -> Content {
    let at = DateTime::from_timestamp(SAMPLE_TIME, 0).expect("a valid time");
    let device = Some("Chrome (Windows)".to_owned());
    match kind.purpose() {
        Some(_) => Content::Code {
            kind,
            code: Code::Shown(SAMPLE_CODE.parse().expect("six digits")),
            at,
            device,
            lifetime: TimeDelta::minutes(minutes.into()),
        },
        None => Content::Notice {
            kind,
            at,
            device: device.filter(|_| kind == MailKind::NewDevice),
            api_token: (kind == MailKind::ApiTokenCreated)
                .then(|| SAMPLE_TOKEN_NAME.parse().expect("a valid name")),
            deletion_at: (kind == MailKind::DeletionScheduled).then(|| at + TimeDelta::days(7)),
            cancel_url: (kind == MailKind::EmailChangeRequested)
                .then(|| SAMPLE_CANCEL_URL.parse().expect("a valid URL")),
        },
    }
}

/// Returns the languages of template names, which are those of their folders. Adds the errors of folders that lack a template or
/// have one too many.
pub(super) fn languages(names: &[String], errors: &mut Vec<TemplateError>) -> Vec<LanguageTag> {
    let mut folders: Vec<_> = names
        .iter()
        .filter_map(|name| name.split_once('/'))
        .collect();
    folders.dedup_by_key(|(folder, _)| *folder);
    let mut languages = Vec::new();
    for (folder, _) in folders {
        let Some(tag) = folder
            .parse::<LanguageTag>()
            .ok()
            .filter(|tag| tag.as_str() == folder)
        else {
            let problem = "expected a folder named by a language tag such as de or pt-BR";
            errors.push(TemplateError::of_file(folder, problem));
            continue;
        };
        let expected = expected_names(folder);
        let missing = expected.iter().filter(|name| !names.contains(name));
        let mut is_complete = true;
        for name in missing {
            errors.push(TemplateError::of_file(
                name,
                "missing; the language is incomplete",
            ));
            is_complete = false;
        }
        let unknown = names.iter().filter(|name| {
            name.split_once('/').is_some_and(|(of, _)| of == folder) && !expected.contains(name)
        });
        errors.extend(unknown.map(|name| TemplateError::of_file(name, "no mail has this name")));
        if is_complete {
            languages.push(tag);
        }
    }
    languages
}

/// Returns the names of the templates that a language has to have.
fn expected_names(language: &str) -> Vec<String> {
    let parts = |kind: MailKind| {
        let kind = kind.as_str();
        [
            format!("{language}/{kind}.txt"),
            format!("{language}/{kind}.html"),
        ]
    };
    let mut names: Vec<_> = MailKind::ALL.into_iter().flat_map(parts).collect();
    names.push(files::language_file(language));
    names
}

/// Renders each mail in each language: with all values, without those that are optional, and with each plural form.
pub(super) fn render_all(templates: &MailTemplates) -> Vec<TemplateError> {
    let mut errors = Vec::new();
    for (language, _) in templates.languages() {
        let language = language.as_str();
        let mut minutes = plural::samples(language);
        minutes.push(0);
        for kind in MailKind::ALL {
            let minutes = if kind.purpose().is_some() {
                &minutes[..]
            } else {
                &[0]
            };
            for minutes in minutes {
                for branding in sample_brandings() {
                    for content in [sample(kind, *minutes), without_device(kind, *minutes)] {
                        errors.extend(render(templates, language, &content, &branding).err());
                    }
                }
            }
        }
    }
    errors
}

/// Returns a sample mail about a device that is not known.
fn without_device(kind: MailKind, minutes: u32) -> Content {
    let mut content = sample(kind, minutes);
    match &mut content {
        Content::Code { device, .. } | Content::Notice { device, .. } => *device = None,
    }
    content
}

fn sample_brandings() -> [MailBranding; 2] {
    let link = |page| Url::parse(page).ok();
    [
        MailBranding {
            support: "help@example.com".parse().ok(),
            login_url: link("https://app.example.com/login"),
            reset_url: link("https://app.example.com/reset-password"),
            ..MailBranding::new("Latchkey")
        },
        MailBranding::new("Latchkey"),
    ]
}

/// Renders one mail and checks that it has all that a mail needs.
fn render(
    templates: &MailTemplates,
    language: &str,
    content: &Content,
    branding: &MailBranding,
) -> Result<(), TemplateError> {
    let name = format!("{language}/{}", content.kind().as_str());
    let (mail, preheader) = templates
        .render_in(language, content, branding)
        .map_err(|error| TemplateError::detailed(&error, &format!("{name}.txt")))?;
    let RenderedMail {
        subject,
        text,
        html,
        ..
    } = &mail;
    for (part, block) in [(subject, "subject"), (&preheader, "preheader")] {
        if part.is_empty() || part.contains('\n') {
            let problem = format!("expected one line in the block {block}");
            return Err(TemplateError::of_file(format!("{name}.txt"), problem));
        }
    }
    let needed = match content {
        Content::Code { .. } => SAMPLE_CODE,
        Content::Notice { .. } => "",
    };
    for (part, file) in [(text, "txt"), (html, "html")] {
        if part.trim().is_empty() || !part.contains(needed) {
            let problem = "expected a text, with {{ code }} in a mail with a one-time code";
            return Err(TemplateError::of_file(format!("{name}.{file}"), problem));
        }
    }
    Ok(())
}

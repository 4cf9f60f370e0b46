//! The contents of mails and the templates that render them.
//!
//! The worker sends the mails, and the dashboard previews them. No mail contains text that a user has entered: anyone can register
//! with another person's email, and a username could carry a link or an advertisement to that person.
//!
//! `shared/templates` has a folder for each language, with a template of the text part and one of the HTML part for each kind of
//! mail. The text part's template also has the subject and the preheader, the preview that mail clients list after the subject.

mod bidi;
mod branding;
mod check;
mod content;
mod error;
mod files;
mod plural;
mod templates;
mod values;

pub use crate::outbox::template::{
    branding::MailBranding,
    check::sample,
    content::{Code, Content},
    error::{TemplateError, TemplateErrors},
    files::{ExportError, export},
    templates::{Language, MailTemplates, RenderedMail},
};

#[cfg(test)]
mod tests;

//! The templates of all languages.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, syntax::SyntaxConfig};

use crate::{
    outbox::template::{
        bidi::Direction,
        branding::MailBranding,
        check,
        content::Content,
        error::{TemplateError, TemplateErrors},
        files, plural,
        values::{LOGO_URL, Part, values},
    },
    types::language_tag::LanguageTag,
};

/// The language of accounts without a language, and of those whose language has no templates.
const DEFAULT_LANGUAGE: &str = "en";

/// The templates of all languages, complete and without errors. Clones share them.
#[derive(Clone)]
pub struct MailTemplates {
    pub(super) environment: Arc<Environment<'static>>,
    languages: BTreeMap<LanguageTag, Language>,
}

/// Shows the languages only.
impl fmt::Debug for MailTemplates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.languages.keys()).finish()
    }
}

/// A language that has templates.
#[derive(Clone, Debug)]
pub struct Language {
    /// The language's own name, such as `العربية`.
    pub name: String,
    direction: Direction,
}

/// A mail's subject and parts.
#[derive(Debug)]
pub struct RenderedMail {
    /// The tag of its language.
    pub language: String,
    /// The subject.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// The PNG file that the HTML part displays at `cid:logo`, if it does.
    pub logo: Option<Arc<[u8]>>,
}

impl RenderedMail {
    /// The Content-ID of the logo.
    pub const LOGO_ID: &str = "logo";

    /// Returns the HTML part with the logo embedded in it, for browsers.
    #[must_use]
    pub fn standalone_html(&self) -> String {
        match &self.logo {
            Some(logo) => {
                let url = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(logo));
                self.html.replace(LOGO_URL, &url)
            }
            None => self.html.clone(),
        }
    }
}

impl MailTemplates {
    /// Reads the embedded templates and those of the folder, which replace embedded ones of the same name and add languages. Renders
    /// each mail in each language once.
    ///
    /// # Errors
    /// When a language lacks a template, or a template has an error. The error names all of them.
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplateErrors> {
        let mut environment = environment();
        let embedded = files::embed(&mut environment);
        let mut errors = match folder {
            Some(folder) => files::read(folder, &mut environment),
            None => Vec::new(),
        };
        let mut languages = BTreeMap::new();
        let names = environment.templates().map(|(name, _)| name.to_owned());
        let names: Vec<_> = names.collect();
        for tag in check::languages(&names, &mut errors) {
            match read_language(&environment, &tag) {
                Ok(language) => _ = languages.insert(tag, language),
                Err(error) => errors.push(error),
            }
        }
        let templates = Self {
            environment: Arc::new(environment),
            languages,
        };
        if errors.is_empty() {
            errors = check::render_all(&templates);
        }
        if errors.is_empty() {
            return Ok(templates);
        }
        for error in &mut errors {
            error.name_file(folder, &embedded);
        }
        errors.sort();
        errors.dedup();
        Err(TemplateErrors(errors))
    }

    /// Returns the languages that have templates, ordered by tag.
    pub fn languages(&self) -> impl Iterator<Item = (&LanguageTag, &Language)> {
        self.languages.iter()
    }

    /// Returns the language that an account with this one gets: its own, a more general one, or English.
    #[must_use]
    pub fn resolve(&self, wanted: Option<&LanguageTag>) -> &str {
        wanted
            .and_then(|tag| self.find(tag))
            .unwrap_or(DEFAULT_LANGUAGE)
    }

    /// Returns whether an account of this language gets mails in it or in a more general one.
    #[must_use]
    pub fn has(&self, wanted: &LanguageTag) -> bool {
        self.find(wanted).is_some()
    }

    fn find(&self, wanted: &LanguageTag) -> Option<&str> {
        let known = || self.languages.keys().map(LanguageTag::as_str);
        wanted
            .lookup()
            .find_map(|tag| known().find(|known| *known == tag))
    }

    /// Renders a mail in the language of an account.
    ///
    /// # Errors
    /// When a template fails with these values. The error does not contain them.
    pub fn render(
        &self,
        content: &Content,
        branding: &MailBranding,
        wanted: Option<&LanguageTag>,
    ) -> Result<RenderedMail, TemplateError> {
        let language = self.resolve(wanted);
        let name = format!("{language}/{}.txt", content.kind().as_str());
        self.render_in(language, content, branding)
            .map(|(mail, _)| mail)
            .map_err(|error| TemplateError::without_values(&error, &name))
    }

    /// Renders a mail in a language that has templates. Returns its preheader, too.
    pub(super) fn render_in(
        &self,
        language: &str,
        content: &Content,
        branding: &MailBranding,
    ) -> Result<(RenderedMail, String), Error> {
        let kind = content.kind().as_str();
        let direction = self.direction(language);
        let text_values = values(content, branding, language, Part::Text(direction));
        let text_name = format!("{language}/{kind}.txt");
        let template = self.environment.get_template(&text_name)?;
        let mut captured = template.render_captured(text_values)?;
        let subject = captured.with_state_mut(|state| state.render_block("subject"))?;
        let preheader = captured.with_state_mut(|state| state.render_block("preheader"))?;
        let text = tidy(captured.output());
        let part = Part::Html {
            subject: subject.trim(),
            preheader: preheader.trim(),
        };
        let html_values = values(content, branding, language, part);
        let html_name = format!("{language}/{kind}.html");
        let html = self.environment.get_template(&html_name)?;
        let html = html.render(html_values)?;
        let mail = RenderedMail {
            language: language.to_owned(),
            logo: branding.mail_logo().filter(|_| html.contains(LOGO_URL)),
            html,
            subject: subject.trim().to_owned(),
            text,
        };
        Ok((mail, preheader.trim().to_owned()))
    }

    fn direction(&self, language: &str) -> Direction {
        let mut languages = self.languages.iter();
        languages
            .find(|(tag, _)| tag.as_str() == language)
            .map_or(Direction::Ltr, |(_, language)| language.direction)
    }
}

/// Returns an engine without templates. An unknown value and a value that the mail lacks are errors where a template prints them.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(|out, state, value| {
        if value.is_none() {
            let detail = "this mail lacks the value; test it with {% if … %} before";
            return Err(Error::new(ErrorKind::UndefinedError, detail));
        }
        minijinja::escape_formatter(out, state, value)
    });
    environment.add_function("plural", plural::plural);
    environment
}

/// Reads the name and the direction that a language declares.
fn read_language(
    environment: &Environment<'_>,
    tag: &LanguageTag,
) -> Result<Language, TemplateError> {
    let file = files::language_file(tag.as_str());
    let captured = environment
        .get_template(&file)
        .and_then(|template| template.render_captured(()))
        .map_err(|error| TemplateError::detailed(&error, &file))?;
    let text = |name| captured.state().lookup(name);
    let name = text("name").and_then(|name| name.as_str().map(ToOwned::to_owned));
    let direction = text("direction");
    let direction = match direction.as_ref().and_then(|it| it.as_str()) {
        Some("ltr") => Some(Direction::Ltr),
        Some("rtl") => Some(Direction::Rtl),
        _ => None,
    };
    let needed = "expected the variables name and direction, which is \"ltr\" or \"rtl\"";
    match (name, direction) {
        (Some(name), Some(direction)) => Ok(Language { name, direction }),
        _ => Err(TemplateError::of_file(file, needed)),
    }
}

/// Removes the blank lines that absent values leave: at the start, at the end, and all but one between paragraphs.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut is_blank = true;
    for line in text.lines().map(str::trim_end) {
        if !(is_blank && line.is_empty()) {
            tidied.push_str(line);
            tidied.push('\n');
        }
        is_blank = line.is_empty();
    }
    tidied.truncate(tidied.trim_end().len());
    tidied.push('\n');
    tidied
}

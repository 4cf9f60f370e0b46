//! `latchkey-worker templates`: exports, checks and previews the templates of mails.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Subcommand;
use latchkey_shared::{
    config::{
        mail,
        settings::{Environment, Settings},
    },
    models::mail::MailKind,
    outbox::template::{self, MailBranding, MailTemplates},
    types::language_tag::LanguageTag,
};

/// The lifetime of a code in a preview, in minutes.
const PREVIEW_MINUTES: u32 = 5;

/// The commands for templates.
#[derive(Debug, Subcommand)]
pub enum Templates {
    /// Write the embedded templates to a folder, for `MAIL_TEMPLATES_DIR`; replace no file
    Export {
        /// The folder
        folder: PathBuf,
    },
    /// Render each mail in each language, and report each error with file and line
    ///
    /// The worker and the API make the same check when they start.
    Check,
    /// Write sample mails in each language to a folder, an .html and a .txt file each
    Preview {
        /// The folder
        folder: PathBuf,
        /// Preview this kind of mail only
        #[arg(long)]
        kind: Option<MailKind>,
        /// Preview the mails that an account of this language gets
        #[arg(long, value_name = "TAG")]
        language: Option<String>,
    },
}

impl Templates {
    /// Runs the command and returns its output. Needs no setting but those of mails.
    pub fn run(self, mut settings: Settings) -> anyhow::Result<String> {
        if let Self::Export { folder } = self {
            let count = template::export(&folder)?;
            return Ok(format!("Wrote {count} templates to {}\n", folder.display()));
        }
        let environment = Environment::read(&mut settings);
        let branding = mail::branding(&mut settings, environment);
        let templates = mail::templates(&mut settings);
        settings.finish()?;
        let templates = templates.context("MAIL_TEMPLATES_DIR")?;
        match self {
            Self::Preview {
                folder,
                kind,
                language,
            } => {
                let language = language.map(|tag| tag.parse::<LanguageTag>()).transpose();
                let language = language.context("--language")?;
                preview(&templates, &branding, &folder, kind, language)
            }
            Self::Export { .. } | Self::Check => Ok(summary(&templates)),
        }
    }
}

/// Lists the languages.
fn summary(templates: &MailTemplates) -> String {
    let languages = templates
        .languages()
        .map(|(tag, language)| format!("{tag} ({})", language.name));
    let languages: Vec<_> = languages.collect();
    format!("All templates are complete: {}\n", languages.join(", "))
}

fn preview(
    templates: &MailTemplates,
    branding: &MailBranding,
    folder: &Path,
    kind: Option<MailKind>,
    language: Option<LanguageTag>,
) -> anyhow::Result<String> {
    let languages = match language {
        Some(language) => vec![language],
        None => templates.languages().map(|(tag, _)| tag.clone()).collect(),
    };
    let kinds = MailKind::ALL
        .into_iter()
        .filter(|it| kind.is_none_or(|kind| kind == *it));
    let kinds: Vec<_> = kinds.collect();
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut lines = String::new();
    for language in &languages {
        for kind in &kinds {
            let content = template::sample(*kind, PREVIEW_MINUTES);
            let mail = templates.render(&content, branding, Some(language))?;
            let name = format!("{}-{}", templates.resolve(Some(language)), kind.as_str());
            let text = format!("Subject: {}\n\n{}", mail.subject, mail.text);
            for (extension, content) in [("html", mail.standalone_html()), ("txt", text)] {
                let path = folder.join(format!("{name}.{extension}"));
                fs::write(&path, content).with_context(|| path.display().to_string())?;
                let _ = writeln!(lines, "{}", path.display());
            }
        }
    }
    Ok(lines)
}

//! The files of templates: those embedded in the programs, and those of `MAIL_TEMPLATES_DIR`.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use minijinja::Environment;

use crate::outbox::template::error::TemplateError;

/// Maximum length of a template, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// Returns the name of the file with the words and the direction of a language.
pub(super) fn language_file(language: &str) -> String {
    format!("{language}/language.txt")
}

/// Adds the embedded templates. Returns their names.
pub(super) fn embed(environment: &mut Environment<'static>) -> BTreeSet<String> {
    minijinja_embed::load_templates!(*environment);
    let names = environment.templates().map(|(name, _)| name.to_owned());
    names.collect()
}

/// Adds the templates of a folder and of the folders in it, each of a language. Returns the errors of all files. Hidden files do not
/// count: editors, file managers and Kubernetes' volumes create some.
pub(super) fn read(folder: &Path, environment: &mut Environment<'static>) -> Vec<TemplateError> {
    let mut errors = Vec::new();
    let mut files = Vec::new();
    if let Err(error) = list(folder, "", &mut files) {
        errors.push(unreadable(folder, &error));
    }
    for (name, path) in files {
        match read_file(&name, &path) {
            Ok(source) => {
                if let Err(error) = environment.add_template_owned(name.clone(), source) {
                    errors.push(TemplateError::detailed(&error, &name));
                }
            }
            Err(error) => errors.push(error),
        }
    }
    errors
}

/// Lists the files of a folder with their template names, which begin with `prefix`.
fn list(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        // Follows symbolic links.
        if fs::metadata(&path)?.is_dir() && prefix.is_empty() {
            list(&path, &format!("{name}/"), files)?;
        } else {
            files.push((format!("{prefix}{name}"), path));
        }
    }
    Ok(())
}

fn read_file(name: &str, path: &Path) -> Result<String, TemplateError> {
    let is_template = Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "html" || extension == "txt");
    if !is_template {
        return Err(TemplateError::of_file(
            name,
            "expected a file .html or .txt",
        ));
    }
    let failed = |error: io::Error| unreadable(Path::new(name), &error);
    if fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        return Err(TemplateError::of_file(name, "expected at most 256 KiB"));
    }
    fs::read_to_string(path).map_err(failed)
}

fn unreadable(path: &Path, error: &io::Error) -> TemplateError {
    TemplateError::of_file(path.to_string_lossy(), error.to_string())
}

impl TemplateError {
    /// Replaces the name of a template by the path of its file, unless the template is embedded and the folder does not replace it.
    pub(super) fn name_file(&mut self, folder: Option<&Path>, embedded: &BTreeSet<String>) {
        let Some(folder) = folder else { return };
        let path = folder.join(&self.file);
        if path.exists() || !embedded.contains(&self.file) {
            self.file = path.to_string_lossy().into_owned();
        }
    }
}

/// An error of [`export`].
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file of the name of a template exists. Nothing was written.
    #[error("{0} exists; nothing was written")]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("{0}: {1}")]
    Write(PathBuf, io::Error),
}

/// Writes the embedded templates to a folder, which is created if it is missing. Returns the number of files. Replaces none.
pub fn export(folder: &Path) -> Result<usize, ExportError> {
    let mut environment = Environment::new();
    embed(&mut environment);
    let templates: Vec<_> = environment.templates().collect();
    let paths = templates.iter().map(|(name, _)| folder.join(name));
    if let Some(existing) = paths.into_iter().find(|path| path.exists()) {
        return Err(ExportError::Exists(existing));
    }
    for (name, template) in &templates {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, template.source()))
            .map_err(|error| ExportError::Write(path.clone(), error))?;
    }
    Ok(templates.len())
}

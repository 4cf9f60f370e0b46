//! Reads settings from the environment once, and reports all faults with their keys.

use std::{collections::HashMap, env, fmt, fs, net::SocketAddr, path::Path, str::FromStr};

/// The environment of the process and the variables of a `.env` file in the working directory. The environment has precedence.
///
/// Each setting `NAME` can also be given as `NAME_FILE`, the path of a file with the value, as container secrets are. Reading
/// never fails: faults are collected, and [`Settings::finish`] reports them together.
#[derive(Debug, Default)]
pub struct Settings {
    values: HashMap<String, String>,
    faults: Vec<String>,
}

/// All faults of the configuration, one a line, each with the key and the expected value.
#[derive(Debug, thiserror::Error)]
pub struct SettingsError(Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s)", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl Settings {
    /// Reads the environment of this process and the `.env` file.
    #[must_use]
    pub fn from_environment() -> Self {
        let mut settings = Self::default();
        match dotenvy::dotenv_iter() {
            Ok(lines) => {
                let mut before = None;
                for line in lines {
                    match line {
                        Ok((key, value)) => {
                            settings.values.insert(key.clone(), value);
                            before = Some(key);
                        }
                        Err(error) => {
                            settings.fault(".env", &expected_line(&error, before.as_deref()));
                        }
                    }
                }
            }
            Err(error) if error.not_found() => {}
            Err(error) => settings.fault(".env", &format!("readable or absent ({error})")),
        }
        settings.values.extend(
            env::vars_os().filter_map(|(key, value)| {
                Some((key.into_string().ok()?, value.into_string().ok()?))
            }),
        );
        settings
    }

    /// Creates settings from these values only, for tests.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self {
            values: pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            faults: Vec::new(),
        }
    }

    /// Returns the trimmed text of a setting, or `None` if it is absent or empty.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let direct = self
            .values
            .get(key)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty());
        let file_key = format!("{key}_FILE");
        let file = self
            .values
            .get(&file_key)
            .filter(|path| !path.trim().is_empty())
            .cloned();
        match (direct, file) {
            (Some(_), Some(_)) => {
                self.fault(key, &format!("either {key} or {file_key}, not both"));
                None
            }
            (direct, None) => direct,
            (None, Some(path)) => match fs::read_to_string(Path::new(path.trim())) {
                Ok(value) => Some(value.trim().to_owned()).filter(|value| !value.is_empty()),
                Err(error) => {
                    self.fault(&file_key, &format!("the path of a readable file ({error})"));
                    None
                }
            },
        }
    }

    /// Returns the value of a setting, or the default if it is absent. A value that does not parse is a fault, which says what is
    /// `expected`.
    pub fn parse<T: FromStr>(&mut self, key: &str, default: T, expected: &str) -> T {
        self.optional(key, expected).unwrap_or(default)
    }

    /// Returns the value of a setting that is one of a few words, or the default if it is not set. An empty value is a fault: the
    /// operator may mean another word than the default.
    pub fn choice<T: FromStr>(&mut self, key: &str, default: T, expected: &str) -> T {
        let keys = [key.to_owned(), format!("{key}_FILE")];
        let is_set = keys.iter().any(|key| self.values.contains_key(key));
        if is_set && self.text(key).is_none() {
            self.fault(key, &format!("{expected}, or no {key} at all"));
        }
        self.parse(key, default, expected)
    }

    /// Returns the value of an optional setting.
    pub fn optional<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        let text = self.text(key)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.fault(key, expected);
        }
        value
    }

    /// Returns the value of a required setting.
    pub fn required<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        if self.text(key).is_none() {
            self.fault(key, expected);
            return None;
        }
        self.optional(key, expected)
    }

    /// Returns a number within bounds, or the default if the setting is absent.
    pub fn within<T>(&mut self, key: &str, default: T, range: std::ops::RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        match self.optional(key, &expected) {
            Some(value) if range.contains(&value) => value,
            Some(_) => {
                self.fault(key, &expected);
                default
            }
            None => default,
        }
    }

    /// Records a fault. It does not contain the value, which may be a secret.
    pub fn fault(&mut self, key: &str, expected: &str) {
        let line = format!("{key}: expected {expected}");
        if !self.faults.contains(&line) {
            self.faults.push(line);
        }
    }

    /// Reports all recorded faults, if any.
    pub fn finish(self) -> Result<(), SettingsError> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(SettingsError(self.faults))
        }
    }
}

/// Returns the fault of a line of `.env`: the expected form and the key of the line before. The error's own text is not used: it
/// contains the line, which may hold a secret.
fn expected_line(error: &dotenvy::Error, before: Option<&str>) -> String {
    let place = match (error, before) {
        (dotenvy::Error::LineParse(..), Some(key)) => format!("see below {key}"),
        (dotenvy::Error::LineParse(..), None) => "see its first lines".to_owned(),
        (error, _) => error.to_string(),
    };
    format!(
        "KEY=value in each line, with values in single quotes where they hold blanks, quotes or $ ({place})"
    )
}

/// The environment in which the programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine. Allows short secrets, cheap password hashes, and mails written to a folder.
    Development,
    /// Production. Allows none of these.
    Production,
}

impl Environment {
    /// Reads `ENVIRONMENT`.
    pub fn read(settings: &mut Settings) -> Self {
        settings.choice(
            "ENVIRONMENT",
            Self::Development,
            "development or production",
        )
    }

    /// Returns a warning if a program listens at this address in development: other machines can reach every address except
    /// loopback ones.
    #[must_use]
    pub fn bind_warning(self, key: &str, bind: SocketAddr) -> Option<String> {
        let is_reachable = !bind.ip().to_canonical().is_loopback();
        (self == Self::Development && is_reachable).then(|| {
            format!(
                "{key} is {bind}, which other machines may reach, but ENVIRONMENT is development: weak keys, cheap hashes and \
                 open limits are accepted. Set ENVIRONMENT=production."
            )
        })
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Development => "development",
            Self::Production => "production",
        })
    }
}

impl FromStr for Environment {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "development" => Ok(Self::Development),
            "production" => Ok(Self::Production),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_with_its_key_and_what_was_expected() {
        let mut settings = Settings::from_pairs([
            ("OTP_TRIES", "many"),
            ("PORT", "70000"),
            ("A", "1"),
            ("A_FILE", "/x"),
        ]);

        settings.within("OTP_TRIES", 5, 1..=10);
        settings.within("PORT", 1, 1..=65535);
        settings.text("A");
        settings.required::<String>("SECRET_KEY", "a secret");

        let message = settings.finish().unwrap_err().to_string();
        for line in [
            "OTP_TRIES: expected a number from 1 to 10",
            "PORT: expected a number from 1 to 65535",
            "A: expected either A or A_FILE, not both",
            "SECRET_KEY: expected a secret",
        ] {
            assert!(message.contains(line), "{line} is not in: {message}");
        }
        assert!(
            !message.contains("many"),
            "the value was repeated: {message}"
        );
    }

    /// L1
    #[test]
    fn env_file_line_that_does_not_parse_is_not_repeated() {
        let text = "BIND=127.0.0.1:8000\nSECRET_KEY=S3cret with blanks\n: S3cret\n";
        let lines = dotenvy::from_read_iter(text.as_bytes());
        let errors: Vec<_> = lines.filter_map(Result::err).collect();
        assert_eq!(errors.len(), 2, "{errors:?}");
        for error in errors {
            let expected = expected_line(&error, Some("BIND"));
            assert!(expected.contains("below BIND"), "{expected}");
            assert!(!expected.contains("S3cret"), "{expected}");
        }
    }

    #[test]
    fn a_value_can_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "s3cret\n").unwrap();
        let mut settings = Settings::from_pairs([("KEY_FILE", file.path().to_str().unwrap())]);

        assert_eq!(settings.text("KEY").as_deref(), Some("s3cret"));
        settings.finish().unwrap();
    }
}

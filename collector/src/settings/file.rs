//! The settings file: TOML, whose keys are the flags with underscores.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::secret::read_bounded;
use super::{NAME_OF_FILE, SettingsError};
use crate::model::similar_name::most_similar;

/// The settings that a file gives, not yet parsed.
#[derive(Debug)]
pub(super) struct SettingsFile {
    pub(super) path: PathBuf,
    pub(super) settings: Vec<FileSetting>,
}

/// A setting in a file. Its text is hidden from `Debug`, as it may be a secret.
pub(super) struct FileSetting {
    pub(super) key: String,
    /// Several for a list.
    pub(super) texts: Vec<String>,
}

impl std::fmt::Debug for FileSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileSetting({})", self.key)
    }
}

impl SettingsFile {
    /// Reads a file that may have the keys of `known`.
    ///
    /// # Errors
    /// [`SettingsError`], which names the file and the key.
    pub(super) fn read(path: &Path, known: &[&str]) -> Result<Self, SettingsError> {
        let content = read_bounded(path).map_err(|source| SettingsError::Unreadable {
            place: format!("{NAME_OF_FILE}: {}", path.display()),
            source,
        })?;
        let text = String::from_utf8(content)
            .map_err(|_| SettingsError::in_file(path, "the file is not UTF-8 text"))?;
        let table: Table = toml::from_str(&text).map_err(|error| syntax(path, &text, &error))?;
        let mut settings = Vec::with_capacity(table.len());
        for (key, value) in table {
            if !known.contains(&key.as_str()) {
                return Err(SettingsError::in_file(path, unknown(&key, known)));
            }
            let texts = texts(&value).ok_or_else(|| {
                let problem = format!(
                    "{key}: expected text, a whole number, or a list of texts without commas"
                );
                SettingsError::in_file(path, problem)
            })?;
            settings.push(FileSetting { key, texts });
        }
        Ok(Self {
            path: path.to_owned(),
            settings,
        })
    }
}

/// The parser's message without the snippet, which may hold a secret.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> SettingsError {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    SettingsError::in_file(path, format!("line {line}: {}", error.message()))
}

fn unknown(key: &str, known: &[&str]) -> String {
    match most_similar(key, known) {
        Some(name) => format!("unknown setting {key}: did you mean {name}?"),
        None => format!("unknown setting {key}: see dossier config for all settings"),
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        // A comma would make two of an item, as it does in a flag.
        Value::Array(items) => items
            .iter()
            .map(|item| text(item).filter(|text| !text.contains(',')))
            .collect(),
        value => text(value).map(|text| vec![text]),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

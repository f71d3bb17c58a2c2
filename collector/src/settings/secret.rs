//! Secrets: in a setting, or in a file, as Docker and Kubernetes provide them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::SettingsError;

/// Chains of certificates have some KiB, sets of keys no more.
pub const MAX_FILE_BYTES: usize = 256 * 1024;

/// A secret that a setting gives. It is never shown.
#[derive(Clone)]
pub struct SecretText(String);

/// Where a secret is read from. It is shown as the setting that names it, and its file.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// The setting is the secret.
    Setting {
        /// Its name.
        setting: &'static str,
        /// The secret.
        text: SecretText,
    },
    /// A file holds it.
    File(SecretFile),
}

/// A file that a setting names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// Which setting.
    pub setting: &'static str,
    /// Which file.
    pub path: PathBuf,
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl SecretSource {
    /// From two settings, of which at most one is given. `names` are the settings' names.
    pub(super) fn either(
        names: [&'static str; 2],
        text: Option<SecretText>,
        path: Option<PathBuf>,
    ) -> Option<Self> {
        let [setting, file_setting] = names;
        match (text, path) {
            (Some(text), _) => Some(Self::Setting { setting, text }),
            (None, Some(path)) => Some(Self::File(SecretFile {
                setting: file_setting,
                path,
            })),
            (None, None) => None,
        }
    }

    /// The secret, as it is now. The end of a file's last line does not belong to it.
    ///
    /// # Errors
    /// [`SettingsError::Unreadable`]
    pub fn read(&self) -> Result<String, SettingsError> {
        match self {
            Self::Setting { text, .. } => Ok(text.0.clone()),
            Self::File(file) => file.text(),
        }
    }

    /// Its file, if it has one.
    #[must_use]
    pub const fn file(&self) -> Option<&SecretFile> {
        match self {
            Self::Setting { .. } => None,
            Self::File(file) => Some(file),
        }
    }
}

impl SecretFile {
    /// Its content without the end of the last line.
    ///
    /// # Errors
    /// [`SettingsError::Unreadable`]
    pub fn text(&self) -> Result<String, SettingsError> {
        let text = String::from_utf8(self.bytes()?)
            .map_err(|_| self.unreadable(io::Error::other("the file is not UTF-8 text")))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Its content.
    ///
    /// # Errors
    /// [`SettingsError::Unreadable`]
    pub fn bytes(&self) -> Result<Vec<u8>, SettingsError> {
        read_bounded(&self.path).map_err(|source| self.unreadable(source))
    }

    fn unreadable(&self, source: io::Error) -> SettingsError {
        SettingsError::Unreadable {
            place: self.to_string(),
            source,
        }
    }
}

/// The content of a file of at most [`MAX_FILE_BYTES`].
///
/// # Errors
/// Those of the operating system; of a file that is too long, one that says so.
pub fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut content)?;
    if content.len() > MAX_FILE_BYTES {
        return Err(io::Error::other(format!(
            "the file has more than {MAX_FILE_BYTES} bytes"
        )));
    }
    Ok(content)
}

impl fmt::Display for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.path.display())
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { setting, .. } => f.write_str(setting),
            Self::File(file) => file.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(path: &Path) -> SecretSource {
        SecretSource::either(["word", "word_file"], None, Some(path.to_owned())).unwrap()
    }

    #[test]
    fn secret_is_read_and_never_shown() {
        let either = |text: Option<&str>| {
            SecretSource::either(["word", "word_file"], text.map(SecretText::from), None)
        };
        assert!(either(None).is_none());
        let given = either(Some("hunter2\n")).unwrap();
        assert_eq!(given.read().unwrap(), "hunter2\n");
        let shown = format!("{given} {given:?}");
        assert!(
            shown.starts_with("word ") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn line_end_is_not_part_of_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (held, secret) in [
            ("hunter2", "hunter2"),
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            (" hunter 2 \n", " hunter 2 "),
        ] {
            std::fs::write(&path, held).unwrap();
            assert_eq!(in_file(&path).read().unwrap(), secret);
        }
    }

    #[test]
    fn unreadable_file_is_named_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let fault = || in_file(&path).read().unwrap_err().to_string();
        let place = format!("word_file: {}: ", path.display());
        assert!(fault().starts_with(&place), "{}", fault());
        std::fs::write(&path, b"hunter2\xff").unwrap();
        assert_eq!(fault(), format!("{place}the file is not UTF-8 text"));
        std::fs::write(&path, "x".repeat(MAX_FILE_BYTES)).unwrap();
        assert_eq!(in_file(&path).read().unwrap().len(), MAX_FILE_BYTES);
        std::fs::write(&path, "x".repeat(MAX_FILE_BYTES + 1)).unwrap();
        assert_eq!(
            fault(),
            format!("{place}the file has more than 262144 bytes")
        );
    }
}

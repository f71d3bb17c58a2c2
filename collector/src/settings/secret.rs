//! Secrets: given as they are, or in a file, as Docker and Kubernetes hand them out.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::SettingsError;

/// Largest file. Chains of certificates have some KiB, sets of keys no more.
pub const MAX_FILE_BYTES: usize = 256 * 1024;

/// Where a secret is. It is shown as the setting that names it, and its file; never as the secret.
#[derive(Clone)]
pub enum Secret {
    /// The setting is the secret.
    Given {
        /// Which setting.
        setting: &'static str,
        /// The secret.
        text: String,
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

impl Secret {
    /// From two settings, of which at most one is given. `names` are the settings' names.
    ///
    /// # Errors
    /// [`SettingsError::Both`] if both are.
    pub(super) fn choose(
        names: [&'static str; 2],
        text: Option<String>,
        path: Option<PathBuf>,
    ) -> Result<Option<Self>, SettingsError> {
        let [setting, file_setting] = names;
        match (text, path) {
            (None, None) => Ok(None),
            (Some(text), None) => Ok(Some(Self::Given { setting, text })),
            (None, Some(path)) => Ok(Some(Self::File(SecretFile {
                setting: file_setting,
                path,
            }))),
            (Some(_), Some(_)) => Err(SettingsError::Both(setting, file_setting)),
        }
    }

    /// The secret, as it is now. The end of a file's last line does not belong to it.
    ///
    /// # Errors
    /// [`SettingsError::Unreadable`]
    pub fn read(&self) -> Result<String, SettingsError> {
        match self {
            Self::Given { text, .. } => Ok(text.clone()),
            Self::File(file) => file.text(),
        }
    }

    /// Its file, if it has one.
    #[must_use]
    pub const fn file(&self) -> Option<&SecretFile> {
        match self {
            Self::Given { .. } => None,
            Self::File(file) => Some(file),
        }
    }
}

impl SecretFile {
    /// What it holds, without the end of the last line.
    ///
    /// # Errors
    /// [`SettingsError::Unreadable`]
    pub fn text(&self) -> Result<String, SettingsError> {
        let text = String::from_utf8(self.bytes()?)
            .map_err(|_| self.unreadable(io::Error::other("it is no text (UTF-8)")))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// What it holds.
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

/// What a file holds, if that is not too much for what a file of settings may hold.
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
            "it has more than {MAX_FILE_BYTES} bytes"
        )));
    }
    Ok(content)
}

impl fmt::Display for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.path.display())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given { setting, .. } => f.write_str(setting),
            Self::File(file) => file.fmt(f),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(text: Option<&str>, path: Option<&Path>) -> Result<Option<Secret>, SettingsError> {
        Secret::choose(
            ["word", "word_file"],
            text.map(str::to_owned),
            path.map(Path::to_owned),
        )
    }

    fn in_file(path: &Path) -> Secret {
        choose(None, Some(path)).unwrap().unwrap()
    }

    #[test]
    fn a_secret_is_given_or_in_a_file_and_never_both() {
        assert!(choose(None, None).unwrap().is_none());
        let given = choose(Some("hunter2\n"), None).unwrap().unwrap();
        assert_eq!(given.read().unwrap(), "hunter2\n");
        assert_eq!(format!("{given} {given:?}"), "word Secret(word)");
        let both = choose(Some("hunter2"), Some(Path::new("/x")));
        let error = both.unwrap_err().to_string();
        assert!(error.contains("word") && error.contains("word_file"));
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_end_of_the_line_does_not_belong_to_the_secret() {
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
    fn what_cannot_be_read_is_named_and_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let fault = || in_file(&path).read().unwrap_err().to_string();
        let place = format!("word_file: {}: ", path.display());
        assert!(fault().starts_with(&place), "{}", fault());
        std::fs::write(&path, b"hunter2\xff").unwrap();
        assert_eq!(fault(), format!("{place}it is no text (UTF-8)"));
        std::fs::write(&path, "x".repeat(MAX_FILE_BYTES)).unwrap();
        assert_eq!(in_file(&path).read().unwrap().len(), MAX_FILE_BYTES);
        std::fs::write(&path, "x".repeat(MAX_FILE_BYTES + 1)).unwrap();
        assert_eq!(fault(), format!("{place}it has more than 262144 bytes"));
    }
}

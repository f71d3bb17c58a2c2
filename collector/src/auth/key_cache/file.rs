//! The cache of producers' keys on disk, beside the spool, so that a collector which is started while
//! Postgres is unavailable can authenticate its producers. Only hashes of keys are stored, as in Postgres.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::watch;
use tracing::warn;

use super::{CachedKey, Keys};
use crate::model::ids::{KeyId, UserId};
use crate::model::key::{ApiKeyHash, Caller, Credential};

/// Cached keys are few, and of bounded length.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Writes the cache in a task of its own, so that requests do not wait for it. Clones share the task.
#[derive(Debug, Clone)]
pub(super) struct KeyCacheFile(watch::Sender<Vec<FileEntry>>);

/// A key in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    sha256: String,
    key_id: KeyId,
    user: String,
    role: String,
    #[serde(with = "time::serde::rfc3339")]
    checked_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

impl KeyCacheFile {
    /// Spawns the task, which ends when the last clone of this is dropped.
    pub(super) fn spawn(file: PathBuf) -> Self {
        let (sender, mut waiting) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while waiting.changed().await.is_ok() {
                let (entries, file) = (waiting.borrow_and_update().clone(), file.clone());
                // It does not panic; if it did, the keys would be cached in memory alone.
                let _ = tokio::task::spawn_blocking(move || save(&file, &entries)).await;
            }
        });
        Self(sender)
    }

    /// Replaces the file's content, soon.
    pub(super) fn save(&self, keys: &Keys) {
        let entries = keys
            .iter()
            .filter_map(|(hash, key)| FileEntry::new(hash, key));
        self.0.send_replace(entries.collect());
    }
}

/// The keys in a file; none if it does not exist or is malformed.
pub(super) fn load(file: &Path) -> Keys {
    let text = match read_bounded(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Keys::new(),
        Err(error) => {
            warn!(file = %file.display(), %error, "the cached keys of producers cannot be read");
            return Keys::new();
        }
    };
    match serde_json::from_str::<Vec<FileEntry>>(&text) {
        Ok(entries) => entries
            .into_iter()
            .filter_map(FileEntry::into_key)
            .collect(),
        Err(error) => {
            // Not the error's text, which may quote the file: it holds hashes of keys.
            let (line, column) = (error.line(), error.column());
            warn!(file = %file.display(), line, column, "the cached keys of producers are malformed");
            Keys::new()
        }
    }
}

fn read_bounded(file: &Path) -> io::Result<String> {
    if fs::metadata(file)?.len() > MAX_FILE_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    fs::read_to_string(file)
}

fn save(file: &Path, entries: &[FileEntry]) {
    if let Err(error) = write(file, entries) {
        warn!(file = %file.display(), %error, "the keys of producers could not be saved for a start without Postgres");
    }
}

/// Replaces the file atomically: a reader sees the old or the new content.
fn write(file: &Path, entries: &[FileEntry]) -> io::Result<()> {
    let next = file.with_extension("unfinished");
    let mut writing = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    writing.write_all(&serde_json::to_vec(entries)?)?;
    writing.sync_all()?;
    fs::rename(&next, file)
}

impl FileEntry {
    fn new(hash: &ApiKeyHash, key: &CachedKey) -> Option<Self> {
        let Credential::Key(key_id) = key.caller.credential else {
            return None;
        };
        Some(Self {
            sha256: URL_SAFE_NO_PAD.encode(hash.as_bytes()),
            key_id,
            user: key.caller.user.as_str().to_owned(),
            role: <&str>::from(key.caller.role).to_owned(),
            checked_at: key.checked_at,
            expires_at: key.expires_at,
        })
    }

    fn into_key(self) -> Option<(ApiKeyHash, CachedKey)> {
        let hash = URL_SAFE_NO_PAD.decode(self.sha256).ok()?;
        let caller = Caller {
            credential: Credential::Key(self.key_id),
            user: UserId::new(self.user).ok()?,
            role: self.role.parse().ok()?,
        };
        let key = CachedKey {
            caller,
            checked_at: self.checked_at,
            expires_at: self.expires_at,
            saved_at: Some(self.checked_at),
        };
        Some((ApiKeyHash::from_bytes(hash.try_into().ok()?), key))
    }
}

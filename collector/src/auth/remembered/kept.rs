//! Remembered keys on disk, beside the spool, so that a collector which is started while Postgres is away
//! knows its producers. Of a key only the hash is there, as in Postgres.

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

use super::{Key, Keys};
use crate::model::ids::{KeyId, UserId};
use crate::model::key::{ApiKeyHash, Caller, Credential, Role};

/// Remembered keys are few, and of bounded length.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where keys are written to, beside the requests that use them. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub(super) struct Shelf(watch::Sender<Vec<Kept>>);

/// A key as it is on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    sha256: String,
    key_id: KeyId,
    user: String,
    role: String,
    #[serde(with = "time::serde::rfc3339")]
    checked_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

impl Shelf {
    /// Writes what is [put](Self::put) there into this file, until the last clone of this is dropped.
    pub(super) fn new(file: PathBuf) -> Self {
        let (sender, mut waiting) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while waiting.changed().await.is_ok() {
                let (kept, to) = (waiting.borrow_and_update().clone(), file.clone());
                // It does not panic; if it did, the keys would be known in memory alone.
                let _ = tokio::task::spawn_blocking(move || put(&to, &kept)).await;
            }
        });
        Self(sender)
    }

    /// Has these written in place of those that were.
    pub(super) fn put(&self, keys: &Keys) {
        let kept = keys.iter().filter_map(|(hash, key)| Kept::of(hash, key));
        self.0.send_replace(kept.collect());
    }
}

/// The keys in a file; none if there is no such file, or it cannot be understood.
pub(super) fn read(file: &Path) -> Keys {
    let text = match bounded(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Keys::new(),
        Err(error) => {
            warn!(file = %file.display(), %error, "the keys of producers that were known before cannot be read");
            return Keys::new();
        }
    };
    match serde_json::from_str::<Vec<Kept>>(&text) {
        Ok(kept) => kept.into_iter().filter_map(Kept::key).collect(),
        Err(error) => {
            // Its place alone: the file holds hashes of keys.
            let (line, column) = (error.line(), error.column());
            warn!(file = %file.display(), line, column, "the keys of producers that were known before cannot be understood");
            Keys::new()
        }
    }
}

fn bounded(file: &Path) -> io::Result<String> {
    if fs::metadata(file)?.len() > MAX_FILE_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    fs::read_to_string(file)
}

fn put(file: &Path, kept: &[Kept]) {
    if let Err(error) = write(file, kept) {
        warn!(file = %file.display(), %error, "the keys of producers are not kept for a start without Postgres");
    }
}

/// Whoever reads it sees the old or the new, never a part.
fn write(file: &Path, kept: &[Kept]) -> io::Result<()> {
    let next = file.with_extension("unfinished");
    let mut writing = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    writing.write_all(&serde_json::to_vec(kept)?)?;
    writing.sync_all()?;
    fs::rename(&next, file)
}

impl Kept {
    fn of(hash: &ApiKeyHash, key: &Key) -> Option<Self> {
        let Credential::Key(key_id) = key.caller.credential else {
            return None;
        };
        Some(Self {
            sha256: URL_SAFE_NO_PAD.encode(hash.as_bytes()),
            key_id,
            user: key.caller.user.as_str().to_owned(),
            role: key.caller.role.as_str().to_owned(),
            checked_at: key.checked_at,
            expires_at: key.expires_at,
        })
    }

    fn key(self) -> Option<(ApiKeyHash, Key)> {
        let hash = URL_SAFE_NO_PAD.decode(self.sha256).ok()?;
        let caller = Caller {
            credential: Credential::Key(self.key_id),
            user: UserId::new(self.user).ok()?,
            role: Role::from_name(&self.role)?,
        };
        let key = Key {
            caller,
            checked_at: self.checked_at,
            expires_at: self.expires_at,
            kept_at: Some(self.checked_at),
        };
        Some((ApiKeyHash::from_bytes(hash.try_into().ok()?), key))
    }
}

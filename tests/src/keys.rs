//! The API keys of a stack. Kept in files, they are used again as long as the collector accepts them.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::client::CollectorClient;
use crate::collector::Collector;
use crate::error::HarnessError;

/// The keys of users, and the filter's key.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    /// The keys of users.
    pub users: UserKeys,
    /// Of role `ingest`.
    pub ingest: String,
}

/// The keys of users.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserKeys {
    /// Of the user alice, role `user`.
    pub alice: String,
    /// Of the user bob, role `user`.
    pub bob: String,
    /// Of role `admin`.
    pub admin: String,
}

/// Files that keep keys from one start to the next.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    /// JSON, exactly `{"alice": "…", "bob": "…", "admin": "…"}`.
    pub users: PathBuf,
    /// JSON, a string.
    pub ingest: PathBuf,
}

impl ApiKeys {
    /// Creates keys.
    ///
    /// # Errors
    /// [`HarnessError`] if the collector creates none.
    pub async fn create(collector: &Collector) -> Result<Self, HarnessError> {
        Ok(Self {
            users: UserKeys::create(collector).await?,
            ingest: create_ingest_key(collector).await?,
        })
    }

    /// Reads the keys from their files if the collector accepts them; else creates keys and writes them.
    ///
    /// # Errors
    /// [`HarnessError`] if the collector creates none, or the files cannot be written.
    pub async fn reuse_or_create(
        collector: &Collector,
        files: &KeyFiles,
    ) -> Result<Self, HarnessError> {
        let client = collector.client()?;
        let users = match read::<UserKeys>(&files.users) {
            Some(keys) if keys.are_valid(&client).await? => keys,
            _ => UserKeys::create(collector).await?,
        };
        let ingest = match read::<String>(&files.ingest) {
            Some(key) if is_ingest_key_valid(&client, &key).await? => key,
            _ => create_ingest_key(collector).await?,
        };
        // Written in either case: the files' permissions may have been changed.
        write(&files.users, &users)?;
        write(&files.ingest, &ingest)?;
        Ok(Self { users, ingest })
    }
}

impl UserKeys {
    async fn create(collector: &Collector) -> Result<Self, HarnessError> {
        Ok(Self {
            alice: collector.create_key("alice", "user", "alice").await?,
            bob: collector.create_key("bob", "user", "bob").await?,
            admin: collector.create_key("admin", "admin", "admin").await?,
        })
    }

    async fn are_valid(&self, client: &CollectorClient) -> Result<bool, HarnessError> {
        for key in [&self.alice, &self.bob, &self.admin] {
            if client.query(key, &json!({"page_size": 1})).await?.status != 200 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

async fn create_ingest_key(collector: &Collector) -> Result<String, HarnessError> {
    collector.create_key("envoy", "ingest", "envoy").await
}

/// Sends an invalid batch: only the answer to a valid key is about the batch.
async fn is_ingest_key_valid(client: &CollectorClient, key: &str) -> Result<bool, HarnessError> {
    let answer = client
        .ingest_bytes(Some(key), Uuid::now_v7(), None, Vec::new())
        .await?;
    Ok(!matches!(answer.status, 401 | 403))
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Replaces the file in one step, readable by the owner only.
fn write(path: &Path, value: &impl Serialize) -> Result<(), HarnessError> {
    let fresh = path.with_extension("new");
    let writing = || {
        let _ = std::fs::remove_file(&fresh);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        serde_json::to_writer_pretty(&file, value)?;
        file.write_all(b"\n")?;
        std::fs::rename(&fresh, path)
    };
    writing().map_err(HarnessError::io(format!(
        "write keys to {}",
        path.display()
    )))
}

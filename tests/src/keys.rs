//! The API keys of a stack: made once, kept in files where that is wanted, and used again as long as
//! the collector still knows them.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::client::Client;
use crate::collector::Collector;
use crate::error::HarnessError;

/// Keys for people, and the filter's key.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Keys for people.
    pub people: People,
    /// Of role `ingest`.
    pub ingest: String,
}

/// Keys for people.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct People {
    /// Of the user alice, role `user`.
    pub alice: String,
    /// Of the user bob, role `user`.
    pub bob: String,
    /// Of role `admin`.
    pub admin: String,
}

/// Where keys are kept from one start to the next.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    /// JSON, exactly `{"alice": "…", "bob": "…", "admin": "…"}`.
    pub people: PathBuf,
    /// JSON, a string.
    pub ingest: PathBuf,
}

impl Keys {
    /// New keys.
    ///
    /// # Errors
    /// [`HarnessError`] if the collector makes none.
    pub async fn create(collector: &Collector) -> Result<Self, HarnessError> {
        Ok(Self {
            people: People::create(collector).await?,
            ingest: create_ingest(collector).await?,
        })
    }

    /// The kept keys if they still work, else new ones, which are then kept.
    ///
    /// # Errors
    /// [`HarnessError`] if the collector makes none, or they cannot be kept.
    pub async fn reuse_or_create(
        collector: &Collector,
        files: &KeyFiles,
    ) -> Result<Self, HarnessError> {
        let client = collector.client()?;
        let people = match read::<People>(&files.people) {
            Some(kept) if kept.work(&client).await? => kept,
            _ => People::create(collector).await?,
        };
        let ingest = match read::<String>(&files.ingest) {
            Some(kept) if ingest_works(&client, &kept).await? => kept,
            _ => create_ingest(collector).await?,
        };
        // Written in either case: the files' permissions may have been changed.
        write(&files.people, &people)?;
        write(&files.ingest, &ingest)?;
        Ok(Self { people, ingest })
    }
}

impl People {
    async fn create(collector: &Collector) -> Result<Self, HarnessError> {
        Ok(Self {
            alice: collector.create_key("alice", "user", "alice").await?,
            bob: collector.create_key("bob", "user", "bob").await?,
            admin: collector.create_key("admin", "admin", "admin").await?,
        })
    }

    async fn work(&self, client: &Client) -> Result<bool, HarnessError> {
        for key in [&self.alice, &self.bob, &self.admin] {
            if client.query(key, &json!({"page_size": 1})).await?.status != 200 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

async fn create_ingest(collector: &Collector) -> Result<String, HarnessError> {
    collector.create_key("envoy", "ingest", "envoy").await
}

/// Sends no batch at all: a good key is told that this is the fault, a bad one that it is bad.
async fn ingest_works(client: &Client, key: &str) -> Result<bool, HarnessError> {
    let answer = client
        .ingest_bytes(Some(key), Uuid::now_v7(), None, Vec::new())
        .await?;
    Ok(!matches!(answer.status, 401 | 403))
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Whole or not at all, and for the owner only.
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
    writing().map_err(HarnessError::io(format!("keep keys in {}", path.display())))
}

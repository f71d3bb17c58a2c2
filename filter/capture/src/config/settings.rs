//! The keys `collector`, `batch` and `buffer`, which are independent of routes.

use std::time::Duration;

use dossier_wire::{Compression, INGEST_PATH};

use super::reader::{ConfigNode, Problems};
use super::secret::{SecretLength, SecretSource};

/// The key `collector`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorSettings {
    /// The Envoy cluster to call.
    pub cluster: String,
    /// The `:authority` of calls.
    pub authority: String,
    /// The `:path` of calls.
    pub path: String,
    /// The producer's bearer token.
    pub token: Option<SecretSource>,
    /// Of one call.
    pub timeout: Duration,
}

/// The key `batch`: when a batch is sealed, and how it is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSettings {
    /// In one batch.
    pub max_records: usize,
    /// Before compression. A larger exchange becomes a batch of its own.
    pub max_bytes: usize,
    /// Longest time that a record waits for others.
    pub max_delay: Duration,
    /// Of sealed batches.
    pub compression: Compression,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            max_records: 512,
            max_bytes: 1 << 20,
            max_delay: Duration::from_secs(1),
            compression: Compression::Fast,
        }
    }
}

const DEFAULT_BUFFER_BYTES: usize = 16 << 20;
const TOKEN: SecretLength = SecretLength { min: 1, max: 4096 };

impl CollectorSettings {
    /// Resolves [`Self::token`].
    ///
    /// # Errors
    /// The variable is not set, or its value is not allowed in a header.
    pub fn resolve_token(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, Problems> {
        let resolve = |secret: &SecretSource| secret.resolve("collector.token", TOKEN, environment);
        self.token.as_ref().map(resolve).transpose()
    }

    pub(super) fn read(node: &ConfigNode<'_>) -> Option<Self> {
        let object = node.as_object("cluster")?;
        let cluster = object
            .require("cluster", "the name of an Envoy cluster")
            .and_then(|node| {
                let fits = |text: &str| is_visible(text, 256);
                node.as_text("the name of an Envoy cluster", fits)
                    .map(str::to_owned)
            });
        let authority = object.get("authority").map_or_else(
            || Some("dossier".to_owned()),
            |node| {
                let fits = |text: &str| is_visible(text, 255);
                node.as_text("a host name", fits).map(str::to_owned)
            },
        );
        let path = object.get("path").map_or_else(
            || Some(INGEST_PATH.to_owned()),
            |node| {
                let fits = |text: &str| text.starts_with('/') && is_visible(text, 1024);
                node.as_text("a path that begins with a slash", fits)
                    .map(str::to_owned)
            },
        );
        let token = object
            .get("token")
            .map(|node| SecretSource::read(&node, TOKEN));
        let timeout = object
            .get("timeout")
            .map_or(Some(Duration::from_secs(5)), |node| {
                node.as_duration(Duration::from_millis(100)..=Duration::from_mins(1))
            });
        object.reject_unknown();
        Some(Self {
            cluster: cluster?,
            authority: authority?,
            path: path?,
            token: match token {
                Some(read) => Some(read?),
                None => None,
            },
            timeout: timeout?,
        })
    }
}

fn is_visible(text: &str, max: usize) -> bool {
    !text.is_empty() && text.len() <= max && text.bytes().all(|b| b.is_ascii_graphic())
}

impl BatchSettings {
    pub(super) fn read(node: &ConfigNode<'_>) -> Self {
        let default = Self::default();
        let Some(object) = node.as_object("max_records, max_bytes, max_delay and compression")
        else {
            return default;
        };
        let batch = Self {
            max_records: object
                .get("max_records")
                .and_then(|node| node.as_integer(2..=10_000, ""))
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or(default.max_records),
            // The collector accepts 4 MiB in one request; the difference is for data that does not
            // compress.
            max_bytes: object
                .get("max_bytes")
                .and_then(|node| node.as_size(16 << 10..=3 << 20))
                .unwrap_or(default.max_bytes),
            max_delay: object
                .get("max_delay")
                .and_then(|node| {
                    node.as_duration(Duration::from_millis(10)..=Duration::from_mins(1))
                })
                .unwrap_or(default.max_delay),
            compression: object
                .get("compression")
                .and_then(|node| {
                    node.as_choice(&[
                        ("none", Compression::None),
                        ("fast", Compression::Fast),
                        ("best", Compression::Best),
                    ])
                })
                .unwrap_or(default.compression),
        };
        object.reject_unknown();
        batch
    }
}

pub(super) fn read_buffer_bytes(node: Option<&ConfigNode<'_>>, batch: &BatchSettings) -> usize {
    let Some(object) = node.and_then(|node| node.as_object("max_bytes")) else {
        return DEFAULT_BUFFER_BYTES;
    };
    let written = object.get("max_bytes");
    let bytes = written
        .as_ref()
        .and_then(|node| node.as_size(1 << 20..=256 << 20))
        .unwrap_or(DEFAULT_BUFFER_BYTES);
    if bytes < 2 * batch.max_bytes
        && let Some(node) = written
    {
        node.report_expected(
            "at least twice batch.max_bytes, so that one batch fills while another is sent",
        );
    }
    object.reject_unknown();
    bytes
}

//! The parts of the configuration that do not depend on a route: collector, batch, buffer, user.

use std::time::Duration;

use dossier_wire::{Compression, INGEST_PATH};

use super::reader::{Node, Problems};
use super::secret::{Length, Secret};

/// Where batches go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Envoy's name of the cluster.
    pub cluster: String,
    /// `:authority` of the calls.
    pub authority: String,
    /// `:path` of the calls.
    pub path: String,
    /// What the collector knows the producer by.
    pub token: Option<Secret>,
    /// When a call without an answer is given up.
    pub timeout: Duration,
}

/// When a batch is sealed, and how it is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Most records.
    pub max_records: usize,
    /// Most bytes before compression. A single exchange that is larger makes a batch of its own.
    pub max_bytes: usize,
    /// Longest time that a record waits for others.
    pub max_delay: Duration,
    /// How hard to compress.
    pub compression: Compression,
}

impl Default for Batch {
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
const TOKEN: Length = Length {
    least: 1,
    most: 4096,
};

impl Collector {
    /// The token itself.
    ///
    /// # Errors
    /// Its variable is not set, or its value cannot stand in a header.
    pub fn resolve_token(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, Problems> {
        let resolve = |secret: &Secret| secret.resolve("collector.token", TOKEN, environment);
        self.token.as_ref().map(resolve).transpose()
    }

    pub(super) fn read(node: &Node<'_>) -> Option<Self> {
        let object = node.object("cluster")?;
        let cluster = object
            .require("cluster", "the name of an Envoy cluster")
            .and_then(|node| {
                let fits = |text: &str| visible(text, 256);
                node.text("the name of an Envoy cluster", fits)
                    .map(str::to_owned)
            });
        let authority = object.get("authority").map_or_else(
            || Some("dossier".to_owned()),
            |node| {
                let fits = |text: &str| visible(text, 255);
                node.text("a host name", fits).map(str::to_owned)
            },
        );
        let path = object.get("path").map_or_else(
            || Some(INGEST_PATH.to_owned()),
            |node| {
                let fits = |text: &str| text.starts_with('/') && visible(text, 1024);
                node.text("a path that begins with a slash", fits)
                    .map(str::to_owned)
            },
        );
        let token = object.get("token").map(|node| Secret::read(&node, TOKEN));
        let timeout = object
            .get("timeout")
            .map_or(Some(Duration::from_secs(5)), |node| {
                node.duration(Duration::from_millis(100)..=Duration::from_mins(1))
            });
        object.refuse_unknown();
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

fn visible(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_graphic())
}

impl Batch {
    pub(super) fn read(node: &Node<'_>) -> Self {
        let default = Self::default();
        let Some(object) = node.object("max_records, max_bytes, max_delay and compression") else {
            return default;
        };
        let batch = Self {
            max_records: object
                .get("max_records")
                .and_then(|node| node.whole(2..=10_000, ""))
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or(default.max_records),
            // The collector takes 4 MiB in one request; the rest is room for what does not compress.
            max_bytes: object
                .get("max_bytes")
                .and_then(|node| node.size(16 << 10..=3 << 20))
                .unwrap_or(default.max_bytes),
            max_delay: object
                .get("max_delay")
                .and_then(|node| node.duration(Duration::from_millis(10)..=Duration::from_mins(1)))
                .unwrap_or(default.max_delay),
            compression: object
                .get("compression")
                .and_then(|node| {
                    node.choice(&[
                        ("none", Compression::None),
                        ("fast", Compression::Fast),
                        ("best", Compression::Best),
                    ])
                })
                .unwrap_or(default.compression),
        };
        object.refuse_unknown();
        batch
    }
}

pub(super) fn buffer_bytes(node: Option<&Node<'_>>, batch: &Batch) -> usize {
    let Some(object) = node.and_then(|node| node.object("max_bytes")) else {
        return DEFAULT_BUFFER_BYTES;
    };
    let written = object.get("max_bytes");
    let bytes = written
        .as_ref()
        .and_then(|node| node.size(1 << 20..=256 << 20))
        .unwrap_or(DEFAULT_BUFFER_BYTES);
    if bytes < 2 * batch.max_bytes
        && let Some(node) = written
    {
        node.expected(
            "at least twice batch.max_bytes, so that one batch fills while another is sent",
        );
    }
    object.refuse_unknown();
    bytes
}

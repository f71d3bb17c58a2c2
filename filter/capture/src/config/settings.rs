//! The parts of the configuration that do not depend on a route: collector, batch, buffer, user.

use std::fmt;
use std::time::Duration;

use dossier_wire::{Compression, INGEST_PATH};

use super::reader::{Node, Path, Problems};

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
    pub token: Option<Token>,
    /// When a call without an answer is given up.
    pub timeout: Duration,
}

/// The secret sent as `authorization: Bearer`. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    /// As written in the configuration.
    Literal(String),
    /// The value of an environment variable, written `${NAME}`.
    Environment(String),
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => formatter.write_str("Literal(…)"),
            Self::Environment(name) => write!(formatter, "Environment({name})"),
        }
    }
}

impl Token {
    /// The secret itself.
    ///
    /// # Errors
    /// The variable is not set, or its value cannot stand in a header.
    pub fn resolve(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<String, Problems> {
        let name = match self {
            Self::Literal(text) => return Ok(text.clone()),
            Self::Environment(name) => name,
        };
        match environment(name) {
            None => Err(Problems::one(format!(
                "collector.token: the environment variable {name} is not set: name it in \
                 vm_config.environment_variables"
            ))),
            Some(value) if is_token(&value) => Ok(value),
            Some(_) => Err(Problems::one(format!(
                "collector.token: the value of the environment variable {name} is not {TOKEN}"
            ))),
        }
    }
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
const MAX_USER_SOURCES: usize = 8;
const TOKEN: &str =
    "a text of 1 to 4096 visible ASCII characters, or ${NAME} of an environment variable";

impl Collector {
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
        let token = object.get("token").map(|node| token(&node));
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

fn token(node: &Node<'_>) -> Option<Token> {
    let text = node.value.as_str().unwrap_or_default();
    let name = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    match name {
        Some(name) if is_variable(name) => Some(Token::Environment(name.to_owned())),
        // A mistyped reference must not be sent as if it were the secret.
        None if is_token(text) && !text.contains("${") => Some(Token::Literal(text.to_owned())),
        _ => {
            node.expected_secret(TOKEN);
            None
        }
    }
}

fn is_token(text: &str) -> bool {
    visible(text, 4096)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
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

pub(super) fn user_headers(node: &Node<'_>) -> Vec<String> {
    let mut headers = Vec::new();
    for (index, value) in node
        .list(MAX_USER_SOURCES, "sources")
        .into_iter()
        .flatten()
        .enumerate()
    {
        let path = Path::Index(&node.path, index);
        let source = Node {
            value,
            path,
            problems: node.problems,
        };
        let Some(object) = source.object("header") else {
            continue;
        };
        if let Some(node) = object.require("header", "the name of a request header")
            && let Some(name) = node.text("the name of a request header", is_header_name)
        {
            headers.push(name.to_ascii_lowercase());
        }
        object.refuse_unknown();
    }
    headers
}

/// A `token` of RFC 9110, at a length that no real header reaches.
fn is_header_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(allowed)
}

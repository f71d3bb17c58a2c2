//! The `capture` keys: as they are written, merged key by key, and resolved into a [`Plan`].

use std::num::NonZeroU32;

use dossier_wire::KeepCompressed;
use dossier_wire::record::MAX_TTL_DAYS;
use serde_json::{Map, Number, Value};

use super::reader::{Node, whole_number};

/// What an exchange that a rule matched is recorded with.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Which halves are recorded.
    pub storage: Storage,
    /// Days until the entry expires; none: kept until deleted.
    pub ttl_days: Option<NonZeroU32>,
    /// Minutes of silence that end a session; none: the entry belongs to no session.
    pub session_timeout_minutes: Option<NonZeroU32>,
    /// Whether the collector stores the body compressed.
    pub compress: KeepCompressed,
    /// Constants that every entry carries.
    pub metadata: Map<String, Value>,
    /// Most bytes of a body that are kept, for each half.
    pub max_body_bytes: usize,
    /// What the entry is filed under; none: its path.
    pub endpoint: Option<String>,
}

/// Which halves of an exchange are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Storage {
    /// Neither: the exchange passes untouched.
    #[default]
    None,
    /// What the client sent.
    Request,
    /// What the client was answered.
    Response,
    /// Both halves.
    Both,
}

impl Storage {
    /// Whether the request's half is recorded.
    #[must_use]
    pub const fn request(self) -> bool {
        matches!(self, Self::Request | Self::Both)
    }

    /// Whether the response's half is recorded.
    #[must_use]
    pub const fn response(self) -> bool {
        matches!(self, Self::Response | Self::Both)
    }

    /// How many records an exchange gives.
    #[must_use]
    pub const fn records(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Request | Self::Response => 1,
            Self::Both => 2,
        }
    }
}

/// The keys as one place wrote them; what is absent is left to the next place.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Keys {
    storage: Option<Storage>,
    ttl_days: Option<NonZeroU32>,
    session_timeout_minutes: Option<NonZeroU32>,
    compress: Option<KeepCompressed>,
    metadata: Map<String, Value>,
    max_body_bytes: Option<usize>,
    endpoint: Option<String>,
}

const MAX_SESSION_MINUTES: u64 = 525_600;
const MAX_BODY_BYTES: usize = 1 << 20;
const DEFAULT_BODY_BYTES: usize = 64 << 10;
const MAX_ENDPOINT_BYTES: usize = 1024;
const MAX_METADATA_KEYS: usize = 32;
const MAX_METADATA_KEY_BYTES: usize = 64;
const MAX_METADATA_VALUE_BYTES: usize = 1024;

impl Keys {
    pub(super) fn read(node: &Node<'_>) -> Self {
        let Some(object) = node.object("capture keys") else {
            return Self::default();
        };
        let keys = Self {
            storage: object.get("storage_type").and_then(|node| {
                node.choice(&[
                    ("request", Storage::Request),
                    ("response", Storage::Response),
                    ("both", Storage::Both),
                    ("none", Storage::None),
                ])
            }),
            ttl_days: object
                .get("ttl_days")
                .and_then(|node| positive(&node, MAX_TTL_DAYS.into(), " of days")),
            session_timeout_minutes: object
                .get("session_timeout_minutes")
                .and_then(|node| positive(&node, MAX_SESSION_MINUTES, " of minutes")),
            compress: object.get("compress").and_then(|node| compress(&node)),
            metadata: object
                .get("metadata")
                .map(|node| metadata(&node))
                .unwrap_or_default(),
            max_body_bytes: object
                .get("max_body_bytes")
                .and_then(|node| node.size(0..=MAX_BODY_BYTES)),
            endpoint: object.get("endpoint").and_then(|node| {
                let fits = |text: &str| text.starts_with('/') && text.len() <= MAX_ENDPOINT_BYTES;
                let expectation = "a text that begins with a slash, of at most 1024 bytes";
                node.text(expectation, fits).map(str::to_owned)
            }),
        };
        object.refuse_unknown();
        keys
    }

    /// These keys, and the base's where these say nothing. Metadata is merged name by name.
    pub(super) fn over(&self, base: &Self) -> Self {
        let mut metadata = base.metadata.clone();
        metadata.extend(self.metadata.clone());
        Self {
            storage: self.storage.or(base.storage),
            ttl_days: self.ttl_days.or(base.ttl_days),
            session_timeout_minutes: self
                .session_timeout_minutes
                .or(base.session_timeout_minutes),
            compress: self.compress.or(base.compress),
            metadata,
            max_body_bytes: self.max_body_bytes.or(base.max_body_bytes),
            endpoint: self.endpoint.clone().or_else(|| base.endpoint.clone()),
        }
    }

    pub(super) fn plan(&self) -> Plan {
        Plan {
            storage: self.storage.unwrap_or_default(),
            ttl_days: self.ttl_days,
            session_timeout_minutes: self.session_timeout_minutes,
            compress: self.compress.unwrap_or_default(),
            metadata: self.metadata.clone(),
            max_body_bytes: self.max_body_bytes.unwrap_or(DEFAULT_BODY_BYTES),
            endpoint: self.endpoint.clone(),
        }
    }
}

fn positive(node: &Node<'_>, most: u64, what: &str) -> Option<NonZeroU32> {
    let number = node.whole(1..=most, what)?;
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}

fn compress(node: &Node<'_>) -> Option<KeepCompressed> {
    match node.value {
        Value::Bool(true) => Some(KeepCompressed::Always),
        Value::Bool(false) => Some(KeepCompressed::Never),
        Value::String(text) if text == "auto" => Some(KeepCompressed::Auto),
        _ => {
            node.expected("true, false or \"auto\"");
            None
        }
    }
}

fn metadata(node: &Node<'_>) -> Map<String, Value> {
    let Value::Object(map) = node.value else {
        node.expected("an object of names and constants");
        return Map::new();
    };
    if map.len() > MAX_METADATA_KEYS {
        node.expected(format_args!(
            "at most {MAX_METADATA_KEYS} names, and there are {}",
            map.len()
        ));
    }
    let mut read = Map::new();
    for (name, value) in map {
        let path = super::reader::Path::Key(&node.path, name);
        let entry = Node {
            value,
            path,
            problems: node.problems,
        };
        if name.is_empty() || name.len() > MAX_METADATA_KEY_BYTES {
            entry.problems.add(
                &path,
                format_args!("expected a name of 1 to {MAX_METADATA_KEY_BYTES} bytes"),
            );
        } else if let Some(constant) = constant(&entry) {
            read.insert(name.clone(), constant);
        }
    }
    read
}

fn constant(node: &Node<'_>) -> Option<Value> {
    match node.value {
        Value::Bool(_) => Some(node.value.clone()),
        // Whole numbers are stored alike, whether the configuration said 4 or Envoy made it 4.0.
        Value::Number(number) => {
            let whole = whole_number(node.value).map(Number::from);
            Some(Value::Number(whole.unwrap_or_else(|| number.clone())))
        }
        Value::String(text) if text.len() <= MAX_METADATA_VALUE_BYTES => Some(node.value.clone()),
        _ => {
            node.expected(format_args!(
                "a constant: a text of at most {MAX_METADATA_VALUE_BYTES} bytes, a number, true or false"
            ));
            None
        }
    }
}

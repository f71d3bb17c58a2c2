//! The `capture` keys: as they are written, and merged key by key.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use dossier_wire::StorageCompression;
use dossier_wire::record::{MAX_SESSION_MINUTES, MAX_TTL_DAYS};
use serde_json::{Number, Value};

use super::media::{self, MediaRange};
use super::names;
use super::plan::{Halves, Plan, Storage};
use super::reader::{Node, Object, whole_number};
use super::redact::RedactKeys;
use super::session::SessionKeys;
use super::source::{Extraction, ValueSource};
use super::when::When;
use crate::sample::Sample;

/// The keys as one place wrote them; what is absent is left to the next place.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Keys {
    storage: Option<Storage>,
    ttl_days: Option<NonZeroU32>,
    body_ttl_days: Option<NonZeroU32>,
    session_timeout_minutes: Option<NonZeroU32>,
    session: SessionKeys,
    compress: Option<StorageCompression>,
    metadata: BTreeMap<String, Metadata>,
    headers: Halves<Option<Vec<String>>>,
    content_types: Option<Vec<MediaRange>>,
    max_body_bytes: Option<usize>,
    endpoint: Option<String>,
    sample: Option<Sample>,
    when: Option<When>,
    redact: RedactKeys,
}

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
enum Metadata {
    Constant(Value),
    From(ValueSource),
}

const MAX_BODY_BYTES: usize = 1 << 20;
const DEFAULT_BODY_BYTES: usize = 64 << 10;
const MAX_ENDPOINT_BYTES: usize = 1024;
const MAX_METADATA_KEYS: usize = 32;
pub(super) const MAX_METADATA_KEY_BYTES: usize = 64;
const MAX_METADATA_VALUE_BYTES: usize = 1024;
const MAX_HEADERS: usize = 64;

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
            session_timeout_minutes: object
                .get("session_timeout_minutes")
                .and_then(|node| positive(&node, MAX_SESSION_MINUTES.into(), " of minutes")),
            session: object
                .get("session")
                .map(|node| SessionKeys::read(&node))
                .unwrap_or_default(),
            ttl_days: days(&object, "ttl_days"),
            body_ttl_days: days(&object, "body_ttl_days"),
            compress: object.get("compress").and_then(|node| compress(&node)),
            endpoint: object.get("endpoint").and_then(|node| {
                let fits = |text: &str| text.starts_with('/') && text.len() <= MAX_ENDPOINT_BYTES;
                let expectation = "a text that begins with a slash, of at most 1024 bytes";
                node.text(expectation, fits).map(str::to_owned)
            }),
            metadata: object
                .get("metadata")
                .map(|node| metadata(&node))
                .unwrap_or_default(),
            headers: object
                .get("headers")
                .map(|node| headers(&node))
                .unwrap_or_default(),
            content_types: object
                .get("content_types")
                .and_then(|node| media::ranges(&node)),
            max_body_bytes: object
                .get("max_body_bytes")
                .and_then(|node| node.size(0..=MAX_BODY_BYTES)),
            sample: object
                .get("sample")
                .and_then(|node| node.share().map(Sample::of)),
            when: object.get("when").and_then(|node| When::read(&node)),
            redact: object
                .get("redact")
                .map(|node| RedactKeys::read(&node))
                .unwrap_or_default(),
        };
        object.refuse_unknown();
        keys
    }

    /// These keys, and the base's where these say nothing. Metadata is merged name by name, what is
    /// redacted list by list.
    pub(super) fn over(&self, base: &Self) -> Self {
        let mut metadata = base.metadata.clone();
        metadata.extend(self.metadata.clone());
        let either =
            |of: fn(&Self) -> &Option<Vec<String>>| of(self).clone().or_else(|| of(base).clone());
        Self {
            storage: self.storage.or(base.storage),
            ttl_days: self.ttl_days.or(base.ttl_days),
            body_ttl_days: self.body_ttl_days.or(base.body_ttl_days),
            session_timeout_minutes: self
                .session_timeout_minutes
                .or(base.session_timeout_minutes),
            session: self.session.over(&base.session),
            compress: self.compress.or(base.compress),
            metadata,
            headers: Halves {
                request: either(|keys| &keys.headers.request),
                response: either(|keys| &keys.headers.response),
            },
            content_types: self
                .content_types
                .clone()
                .or_else(|| base.content_types.clone()),
            max_body_bytes: self.max_body_bytes.or(base.max_body_bytes),
            endpoint: self.endpoint.clone().or_else(|| base.endpoint.clone()),
            sample: self.sample.or(base.sample),
            when: self.when.clone().or_else(|| base.when.clone()),
            redact: self.redact.over(&base.redact),
        }
    }

    /// What these keys amount to. `template` is what the exchange is filed under unless they name
    /// an endpoint.
    pub(super) fn plan(&self, template: Option<&str>) -> Plan {
        let metadata = self.metadata.iter();
        let taken = metadata.clone().filter_map(|(name, value)| match value {
            Metadata::From(source) => Some((name, source)),
            Metadata::Constant(_) => None,
        });
        let constants = metadata.filter_map(|(name, value)| match value {
            Metadata::Constant(value) => Some((name.clone(), value.clone())),
            Metadata::From(_) => None,
        });
        Plan {
            storage: self.storage.unwrap_or_default(),
            ttl_days: self.ttl_days,
            // A route's own keys may shorten the life of what a rule gave its bodies.
            body_ttl_days: self
                .body_ttl_days
                .filter(|body| self.ttl_days.is_none_or(|all| *body < all)),
            session_timeout_minutes: self.session_timeout_minutes,
            session: self.session.source.clone(),
            session_by: self.session.by.clone().unwrap_or_default(),
            compress: self.compress.unwrap_or_default(),
            metadata: constants.collect(),
            extracted: Extraction::of(taken, self.session.source.as_ref()),
            headers: Halves {
                request: self.headers.request.clone().unwrap_or_default(),
                response: self.headers.response.clone().unwrap_or_default(),
            },
            content_types: self.content_types.clone(),
            max_body_bytes: self.max_body_bytes.unwrap_or(DEFAULT_BODY_BYTES),
            endpoint: self.endpoint.as_deref().or(template).map(str::to_owned),
            sample: self.sample.unwrap_or_default(),
            when: self.when.clone().unwrap_or_default(),
            redaction: self.redact.compile(),
            bare: false,
        }
    }

    /// Tells what contradicts itself only once keys of several places have come together.
    pub(super) fn check(&self, node: &Node<'_>, has_hash_key: bool) {
        let body_outlives = match (self.body_ttl_days, self.ttl_days) {
            (Some(body), Some(entry)) => body > entry,
            _ => false,
        };
        if body_outlives {
            node.fault(
                "body_ttl_days",
                "expected at most ttl_days: a body cannot outlive its entry",
            );
        }
        let hashes = || {
            self.redact
                .compile()
                .is_some_and(|redaction| redaction.needs_key())
        };
        if !has_hash_key && hashes() {
            node.fault(
                "redact.with",
                "hash needs the key hash_key of the plugin's configuration",
            );
        }
    }
}

fn days(object: &Object<'_>, key: &'static str) -> Option<NonZeroU32> {
    positive(&object.get(key)?, MAX_TTL_DAYS.into(), " of days")
}

fn positive(node: &Node<'_>, most: u64, what: &str) -> Option<NonZeroU32> {
    let number = node.whole(1..=most, what)?;
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}

fn compress(node: &Node<'_>) -> Option<StorageCompression> {
    match node.value {
        Value::Bool(true) => Some(StorageCompression::Always),
        Value::Bool(false) => Some(StorageCompression::Never),
        Value::String(text) if text == "auto" => Some(StorageCompression::Auto),
        _ => {
            node.expected("true, false or \"auto\"");
            None
        }
    }
}

fn headers(node: &Node<'_>) -> Halves<Option<Vec<String>>> {
    let Some(object) = node.object("request and response") else {
        return Halves::default();
    };
    let list = |key| {
        object
            .get(key)
            .and_then(|node| names::headers(&node, MAX_HEADERS))
    };
    let halves = Halves {
        request: list("request"),
        response: list("response"),
    };
    object.refuse_unknown();
    halves
}

fn metadata(node: &Node<'_>) -> BTreeMap<String, Metadata> {
    let Value::Object(map) = node.value else {
        node.expected("an object of names and values");
        return BTreeMap::new();
    };
    if map.len() > MAX_METADATA_KEYS {
        node.expected(format_args!(
            "at most {MAX_METADATA_KEYS} names, and there are {}",
            map.len()
        ));
    }
    let mut read = BTreeMap::new();
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
        } else if let Some(value) = metadata_value(&entry) {
            read.insert(name.clone(), value);
        }
    }
    read
}

fn metadata_value(node: &Node<'_>) -> Option<Metadata> {
    match node.value {
        Value::Bool(_) => Some(Metadata::Constant(node.value.clone())),
        // Whole numbers are stored alike, whether the configuration said 4 or Envoy made it 4.0.
        Value::Number(number) => {
            let whole = whole_number(node.value).map(Number::from);
            let number = whole.unwrap_or_else(|| number.clone());
            Some(Metadata::Constant(Value::Number(number)))
        }
        Value::String(text) if text.len() <= MAX_METADATA_VALUE_BYTES => {
            Some(Metadata::Constant(node.value.clone()))
        }
        Value::Object(_) => ValueSource::read(node).map(Metadata::From),
        _ => {
            node.expected(format_args!(
                "a constant (a text of at most {MAX_METADATA_VALUE_BYTES} bytes, a number, true or \
                 false), or where to take it from, such as {{request_json: $.model}}"
            ));
            None
        }
    }
}

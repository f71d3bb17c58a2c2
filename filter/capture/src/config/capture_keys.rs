//! The keys of `capture`: read, merged over those of rules and defaults, compiled into a plan.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use dossier_wire::StorageCompression;
use dossier_wire::limits::{MAX_ENDPOINT_BYTES, MAX_SESSION_MINUTES, MAX_TTL_DAYS};
use serde_json::Value;

use super::end_conditions::EndConditions;
use super::header_names;
use super::media_range::{self, MediaRange};
use super::metadata::{self, MetadataValue};
use super::per_half::PerHalf;
use super::plan::{CapturePlan, StorageType};
use super::reader::{ConfigNode, ObjectReader};
use super::redact::RedactKeys;
use super::session::SessionKeys;
use super::source::Extraction;
use crate::sampling::SampleRate;

/// The keys of one place in the configuration. Absent keys are inherited.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CaptureKeys {
    storage: Option<StorageType>,
    ttl_days: Option<NonZeroU32>,
    body_ttl_days: Option<NonZeroU32>,
    session_timeout_minutes: Option<NonZeroU32>,
    session: SessionKeys,
    compress: Option<StorageCompression>,
    metadata: BTreeMap<String, MetadataValue>,
    headers: PerHalf<Option<Vec<String>>>,
    content_types: Option<Vec<MediaRange>>,
    max_body_bytes: Option<usize>,
    endpoint: Option<String>,
    sample: Option<SampleRate>,
    when: Option<EndConditions>,
    redact: RedactKeys,
}

const MAX_BODY_BYTES: usize = 1 << 20;
const DEFAULT_BODY_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 64;

impl CaptureKeys {
    pub(super) fn read(node: &ConfigNode<'_>) -> Self {
        let Some(object) = node.as_object("capture keys") else {
            return Self::default();
        };
        let keys = Self {
            storage: object.get("storage_type").and_then(|node| {
                node.as_choice(&[
                    ("request", StorageType::Request),
                    ("response", StorageType::Response),
                    ("both", StorageType::Both),
                    ("none", StorageType::None),
                ])
            }),
            session_timeout_minutes: object
                .get("session_timeout_minutes")
                .and_then(|node| read_positive(&node, MAX_SESSION_MINUTES.into(), " of minutes")),
            session: object
                .get("session")
                .map(|node| SessionKeys::read(&node))
                .unwrap_or_default(),
            ttl_days: read_days(&object, "ttl_days"),
            body_ttl_days: read_days(&object, "body_ttl_days"),
            compress: object
                .get("compress")
                .and_then(|node| read_compression(&node)),
            endpoint: object.get("endpoint").and_then(|node| {
                let fits = |text: &str| text.starts_with('/') && text.len() <= MAX_ENDPOINT_BYTES;
                let expectation = format!(
                    "a string that begins with a slash, of at most {MAX_ENDPOINT_BYTES} bytes"
                );
                node.as_text(&expectation, fits).map(str::to_owned)
            }),
            metadata: object
                .get("metadata")
                .map(|node| metadata::read(&node))
                .unwrap_or_default(),
            headers: object
                .get("headers")
                .map(|node| read_headers(&node))
                .unwrap_or_default(),
            content_types: object
                .get("content_types")
                .and_then(|node| media_range::read_ranges(&node)),
            max_body_bytes: object
                .get("max_body_bytes")
                .and_then(|node| node.as_size(0..=MAX_BODY_BYTES)),
            sample: object
                .get("sample")
                .and_then(|node| node.as_ratio().map(SampleRate::new)),
            when: object
                .get("when")
                .and_then(|node| EndConditions::read(&node)),
            redact: object
                .get("redact")
                .map(|node| RedactKeys::read(&node))
                .unwrap_or_default(),
        };
        object.reject_unknown();
        keys
    }

    /// What rules and routes inherit of these `defaults`. That they record nothing is about what no rule matches.
    pub(super) fn to_inherited(&self) -> Self {
        Self {
            storage: self.storage.filter(|storage| *storage != StorageType::None),
            ..self.clone()
        }
    }

    /// The keys of a rule or a route, with those that it inherits from `base`. It records both halves unless one of
    /// them says otherwise. Metadata is merged by name, redaction by list.
    pub(super) fn merged_over(&self, base: &Self) -> Self {
        let mut metadata = base.metadata.clone();
        metadata.extend(self.metadata.clone());
        let either =
            |of: fn(&Self) -> &Option<Vec<String>>| of(self).clone().or_else(|| of(base).clone());
        Self {
            storage: self.storage.or(base.storage).or(Some(StorageType::Both)),
            ttl_days: self.ttl_days.or(base.ttl_days),
            body_ttl_days: self.body_ttl_days.or(base.body_ttl_days),
            session_timeout_minutes: self
                .session_timeout_minutes
                .or(base.session_timeout_minutes),
            session: self.session.merged_over(&base.session),
            compress: self.compress.or(base.compress),
            metadata,
            headers: PerHalf {
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
            redact: self.redact.merged_over(&base.redact),
        }
    }

    /// `template` is the default of the endpoint.
    pub(super) fn compile_plan(&self, template: Option<&str>) -> CapturePlan {
        let metadata = self.metadata.iter();
        let taken = metadata.clone().filter_map(|(name, value)| match value {
            MetadataValue::From(source) => Some((name, source)),
            MetadataValue::Constant(_) => None,
        });
        let constants = metadata.filter_map(|(name, value)| match value {
            MetadataValue::Constant(value) => Some((name.clone(), value.clone())),
            MetadataValue::From(_) => None,
        });
        CapturePlan {
            storage: self.storage.unwrap_or_default(),
            ttl_days: self.ttl_days,
            // A route's own keys may set a shorter TTL than that of the rule's bodies.
            body_ttl_days: self
                .body_ttl_days
                .filter(|body| self.ttl_days.is_none_or(|all| *body < all)),
            session_timeout_minutes: self.session_timeout_minutes,
            session: self.session.source.clone(),
            session_by: self.session.by.clone().unwrap_or_default(),
            compress: self.compress.unwrap_or_default(),
            metadata: constants.collect(),
            extracted: Extraction::compile_by_half(taken, self.session.source.as_ref()),
            headers: PerHalf {
                request: self.headers.request.clone().unwrap_or_default(),
                response: self.headers.response.clone().unwrap_or_default(),
            },
            content_types: self.content_types.clone(),
            max_body_bytes: self.max_body_bytes.unwrap_or(DEFAULT_BODY_BYTES),
            endpoint: self.endpoint.as_deref().or(template).map(str::to_owned),
            sample: self.sample.unwrap_or_default(),
            when: self.when.clone().unwrap_or_default(),
            redaction: self.redact.compile(),
            minimal: false,
        }
    }

    /// Reports contradictions, also those that only merging creates.
    pub(super) fn check(&self, node: &ConfigNode<'_>, has_hash_key: bool) {
        let body_outlives = match (self.body_ttl_days, self.ttl_days) {
            (Some(body), Some(entry)) => body > entry,
            _ => false,
        };
        if body_outlives {
            node.report_at(
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
            node.report_at(
                "redact.with",
                "hash needs the key hash_key of the plugin's configuration",
            );
        }
    }
}

fn read_days(object: &ObjectReader<'_>, key: &'static str) -> Option<NonZeroU32> {
    read_positive(&object.get(key)?, MAX_TTL_DAYS.into(), " of days")
}

fn read_positive(node: &ConfigNode<'_>, max: u64, what: &str) -> Option<NonZeroU32> {
    let number = node.as_integer(1..=max, what)?;
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}

fn read_compression(node: &ConfigNode<'_>) -> Option<StorageCompression> {
    match node.value {
        Value::Bool(true) => Some(StorageCompression::Always),
        Value::Bool(false) => Some(StorageCompression::Never),
        Value::String(text) if text == "auto" => Some(StorageCompression::Auto),
        _ => {
            node.report_expected("true, false or \"auto\"");
            None
        }
    }
}

fn read_headers(node: &ConfigNode<'_>) -> PerHalf<Option<Vec<String>>> {
    let Some(object) = node.as_object("request and response") else {
        return PerHalf::default();
    };
    let list = |key| {
        object
            .get(key)
            .and_then(|node| header_names::read_list(&node, MAX_HEADERS))
    };
    let halves = PerHalf {
        request: list("request"),
        response: list("response"),
    };
    object.reject_unknown();
    halves
}

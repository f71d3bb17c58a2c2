//! The JSON headers of a batch's frames, as serde types.
//!
//! Times are microseconds since the Unix epoch, UTC. Strings borrow from the traffic while a batch is
//! encoded and from the batch while it is decoded, so neither side copies them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::{EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

#[cfg(doc)]
use crate::limits::{
    MAX_METADATA_PATHS, MAX_SESSION_GROUP_BYTES, MAX_SESSION_MINUTES, MAX_TTL_DAYS,
};
use crate::truncated_fields::TruncatedFields;

/// One half of an exchange, without its body: the body's bytes follow the header in the frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// Shared by both halves of an exchange. A `UUIDv7`.
    pub exchange_id: Uuid,
    /// Which half this is.
    #[serde(rename = "type")]
    pub half: Half,
    /// Never empty.
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    /// The path, its template, or a configured name: what queries group entries by. Begins with a slash.
    #[serde(borrow)]
    pub endpoint: Cow<'a, str>,
    /// HTTP method.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Path without the query.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Query without the question mark.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Cow<'a, str>>,
    /// `:authority` or `Host`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Cow<'a, str>>,
    /// Name of the proxy's route.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Cow<'a, str>>,
    /// Status of the response, on both halves. Absent when no response began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Constants and values taken from the traffic, as the route's configuration says.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Metadata that the collector takes from the body, by name: JSON paths. For a body in an encoding that the producer
    /// cannot undo, and in which nothing is to be redacted. At most [`MAX_METADATA_PATHS`].
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata_paths: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// How the collector assigns a session, the same on both halves. Absent: no session.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionRule<'a>>,
    /// Restricts [`SessionRule::TimeoutMinutes`] to exchanges of the same user and group. At most
    /// [`MAX_SESSION_GROUP_BYTES`]. Absent: to those without a group.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub session_group: Option<Cow<'a, str>>,
    /// Days until the entry expires, counted from `started_at`. At most [`MAX_TTL_DAYS`].
    /// Absent: kept until deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_days: Option<NonZeroU32>,
    /// Days until the body expires, if it goes before the rest of the entry. At most `ttl_days`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_ttl_days: Option<NonZeroU32>,
    /// How the collector stores the body.
    #[serde(default, skip_serializing_if = "is_default")]
    pub compress: StorageCompression,
    /// When the exchange's request began.
    pub started_at: u64,
    /// When the first byte of this half was seen: its headers.
    pub first_byte_at: u64,
    /// When the last byte of this half was seen.
    pub ended_at: u64,
    /// Size of the whole body in bytes as it was sent, which may be more than was captured.
    pub body_size: u64,
    /// XXH3-128 of the whole body as it was sent, 32 hex digits. Absent when the body was not read,
    /// and when something was redacted: a hash lets short secrets be guessed.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub body_xxh3: Option<Cow<'a, str>>,
    /// `content-type` as sent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Cow<'a, str>>,
    /// `content-encoding` as sent. The body's bytes are still in that encoding, unless
    /// [`Self::body_decoded`] says otherwise.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<Cow<'a, str>>,
    /// The producer decoded the body to redact it: its bytes are no longer in the content encoding.
    #[serde(default, skip_serializing_if = "is_default")]
    pub body_decoded: bool,
    /// The body exceeded the route's limit: only its beginning was captured.
    #[serde(default, skip_serializing_if = "is_default")]
    pub truncated: bool,
    /// Why the frame has no body although one was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_missing: Option<BodyMissing>,
    /// Replaced values of this half by redaction rule: counts, never values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redactions: BTreeMap<Cow<'a, str>, u32>,
    /// Headers of this half that the configuration names, in order, duplicates kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderField<'a>>,
    /// Trailers of this half: those that the configuration names, and `grpc-status`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trailers: Vec<HeaderField<'a>>,
    /// How the exchange ended.
    pub completion: Completion,
    /// Envoy's response flags, as bits. Absent when none is set.
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_flags: u64,
    /// Envoy's reason for the response. Absent when it came from the upstream in the usual way.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub response_details: Option<Cow<'a, str>>,
    /// Address of the upstream host that was called.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub upstream_host: Option<Cow<'a, str>>,
    /// The workload that the proxy stands beside, or the proxy's own name.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Cow<'a, str>>,
    /// `x-request-id`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Cow<'a, str>>,
    /// W3C `traceparent`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Cow<'a, str>>,
    /// Fields that hold only the beginning of what was sent, because it was over a bound. For the body there is
    /// [`Self::truncated`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub truncated_fields: TruncatedFields,
}

impl<'a> Record<'a> {
    /// A record with the mandatory fields: a complete exchange at one moment, without a body.
    #[must_use]
    pub fn new(
        exchange_id: Uuid,
        half: Half,
        user_id: impl Into<Cow<'a, str>>,
        path: impl Into<Cow<'a, str>>,
        at: u64,
    ) -> Self {
        let path = path.into();
        Self {
            exchange_id,
            half,
            user_id: user_id.into(),
            endpoint: path.clone(),
            method: Cow::Borrowed("POST"),
            path,
            query: None,
            host: None,
            route: None,
            status: None,
            metadata: Map::new(),
            metadata_paths: BTreeMap::new(),
            session: None,
            session_group: None,
            ttl_days: None,
            body_ttl_days: None,
            compress: StorageCompression::Auto,
            started_at: at,
            first_byte_at: at,
            ended_at: at,
            body_size: 0,
            body_xxh3: None,
            content_type: None,
            content_encoding: None,
            body_decoded: false,
            truncated: false,
            body_missing: None,
            redactions: BTreeMap::new(),
            headers: Vec::new(),
            trailers: Vec::new(),
            completion: Completion::Complete,
            response_flags: 0,
            response_details: None,
            upstream_host: None,
            workload: None,
            request_id: None,
            traceparent: None,
            truncated_fields: TruncatedFields::default(),
        }
    }
}

/// A header's name, in lower case, and value.
pub type HeaderField<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Why a record lacks the body that was sent.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BodyMissing {
    /// The producer's buffer was nearly full.
    Dropped,
    /// The configuration excludes bodies of its type, or the stream was upgraded.
    NotCaptured,
    /// It was to be redacted, but its encoding cannot be searched.
    Unreadable,
}

/// Which half of an exchange a record is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Half {
    /// What the client sent.
    Request,
    /// What the client was answered.
    Response,
}

/// How the collector assigns an exchange to a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionRule<'a> {
    /// By the client's own id: all of the user's exchanges with this id share a session.
    Id(#[serde(borrow)] Cow<'a, str>),
    /// By time: the exchange joins the user's latest session if that was active within the timeout, at
    /// most [`MAX_SESSION_MINUTES`].
    TimeoutMinutes(NonZeroU32),
}

/// Whether the collector stores a body compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageCompression {
    /// The collector decides by size and content type.
    #[default]
    Auto,
    /// Whatever its size and type.
    Always,
    /// As it was sent.
    Never,
}

/// How an exchange ended.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    IntoStaticStr,
    EnumString,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Completion {
    /// Both halves ended.
    Complete,
    /// The client disconnected before the response ended.
    ClientAborted,
    /// The upstream broke the connection or reset the stream.
    UpstreamReset,
    /// The proxy itself responded.
    LocalReply,
    /// A timeout of the proxy ended it.
    Timeout,
}

/// A report of records or bodies that a producer lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Why they were lost.
    pub reason: GapReason,
    /// Lost records; a record that only lost its body is not counted.
    pub records: u64,
    /// Lost bytes of bodies.
    pub bytes: u64,
    /// When the first loss occurred.
    pub from: u64,
    /// When the last loss occurred.
    pub to: u64,
}

/// Why a producer lost records.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    IntoStaticStr,
    EnumString,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum GapReason {
    /// The buffer was full, so the record was dropped.
    BufferFull,
    /// The buffer was nearly full, so the record was sent without its body.
    BodyDropped,
    /// The record alone is larger than a batch may be.
    RecordTooLarge,
    /// The collector rejected the batch as malformed or too large.
    BatchRefused,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

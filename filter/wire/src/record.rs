//! The JSON headers of a batch's frames.
//!
//! Times are microseconds since the Unix epoch, UTC. Strings borrow from the traffic while a batch is
//! written and from the batch while it is read, so neither side copies them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Longest life of an entry. Each day of expiry is a partition of the store, so that ten years are
/// plenty; what shall live longer has no TTL.
pub const MAX_TTL_DAYS: u32 = 3650;
/// Longest silence that can be said to end a session: a year.
pub const MAX_SESSION_MINUTES: u32 = 525_600;
/// Longest name of a group of sessions.
pub const MAX_SESSION_GROUP_BYTES: usize = 256;

/// One half of an exchange, without its body: the body's bytes follow the header in the frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// Shared by both halves of an exchange. A `UUIDv7`.
    pub exchange_id: Uuid,
    /// Which half this is.
    #[serde(rename = "type")]
    pub half: Half,
    /// Whose data this is. Never empty.
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    /// What the entry is filed under. Begins with a slash.
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
    /// Status of the response, also on the request's half. Absent when no response began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Constants and values taken from the traffic, as the route's configuration says.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// How the exchange finds its session, the same on both halves. Absent: it belongs to none.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionRule<'a>>,
    /// Among which of the user's exchanges it finds its session by time: those of the same text. At most
    /// [`MAX_SESSION_GROUP_BYTES`]. Absent: among all that have none.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub session_group: Option<Cow<'a, str>>,
    /// Days until the entry expires, counted from `started_at`. At most [`MAX_TTL_DAYS`].
    /// Absent: kept until deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_days: Option<NonZeroU32>,
    /// Days until the body expires, if it goes before the rest of the entry. At most `ttl_days`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_ttl_days: Option<NonZeroU32>,
    /// Whether the body is stored compressed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub compress: KeepCompressed,
    /// When the exchange's request began.
    pub started_at: u64,
    /// When the first byte of this half was seen: its headers.
    pub first_byte_at: u64,
    /// When the last byte of this half was seen.
    pub ended_at: u64,
    /// Size of the whole body in bytes as it was sent, which may be more than was kept.
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
    /// The producer undid the content encoding, so as to redact: the body's bytes are plain.
    #[serde(default, skip_serializing_if = "is_default")]
    pub body_decoded: bool,
    /// The body was longer than the route's cap: only its beginning was kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub truncated: bool,
    /// Why no byte of the body follows although it had some. Absent: what was to be kept, follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_missing: Option<BodyMissing>,
    /// How many values each redaction rule replaced in this half, by the rule's name. Never values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redactions: BTreeMap<Cow<'a, str>, u32>,
    /// Headers of this half that the configuration names, in order, duplicates kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Pair<'a>>,
    /// Trailers of this half: those that the configuration names, and `grpc-status`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trailers: Vec<Pair<'a>>,
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
}

impl<'a> Record<'a> {
    /// A record with what every record has: no body, a single moment, complete. The rest is for the
    /// producer to add.
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
            session: None,
            session_group: None,
            ttl_days: None,
            body_ttl_days: None,
            compress: KeepCompressed::Auto,
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
        }
    }
}

/// A header's name, in lower case, and value.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Why a body that was sent is not in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyMissing {
    /// The producer's buffer was nearly full.
    Dropped,
    /// The configuration does not want bodies of its type, or the stream was upgraded.
    NotCaptured,
    /// It was to be redacted, but is in an encoding that cannot be searched.
    Unreadable,
}

impl BodyMissing {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Dropped, Self::NotCaptured, Self::Unreadable];

    /// The name used in JSON and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::NotCaptured => "not_captured",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Which half of an exchange a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// What the client sent.
    Request,
    /// What the client was answered.
    Response,
}

impl Half {
    /// The name used in JSON and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// How the collector finds the session that an exchange belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionRule<'a> {
    /// The client named it: all of the user's exchanges with this text share a session.
    Id(#[serde(borrow)] Cow<'a, str>),
    /// Found by time: joins the user's latest session if that was active within so many minutes, at
    /// most [`MAX_SESSION_MINUTES`].
    TimeoutMinutes(NonZeroU32),
}

/// Whether a body is stored compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepCompressed {
    /// The collector decides by size and content type.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// Both halves were seen to their end.
    Complete,
    /// The client left before the response was whole.
    ClientAborted,
    /// The upstream broke off.
    UpstreamReset,
    /// The proxy itself answered.
    LocalReply,
    /// A time limit of the proxy ended it.
    Timeout,
}

impl Completion {
    /// Every way an exchange can end.
    pub const ALL: [Self; 5] = [
        Self::Complete,
        Self::ClientAborted,
        Self::UpstreamReset,
        Self::LocalReply,
        Self::Timeout,
    ];

    /// The name used in JSON and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientAborted => "client_aborted",
            Self::UpstreamReset => "upstream_reset",
            Self::LocalReply => "local_reply",
            Self::Timeout => "timeout",
        }
    }
}

/// An account of records or bodies that a producer lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Why they were lost.
    pub reason: GapReason,
    /// How many records; bodies lost from records that arrived count nothing here.
    pub records: u64,
    /// How many bytes of bodies.
    pub bytes: u64,
    /// When the first of them was lost.
    pub from: u64,
    /// When the last of them was lost.
    pub to: u64,
}

/// Why a producer lost records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The buffer was full, so the record was not kept.
    BufferFull,
    /// The buffer was nearly full, so the record was kept without its body.
    BodyDropped,
    /// The record alone is larger than a batch may be.
    RecordTooLarge,
    /// The collector refused the batch as malformed or too large.
    BatchRefused,
}

impl GapReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::BufferFull,
        Self::BodyDropped,
        Self::RecordTooLarge,
        Self::BatchRefused,
    ];

    /// The name used in JSON, in metrics and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::BodyDropped => "body_dropped",
            Self::RecordTooLarge => "record_too_large",
            Self::BatchRefused => "batch_refused",
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

//! Entries, the halves of exchanges: as they are stored and as they are read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use strum::VariantArray;

use dossier_wire::{BodyMissing, Completion, Gap, Half, HeaderField, TruncatedFields};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::ids::{BatchId, EntryId, ExchangeId, SessionId, UserId};
use super::session::SessionRequest;
use dossier_body::Codec;

/// When data expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expiry {
    /// At this instant, from which reads do not see it.
    At(OffsetDateTime),
    /// It stays until it is deleted.
    Never,
}

/// Whether an entry has a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyState {
    /// It is stored, whole or truncated.
    Stored,
    /// It has no bytes.
    Empty,
    /// The producer did not send it.
    Missing(BodyMissing),
}

impl BodyState {
    /// Every state.
    pub fn all() -> impl Iterator<Item = Self> {
        let missing = BodyMissing::VARIANTS.iter().copied().map(Self::Missing);
        [Self::Stored, Self::Empty].into_iter().chain(missing)
    }

    /// The name used in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Empty => "empty",
            Self::Missing(reason) => reason.into(),
        }
    }
}

/// What the proxy reports about a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyInfo<'a> {
    /// Envoy's response flags, as bits.
    pub flags: i64,
    /// Envoy's response code details, unless the response came from the upstream as usual.
    pub details: Option<Cow<'a, str>>,
    /// Address of the upstream host that was called.
    pub upstream_host: Option<Cow<'a, str>>,
    /// The workload that the proxy serves.
    pub workload: Option<Cow<'a, str>>,
}

/// Headers and trailers of one half, in order, duplicates included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    /// Headers.
    pub leading: Vec<HeaderField<'a>>,
    /// Trailers.
    pub trailing: Vec<HeaderField<'a>>,
}

/// The body of an entry to be stored.
#[derive(Debug)]
pub enum NewBody<'a> {
    /// To be stored.
    Stored(PackedBody<'a>),
    /// It has no bytes.
    Empty,
    /// The producer did not send it.
    Missing(BodyMissing),
}

/// A body encoded for the store.
#[derive(Debug)]
pub struct PackedBody<'a> {
    /// How its bytes are encoded.
    pub codec: Codec,
    /// Its bytes, encoded.
    pub data: Cow<'a, [u8]>,
    /// SHA-256 of its bytes as received.
    pub sha256: [u8; 32],
    /// When it expires, if before its entry.
    pub expires_early: Option<OffsetDateTime>,
}

impl Expiry {
    /// Whether nothing of the data can be read at this instant.
    #[must_use]
    pub fn has_passed(self, now: OffsetDateTime) -> bool {
        match self {
            Self::At(at) => at <= now,
            Self::Never => false,
        }
    }
}

impl NewBody<'_> {
    /// The state to record for the entry.
    #[must_use]
    pub const fn state(&self) -> BodyState {
        match self {
            Self::Stored(_) => BodyState::Stored,
            Self::Empty => BodyState::Empty,
            Self::Missing(reason) => BodyState::Missing(*reason),
        }
    }

    /// The bytes to store, if any.
    #[must_use]
    pub const fn stored(&self) -> Option<&PackedBody<'_>> {
        match self {
            Self::Stored(packed) => Some(packed),
            Self::Empty | Self::Missing(_) => None,
        }
    }
}

impl PackedBody<'_> {
    /// When it expires, given the expiry of its entry.
    #[must_use]
    pub fn expires(&self, entry: Expiry) -> Expiry {
        self.expires_early.map_or(entry, Expiry::At)
    }
}

/// An entry to be stored. Borrows from its batch.
#[derive(Debug)]
pub struct NewEntry<'a> {
    /// Of its record in the batch, from 0.
    pub position: usize,
    /// Its owner.
    pub user: UserId,
    /// Shared with the other half.
    pub exchange: ExchangeId,
    /// Which half.
    pub half: Half,
    /// Normalised.
    pub endpoint: Cow<'a, str>,
    /// HTTP method.
    pub method: Cow<'a, str>,
    /// Path without query.
    pub path: Cow<'a, str>,
    /// Query string without the question mark.
    pub query: Option<Cow<'a, str>>,
    /// Authority.
    pub host: Option<Cow<'a, str>>,
    /// Route name.
    pub route: Option<Cow<'a, str>>,
    /// Status of the response.
    pub status: Option<i16>,
    /// As configured.
    pub metadata: Map<String, Value>,
    /// How its session is found; `None`: it has no session.
    pub session: Option<SessionRequest>,
    /// When it expires.
    pub expires: Expiry,
    /// When this half began.
    pub created_at: OffsetDateTime,
    /// When the exchange began.
    pub started_at: OffsetDateTime,
    /// When this half ended.
    pub ended_at: OffsetDateTime,
    /// True size of the body in bytes.
    pub body_size: i64,
    /// The body itself.
    pub body: NewBody<'a>,
    /// XXH3-128 of the whole body.
    pub body_xxh3: Option<[u8; 16]>,
    /// `content-type`.
    pub content_type: Option<Cow<'a, str>>,
    /// `content-encoding` as sent.
    pub content_encoding: Option<Cow<'a, str>>,
    /// The producer decoded the body: its bytes are not in `content_encoding` any more.
    pub decoded: bool,
    /// How many values each redaction rule replaced, by the rule's name.
    pub redactions: BTreeMap<Cow<'a, str>, u32>,
    /// As configured.
    pub headers: Headers<'a>,
    /// Only the beginning was recorded.
    pub truncated: bool,
    /// How the exchange ended.
    pub completion: Completion,
    /// What the proxy reports.
    pub proxy: ProxyInfo<'a>,
    /// `x-request-id`.
    pub request_id: Option<Cow<'a, str>>,
    /// `traceparent`.
    pub traceparent: Option<Cow<'a, str>>,
    /// Fields of which only the beginning was recorded.
    pub truncated_fields: TruncatedFields,
}

/// A loss that the producer reports.
#[derive(Debug, Clone)]
pub struct NewGap {
    /// Of its frame in the batch, from 0.
    pub position: usize,
    /// What was lost.
    pub gap: Gap,
}

/// A record that cannot be stored, kept apart for inspection.
#[derive(Debug)]
pub struct RejectedRecord<'a> {
    /// Its position in the batch, from 0.
    pub position: usize,
    /// Why it was rejected. Contains no value from the traffic.
    pub reason: String,
    /// Its header, as received.
    pub header: &'a [u8],
    /// Its body, as received.
    pub body: &'a [u8],
}

/// A batch to be stored.
#[derive(Debug)]
pub struct NewBatch<'a> {
    /// Chosen by the producer; a batch is stored at most once.
    pub id: BatchId,
    /// Its valid records.
    pub entries: Vec<NewEntry<'a>>,
    /// Losses that the producer reports.
    pub gaps: Vec<NewGap>,
    /// Its records that cannot be stored.
    pub rejected: Vec<RejectedRecord<'a>>,
}

/// An entry as read from the store.
#[derive(Debug)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// Its owner.
    pub user: UserId,
    /// Shared with the other half.
    pub exchange: ExchangeId,
    /// Its session, if it has one.
    pub session: Option<SessionId>,
    /// Which half.
    pub half: Half,
    /// Normalised.
    pub endpoint: String,
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query string without the question mark.
    pub query: Option<String>,
    /// Authority.
    pub host: Option<String>,
    /// Route name.
    pub route: Option<String>,
    /// `x-request-id`.
    pub request_id: Option<String>,
    /// `traceparent`.
    pub traceparent: Option<String>,
    /// Status of the response.
    pub status: Option<i16>,
    /// As configured.
    pub metadata: Map<String, Value>,
    /// When this half began.
    pub created_at: OffsetDateTime,
    /// When the exchange began.
    pub started_at: OffsetDateTime,
    /// When this half ended.
    pub ended_at: OffsetDateTime,
    /// When it expires.
    pub expires: Expiry,
    /// True size of the body in bytes.
    pub body_size: i64,
    /// Bytes of the body in the store.
    pub stored_size: i32,
    /// Whether it has a body.
    pub body_state: BodyState,
    /// `content-type`.
    pub content_type: Option<String>,
    /// `content-encoding` as sent.
    pub content_encoding: Option<String>,
    /// The producer decoded the body: its bytes are not in `content_encoding` any more.
    pub decoded: bool,
    /// SHA-256 of the body's bytes as received, if any were stored.
    pub sha256: Option<[u8; 32]>,
    /// Only the beginning was recorded.
    pub truncated: bool,
    /// Fields of which only the beginning was recorded.
    pub truncated_fields: TruncatedFields,
    /// How many values each redaction rule replaced, by the rule's name.
    pub redactions: BTreeMap<String, u32>,
    /// How the exchange ended.
    pub completion: Completion,
    /// What the proxy reports.
    pub proxy: ProxyInfo<'static>,
    /// Headers and trailers, if requested.
    pub headers: Option<Headers<'static>>,
    /// The body, if requested, stored, and within the page's limit.
    pub body: Option<StoredBody>,
    /// The body was not read, because those before it used up the page's limit.
    pub body_left_out: bool,
}

/// A body as read from the store.
#[derive(Debug)]
pub struct StoredBody {
    /// How its bytes are encoded.
    pub codec: Codec,
    /// Its bytes.
    pub data: Vec<u8>,
}

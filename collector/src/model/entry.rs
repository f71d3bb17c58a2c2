//! Entries: halves of exchanges, as they are stored and as they are read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dossier_wire::{BodyMissing, Completion, Gap, Half, HeaderField};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use dossier_body::Codec;
use super::ids::{BatchId, EntryId, ExchangeId, SessionId, UserId};
use super::session::SessionRequest;

/// When something goes: at an instant, or never by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expiry {
    /// At this instant. Reads stop seeing it then.
    At(OffsetDateTime),
    /// Kept until deleted.
    Never,
}

/// What became of an entry's body when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyState {
    /// Kept, as a whole or its beginning.
    Stored,
    /// There was none.
    Empty,
    /// There was one, but the producer did not send it.
    Missing(BodyMissing),
}

impl BodyState {
    /// Every state.
    pub fn all() -> impl Iterator<Item = Self> {
        let missing = BodyMissing::ALL.into_iter().map(Self::Missing);
        [Self::Stored, Self::Empty].into_iter().chain(missing)
    }

    /// The name used in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Empty => "empty",
            Self::Missing(reason) => reason.as_str(),
        }
    }
}

/// The proxy's own account of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account<'a> {
    /// Envoy's response flags, as bits.
    pub flags: i64,
    /// Envoy's reason for the response, when it did not come from the upstream in the usual way.
    pub details: Option<Cow<'a, str>>,
    /// Address of the upstream host that was called.
    pub upstream_host: Option<Cow<'a, str>>,
    /// The workload that the proxy stands beside.
    pub workload: Option<Cow<'a, str>>,
}

/// Headers and trailers of one half, in order, duplicates kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    /// Those before the body.
    pub leading: Vec<HeaderField<'a>>,
    /// Those behind it.
    pub trailing: Vec<HeaderField<'a>>,
}

/// The body of an entry on its way into the store.
#[derive(Debug)]
pub enum NewBody<'a> {
    /// To be kept.
    Stored(PackedBody<'a>),
    /// There was none.
    Empty,
    /// There was one, but the producer did not send it.
    Missing(BodyMissing),
}

/// A body as it will lie in the store.
#[derive(Debug)]
pub struct PackedBody<'a> {
    /// How it is packed.
    pub codec: Codec,
    /// Its bytes, packed.
    pub data: Cow<'a, [u8]>,
    /// SHA-256 of its bytes as they came.
    pub sha256: [u8; 32],
    /// When it goes, if that is before its entry.
    pub expires_early: Option<OffsetDateTime>,
}

impl NewBody<'_> {
    /// What became of it, for the entry.
    #[must_use]
    pub const fn state(&self) -> BodyState {
        match self {
            Self::Stored(_) => BodyState::Stored,
            Self::Empty => BodyState::Empty,
            Self::Missing(reason) => BodyState::Missing(*reason),
        }
    }

    /// What is kept of it, if anything.
    #[must_use]
    pub const fn stored(&self) -> Option<&PackedBody<'_>> {
        match self {
            Self::Stored(packed) => Some(packed),
            Self::Empty | Self::Missing(_) => None,
        }
    }
}

impl PackedBody<'_> {
    /// When it goes, given when its entry does.
    #[must_use]
    pub fn expires(&self, entry: Expiry) -> Expiry {
        self.expires_early.map_or(entry, Expiry::At)
    }
}

/// An entry on its way into the store. Borrows from the batch that brought it.
#[derive(Debug)]
pub struct NewEntry<'a> {
    /// Whose it is.
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
    /// Query without question mark.
    pub query: Option<Cow<'a, str>>,
    /// Authority.
    pub host: Option<Cow<'a, str>>,
    /// Route name.
    pub route: Option<Cow<'a, str>>,
    /// Status of the response.
    pub status: Option<i16>,
    /// As configured.
    pub metadata: Map<String, Value>,
    /// How it finds its session; none if it belongs to none.
    pub session: Option<SessionRequest>,
    /// When it goes.
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
    /// The producer undid the content encoding: the body's bytes are plain.
    pub decoded: bool,
    /// How many values each redaction rule replaced, by the rule's name.
    pub redactions: BTreeMap<Cow<'a, str>, u32>,
    /// As configured.
    pub headers: Headers<'a>,
    /// Only the beginning was kept.
    pub truncated: bool,
    /// How the exchange ended.
    pub completion: Completion,
    /// What the proxy says of it.
    pub account: Account<'a>,
    /// `x-request-id`.
    pub request_id: Option<Cow<'a, str>>,
    /// `traceparent`.
    pub traceparent: Option<Cow<'a, str>>,
}

/// A record that cannot be stored, kept beside those that can.
#[derive(Debug)]
pub struct RejectedRecord<'a> {
    /// Its place in the batch, from 0.
    pub position: usize,
    /// What is wrong with it. Holds no value of the traffic.
    pub reason: String,
    /// Its JSON header, unread.
    pub header: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
}

/// A batch on its way into the store.
#[derive(Debug)]
pub struct NewBatch<'a> {
    /// Named by its producer; stored at most once.
    pub id: BatchId,
    /// Good records.
    pub entries: Vec<NewEntry<'a>>,
    /// What the producer lost.
    pub gaps: Vec<Gap>,
    /// Bad records.
    pub rejected: Vec<RejectedRecord<'a>>,
}

/// An entry as it was read.
#[derive(Debug)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// Whose it is.
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
    /// Status of the response.
    pub status: Option<i16>,
    /// As configured.
    pub metadata: Map<String, Value>,
    /// When this half began.
    pub created_at: OffsetDateTime,
    /// When it goes.
    pub expires: Expiry,
    /// True size of the body in bytes.
    pub body_size: i64,
    /// Bytes of the body in the store.
    pub stored_size: i32,
    /// What became of the body when it came.
    pub body_state: BodyState,
    /// `content-type`.
    pub content_type: Option<String>,
    /// `content-encoding` as sent.
    pub content_encoding: Option<String>,
    /// The producer undid the content encoding: the body's bytes are plain.
    pub decoded: bool,
    /// SHA-256 of the body's bytes as they came, if any were stored.
    pub sha256: Option<[u8; 32]>,
    /// Only the beginning was kept.
    pub truncated: bool,
    /// How many values each redaction rule replaced, by the rule's name.
    pub redactions: BTreeMap<String, u32>,
    /// How the exchange ended.
    pub completion: Completion,
    /// What the proxy says of it.
    pub account: Account<'static>,
    /// Headers and trailers, if they were asked for.
    pub headers: Option<Headers<'static>>,
    /// The body, if it was asked for, is there, and is among the first of its page.
    pub body: Option<StoredBody>,
    /// The body was not read, because those before it on the page are so large.
    pub body_left_out: bool,
}

/// A body as it lies in the store.
#[derive(Debug)]
pub struct StoredBody {
    /// How it is packed.
    pub codec: Codec,
    /// Its bytes.
    pub data: Vec<u8>,
}

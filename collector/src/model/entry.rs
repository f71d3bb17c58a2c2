//! Entries: halves of exchanges, as they are stored and as they are read.

use std::borrow::Cow;

use dossier_wire::{Completion, Gap, Half};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::body::Codec;
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

/// What became of an entry's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyState {
    /// Kept, as a whole or its beginning.
    Stored,
    /// There was none.
    Empty,
    /// The producer gave it up because its buffer was full.
    Dropped,
}

impl BodyState {
    /// The name used in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Empty => "empty",
            Self::Dropped => "dropped",
        }
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
    /// What became of the body.
    pub body_state: BodyState,
    /// How the body is packed.
    pub codec: Codec,
    /// The body as it will lie in the store.
    pub body: Cow<'a, [u8]>,
    /// XXH3-128 of the whole body.
    pub body_xxh3: Option<[u8; 16]>,
    /// `content-type`.
    pub content_type: Option<Cow<'a, str>>,
    /// `content-encoding`.
    pub content_encoding: Option<Cow<'a, str>>,
    /// Only the beginning was kept.
    pub truncated: bool,
    /// How the exchange ended.
    pub completion: Completion,
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
    /// `content-encoding`.
    pub content_encoding: Option<String>,
    /// Only the beginning was kept.
    pub truncated: bool,
    /// How the exchange ended.
    pub completion: Completion,
    /// The body, if it was asked for and is there.
    pub body: Option<StoredBody>,
}

/// A body as it lies in the store.
#[derive(Debug)]
pub struct StoredBody {
    /// How it is packed.
    pub codec: Codec,
    /// Its bytes.
    pub data: Vec<u8>,
}

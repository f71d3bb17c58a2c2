//! What the keys of a route, a rule and the defaults amount to: all that an exchange needs to know.

use std::num::NonZeroU32;

use dossier_wire::{Half, StorageCompression};
use serde_json::{Map, Value};

use super::media::MediaRange;
use super::session::GroupPart;
use super::source::{Extraction, SessionSource};
use super::when::When;
use crate::redact::Redaction;
use crate::sample::Sample;

/// What an exchange is recorded with.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Which halves are recorded.
    pub storage: Storage,
    /// Days until the entry expires; none: kept until deleted.
    pub ttl_days: Option<NonZeroU32>,
    /// Days until the body expires; none: with its entry.
    pub body_ttl_days: Option<NonZeroU32>,
    /// Minutes of silence that end a session; none: only a session that the client names.
    pub session_timeout_minutes: Option<NonZeroU32>,
    /// Where the client may name the session.
    pub(crate) session: Option<SessionSource>,
    /// What divides a user's sessions that are found by time.
    pub(crate) session_by: Vec<GroupPart>,
    /// Whether the collector stores the body compressed.
    pub compress: StorageCompression,
    /// Constants that every entry carries.
    pub metadata: Map<String, Value>,
    /// What is taken from the traffic.
    pub(crate) extracted: Halves<Extraction>,
    /// Headers that are recorded.
    pub(crate) headers: Halves<Vec<String>>,
    /// Types of the bodies that are kept; none: all.
    pub(crate) content_types: Option<Vec<MediaRange>>,
    /// Most bytes of a body that are kept, for each half.
    pub max_body_bytes: usize,
    /// What the entry is filed under; none: its path.
    pub endpoint: Option<String>,
    /// Which share of the exchanges is recorded.
    pub(crate) sample: Sample,
    /// What an exchange must have been like to be kept.
    pub(crate) when: When,
    /// What is taken out before anything is kept.
    pub(crate) redaction: Option<Redaction>,
    /// Only that there was an exchange is recorded: no body, no header, no query, nothing else of
    /// what the traffic said.
    pub bare: bool,
}

/// One for the request, one for the response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Halves<T> {
    pub(crate) request: T,
    pub(crate) response: T,
}

impl<T> Halves<T> {
    pub(crate) const fn of(&self, half: Half) -> &T {
        match half {
            Half::Request => &self.request,
            Half::Response => &self.response,
        }
    }
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
    /// Whether a half is recorded.
    #[must_use]
    pub const fn has(self, half: Half) -> bool {
        match half {
            Half::Request => matches!(self, Self::Request | Self::Both),
            Half::Response => matches!(self, Self::Response | Self::Both),
        }
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

impl Plan {
    /// What is left of the plan where a route's own keys cannot be read. They may have been meant to
    /// keep something out of the record, so nothing that the traffic says is kept. The path is, so
    /// what the plan takes out of it still goes.
    pub(super) fn to_bare(&self) -> Self {
        Self {
            session: None,
            session_by: Vec::new(),
            extracted: Halves::default(),
            headers: Halves::default(),
            content_types: Some(Vec::new()),
            bare: true,
            ..self.clone()
        }
    }

    /// Whether each exchange of the plan is recorded, if its end does not rule it out.
    pub(super) fn records_all(&self) -> bool {
        self.storage != Storage::None && self.sample.is_all()
    }

    /// Whether a half's body of this type is read: to be kept, or because something is taken from
    /// it.
    pub(crate) fn reads_body(&self, half: Half, content_type: Option<&str>) -> bool {
        let is_used = self.storage.has(half) || self.extracted.of(half).needs_body();
        let wants =
            |ranges: &Vec<MediaRange>| ranges.iter().any(|range| range.contains(content_type));
        is_used && self.content_types.as_ref().is_none_or(wants)
    }
}

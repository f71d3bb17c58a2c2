//! The result of merging the capture keys of a route, a rule and the defaults.

use std::num::NonZeroU32;

use dossier_wire::{Half, StorageCompression};
use serde_json::{Map, Value};

use super::end_conditions::EndConditions;
use super::media_range::MediaRange;
use super::per_half::PerHalf;
use super::session::SessionGroupPart;
use super::source::{Extraction, SessionSource};
use crate::redact::Redaction;
use crate::sampling::SampleRate;

/// How an exchange is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct CapturePlan {
    /// Which halves are recorded.
    pub storage: StorageType,
    /// Until the entry expires; none: kept until deleted.
    pub ttl_days: Option<NonZeroU32>,
    /// Until the body expires; none: with its entry.
    pub body_ttl_days: Option<NonZeroU32>,
    /// Inactivity that ends a session; none: no sessions by time.
    pub session_timeout_minutes: Option<NonZeroU32>,
    /// Where clients send a session id.
    pub(crate) session: Option<SessionSource>,
    /// Divides a user's sessions that are found by time.
    pub(crate) session_by: Vec<SessionGroupPart>,
    /// How the collector stores bodies.
    pub compress: StorageCompression,
    /// Constants of every entry.
    pub metadata: Map<String, Value>,
    /// Values extracted from the traffic.
    pub(crate) extracted: PerHalf<Extraction>,
    /// Names of recorded headers.
    pub(crate) headers: PerHalf<Vec<String>>,
    /// Types of captured bodies; none: all.
    pub(crate) content_types: Option<Vec<MediaRange>>,
    /// Longest captured body of each half.
    pub max_body_bytes: usize,
    /// None: the normalized path.
    pub endpoint: Option<String>,
    /// The recorded ratio of exchanges.
    pub(crate) sample: SampleRate,
    /// Conditions at the end of the exchange.
    pub(crate) when: EndConditions,
    /// None: nothing is redacted.
    pub(crate) redaction: Option<Redaction>,
    /// Records neither bodies, headers, query nor extracted values.
    pub minimal: bool,
}

/// Which halves of an exchange are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StorageType {
    /// Neither half.
    #[default]
    None,
    /// The client's half.
    Request,
    /// The upstream's half.
    Response,
    /// The whole exchange.
    Both,
}

impl StorageType {
    /// Whether the half is recorded.
    #[must_use]
    pub const fn includes(self, half: Half) -> bool {
        match half {
            Half::Request => matches!(self, Self::Request | Self::Both),
            Half::Response => matches!(self, Self::Response | Self::Both),
        }
    }

    /// Records for each exchange.
    #[must_use]
    pub const fn record_count(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Request | Self::Response => 1,
            Self::Both => 2,
        }
    }
}

impl CapturePlan {
    /// The plan of an exchange whose route has invalid keys. These may have been meant to redact
    /// something, so only the minimum is recorded; the plan's redactions still apply to the path.
    pub(super) fn to_minimal(&self) -> Self {
        Self {
            session: None,
            session_by: Vec::new(),
            extracted: PerHalf::default(),
            headers: PerHalf::default(),
            content_types: Some(Vec::new()),
            minimal: true,
            ..self.clone()
        }
    }

    /// Whether every exchange is recorded, unless its end conditions exclude it.
    pub(super) fn records_everything(&self) -> bool {
        self.storage != StorageType::None && self.sample.is_all()
    }

    /// Whether a body of this type is read, to be recorded or to extract values.
    pub(crate) fn reads_body(&self, half: Half, content_type: Option<&str>) -> bool {
        let is_used = self.storage.includes(half) || self.extracted.get(half).needs_body();
        let wants =
            |ranges: &Vec<MediaRange>| ranges.iter().any(|range| range.contains(content_type));
        is_used && self.content_types.as_ref().is_none_or(wants)
    }
}

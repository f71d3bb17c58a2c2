//! The formats in which a batch may be sent.

use axum::http::HeaderValue;
use dossier_content::media_type::MediaType;
use dossier_wire::frame::{MAGIC, MAX_BATCH_BYTES};

use super::ndjson;

/// The format of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BatchFormat {
    /// That of `dossier_wire`, which the filter sends.
    Wire,
    /// Newline-delimited JSON.
    Ndjson,
}

impl BatchFormat {
    /// Longest batch of any format, decompressed.
    pub(super) const MAX_BYTES: usize = MAX_BATCH_BYTES;

    /// Longest batch of this format, decompressed. Bodies in NDJSON have to be decoded, which takes memory
    /// in addition.
    pub(super) const fn max_bytes(self) -> usize {
        match self {
            Self::Wire => MAX_BATCH_BYTES,
            Self::Ndjson => MAX_BATCH_BYTES / 2,
        }
    }

    pub(super) fn from_content_type(content_type: Option<&HeaderValue>) -> Option<Self> {
        let media_type = MediaType::parse(content_type?.to_str().ok());
        match media_type.essence().as_str() {
            dossier_wire::CONTENT_TYPE => Some(Self::Wire),
            ndjson::CONTENT_TYPE => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// The format of a batch that was parsed before: NDJSON never begins like the wire format.
    pub(super) fn detect(bytes: &[u8]) -> Self {
        if bytes.starts_with(&MAGIC) {
            Self::Wire
        } else {
            Self::Ndjson
        }
    }
}

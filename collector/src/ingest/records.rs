//! The records of a batch, in whichever form it was sent.

use axum::http::HeaderValue;
use dossier_wire::frame::{MAGIC, MAX_BATCH_BYTES};
use dossier_wire::{Batch, FrameContent};

use super::ndjson::{self, Lines};
use crate::http::error::ApiError;
use crate::limits::admission::MemoryReservation;

/// In which form a batch is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As Dossier's filter sends it.
    Wire,
    /// As lines of JSON.
    Lines,
}

/// The records of one batch.
#[derive(Debug)]
pub(super) enum Records<'a> {
    Wire(Batch<'a>),
    Lines(Lines<'a>),
}

/// One record as it was sent.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// Its place in the batch, from 0.
    pub position: usize,
    /// Its header, unread; of lines the line.
    pub header: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
    /// What it says, or what is wrong with it. That holds no value of the traffic.
    pub item: Result<FrameContent<'a>, String>,
}

impl Form {
    /// Most bytes of any batch, inflated.
    pub(super) const MOST_BYTES: usize = MAX_BATCH_BYTES;

    /// Most bytes of a batch of this form, inflated. Bodies in lines have to be decoded, and take room
    /// beside them.
    pub(super) const fn most_bytes(self) -> usize {
        match self {
            Self::Wire => MAX_BATCH_BYTES,
            Self::Lines => MAX_BATCH_BYTES / 2,
        }
    }

    /// The form that a `content-type` names.
    pub(super) fn named(content_type: Option<&HeaderValue>) -> Option<Self> {
        let text = content_type?.to_str().ok()?;
        let name = text.split(';').next().unwrap_or_default().trim();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is(dossier_wire::CONTENT_TYPE) {
            Some(Self::Wire)
        } else if is(ndjson::CONTENT_TYPE) {
            Some(Self::Lines)
        } else {
            None
        }
    }

    /// The form of a batch that was found sound before: lines never begin like the other one.
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(&MAGIC) {
            Self::Wire
        } else {
            Self::Lines
        }
    }
}

impl<'a> Records<'a> {
    /// Finds the records. The room is for what must be held beside the bytes.
    ///
    /// # Errors
    /// [`ApiError::InvalidBatch`], [`ApiError::InvalidNdjson`] or [`ApiError::TooManyInFlight`].
    pub(super) fn find(
        form: Form,
        bytes: &'a [u8],
        room: MemoryReservation,
    ) -> Result<Self, ApiError> {
        match form {
            Form::Wire => Batch::parse(bytes)
                .map(Self::Wire)
                .map_err(ApiError::InvalidBatch),
            Form::Lines => Lines::parse(bytes, room).map(Self::Lines),
        }
    }

    /// Each of them, read when its turn comes.
    pub(super) fn each(&self) -> Box<dyn Iterator<Item = Candidate<'_>> + '_> {
        match self {
            Self::Wire(batch) => Box::new(batch.frames().iter().enumerate().map(
                |(position, frame)| Candidate {
                    position,
                    header: frame.header,
                    body: frame.body,
                    item: frame.decode().map_err(|error| error.to_string()),
                },
            )),
            Self::Lines(lines) => Box::new(lines.candidates()),
        }
    }
}

//! A batch split into its records, whatever its format.

use dossier_wire::Batch;

use super::format::BatchFormat;
use super::ndjson::NdjsonBatch;
use super::raw_record::RawRecord;
use crate::http::error::ApiError;
use crate::limits::admission::MemoryReservation;

/// A well-formed batch; single records may still be malformed.
#[derive(Debug)]
pub(super) enum ParsedBatch<'a> {
    Wire(Batch<'a>),
    Ndjson(NdjsonBatch<'a>),
}

impl<'a> ParsedBatch<'a> {
    /// The reservation is for what must be held besides the bytes.
    ///
    /// # Errors
    /// [`ApiError::InvalidBatch`], [`ApiError::InvalidNdjson`] or [`ApiError::TooManyInFlight`].
    pub(super) fn parse(
        format: BatchFormat,
        bytes: &'a [u8],
        reservation: MemoryReservation,
    ) -> Result<Self, ApiError> {
        match format {
            BatchFormat::Wire => Batch::parse(bytes)
                .map(Self::Wire)
                .map_err(ApiError::InvalidBatch),
            BatchFormat::Ndjson => NdjsonBatch::parse(bytes, reservation).map(Self::Ndjson),
        }
    }

    /// The records, each parsed when the iterator reaches it.
    pub(super) fn records(&self) -> Box<dyn Iterator<Item = RawRecord<'_>> + '_> {
        match self {
            Self::Wire(batch) => Box::new(batch.frames().iter().enumerate().map(
                |(position, frame)| RawRecord {
                    position,
                    header: frame.header,
                    body: frame.body,
                    content: frame.decode().map_err(|error| error.to_string()),
                },
            )),
            Self::Ndjson(lines) => Box::new(lines.records()),
        }
    }
}

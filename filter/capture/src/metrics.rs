//! The metrics of the filter, as they appear in Envoy's statistics.

/// The counters of the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Records added to a batch.
    RecordsCaptured,
    /// Records lost because the buffer was full.
    RecordsDroppedBufferFull,
    /// Records lost because one alone exceeds the limits of a batch.
    RecordsDroppedTooLarge,
    /// Records lost because the collector rejected their batch.
    RecordsDroppedBatchRefused,
    /// Bodies dropped because the buffer was nearly full.
    BodiesDropped,
    /// Bodies longer than the configured limit.
    BodiesTruncated,
    /// Values that redaction replaced.
    ValuesRedacted,
    /// Exchanges of users whose id cannot be taken.
    UsersInvalid,
    /// Batches that the collector acknowledged.
    BatchesSent,
    /// Batches that the collector rejected.
    BatchesFailed,
    /// Calls that failed and will be repeated.
    BatchesRetried,
    /// Bytes of sealed batches before compression.
    BytesRaw,
    /// Bytes of sealed batches after compression.
    BytesSent,
}

impl Counter {
    /// In the order of their discriminants.
    pub const ALL: [Self; 13] = [
        Self::RecordsCaptured,
        Self::RecordsDroppedBufferFull,
        Self::RecordsDroppedTooLarge,
        Self::RecordsDroppedBatchRefused,
        Self::BodiesDropped,
        Self::BodiesTruncated,
        Self::ValuesRedacted,
        Self::UsersInvalid,
        Self::BatchesSent,
        Self::BatchesFailed,
        Self::BatchesRetried,
        Self::BytesRaw,
        Self::BytesSent,
    ];

    /// The name of the metric in Envoy's statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RecordsCaptured => "dossier.records_captured",
            Self::RecordsDroppedBufferFull => "dossier.records_dropped.buffer_full",
            Self::RecordsDroppedTooLarge => "dossier.records_dropped.record_too_large",
            Self::RecordsDroppedBatchRefused => "dossier.records_dropped.batch_refused",
            Self::BodiesDropped => "dossier.bodies_dropped",
            Self::BodiesTruncated => "dossier.bodies_truncated",
            Self::ValuesRedacted => "dossier.values_redacted",
            Self::UsersInvalid => "dossier.users_invalid",
            Self::BatchesSent => "dossier.batches_sent",
            Self::BatchesFailed => "dossier.batches_failed",
            Self::BatchesRetried => "dossier.batches_retried",
            Self::BytesRaw => "dossier.bytes_raw",
            Self::BytesSent => "dossier.bytes_sent",
        }
    }
}

/// The name of the gauge of used bytes.
pub const OUTBOX_BYTES: &str = "dossier.outbox_bytes";

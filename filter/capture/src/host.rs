//! The interface to the proxy. Nothing here may panic or return an error, because a failure of the filter
//! must never become a failure of the traffic.

use std::time::Duration;

use dossier_wire::Half;

use crate::headers::Headers;

/// Services of the proxy that are not tied to a stream.
pub trait Host {
    /// Microseconds since the Unix epoch.
    fn wall_clock(&self) -> u64;

    /// Microseconds of a clock that is never set back, for measuring durations.
    fn steady_clock(&self) -> u64;

    /// Fills the buffer with random bytes; false if the host has none.
    fn random(&self, buffer: &mut [u8]) -> bool;

    /// To the proxy's log.
    fn log(&self, level: Level, line: &str);

    /// Adds to a counter.
    fn increment(&self, counter: Counter, by: u64);

    /// Adds to the gauge of used bytes. All VMs of the process share it, so only differences are correct.
    fn adjust_outbox_bytes(&self, by: i64);
}

/// The severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Normal operation.
    Info,
    /// Data is lost or late, or the collector is misconfigured.
    Warn,
    /// The configuration is rejected.
    Error,
}

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
    pub const ALL: [Self; 12] = [
        Self::RecordsCaptured,
        Self::RecordsDroppedBufferFull,
        Self::RecordsDroppedTooLarge,
        Self::RecordsDroppedBatchRefused,
        Self::BodiesDropped,
        Self::BodiesTruncated,
        Self::ValuesRedacted,
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

/// The stream whose callback runs.
pub trait Stream {
    /// All headers of a half; none if it has none yet.
    fn headers(&self, half: Half) -> Option<Headers>;

    /// The first value of a header, in lower case.
    fn header(&self, half: Half, name: &str) -> Option<Vec<u8>>;

    /// Available only in the trailers callback.
    fn trailers(&self, half: Half) -> Option<Headers>;

    /// Bytes of the current chunk, available only in the body callback.
    fn body(&self, half: Half, start: usize, length: usize) -> Option<Vec<u8>>;

    /// A stream attribute in the proxy's serialisation.
    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>>;
}

/// Makes calls to the collector.
pub trait Dispatch {
    /// Starts a call and returns the token of its response; none if the call could not be started.
    fn send(&self, call: &CollectorRequest<'_>) -> Option<u32>;
}

/// One call to the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorRequest<'a> {
    /// Envoy's name of the cluster.
    pub cluster: &'a str,
    /// All headers, the pseudo-headers first.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The sealed batch.
    pub body: &'a [u8],
    /// After which the proxy reports no response.
    pub timeout: Duration,
}

/// How a call to the collector ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CollectorResponse {
    /// None: no response, so the outcome is unknown.
    pub status: Option<u16>,
    /// `retry-after` in seconds.
    pub retry_after: Option<u64>,
}

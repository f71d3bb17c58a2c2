//! The seam: what the logic needs from the proxy. Nothing here may fail loudly, because a fault in
//! the filter must never become a fault of the traffic.

use std::time::Duration;

use dossier_wire::Half;

use crate::headers::Headers;

/// What is there for the whole VM.
pub trait Host {
    /// Microseconds since the Unix epoch.
    fn wall_clock(&self) -> u64;

    /// Microseconds of a clock that is never set back, for measuring how long something takes.
    fn steady_clock(&self) -> u64;

    /// Fills the buffer with random bytes; false if the host has none.
    fn random(&self, buffer: &mut [u8]) -> bool;

    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: &str);

    /// Raises a counter.
    fn count(&self, counter: Counter, by: u64);

    /// Moves the gauge of bytes held. All VMs of the process share it, so only differences add up.
    fn outbox_bytes_changed(&self, by: i64);
}

/// How urgent a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Something is lost, late or misconfigured.
    Warn,
    /// The configuration is refused.
    Error,
}

/// What the filter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Records put into a batch.
    RecordsCaptured,
    /// Records lost because the buffer was full.
    RecordsDroppedBufferFull,
    /// Records lost because one alone is larger than a batch may be.
    RecordsDroppedTooLarge,
    /// Records lost because the collector refused their batch.
    RecordsDroppedBatchRefused,
    /// Bodies given up because the buffer was nearly full.
    BodiesDropped,
    /// Bodies longer than their cap.
    BodiesTruncated,
    /// Values that redaction replaced.
    ValuesRedacted,
    /// Batches that the collector acknowledged.
    BatchesSent,
    /// Batches that the collector refused.
    BatchesFailed,
    /// Calls that have to be made again.
    BatchesRetried,
    /// Bytes of sealed batches before compression.
    BytesRaw,
    /// Bytes of sealed batches as they are sent.
    BytesSent,
}

impl Counter {
    /// Every counter.
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

    /// The metric's name.
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

/// The metric's name of the gauge of bytes held.
pub const OUTBOX_BYTES: &str = "dossier.outbox_bytes";

/// What can be read of the stream whose callback runs.
pub trait Stream {
    /// A half's headers; none if the proxy has none to give.
    fn headers(&self, half: Half) -> Option<Headers>;

    /// The first value of one of a half's headers.
    fn header(&self, half: Half, name: &str) -> Option<Vec<u8>>;

    /// A half's trailers, while the callback about them runs.
    fn trailers(&self, half: Half) -> Option<Headers>;

    /// Bytes of the chunk that the running callback is about.
    fn body(&self, half: Half, start: usize, length: usize) -> Option<Vec<u8>>;

    /// An attribute of the stream, as the proxy serialises it.
    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>>;
}

/// How a batch leaves.
pub trait Dispatch {
    /// Begins a call and gives the token that its answer will carry; none if it could not begin.
    fn post(&self, call: &Post<'_>) -> Option<u32>;
}

/// One call to the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post<'a> {
    /// Envoy's name of the cluster.
    pub cluster: &'a str,
    /// All headers, the pseudo-headers first.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The batch.
    pub body: &'a [u8],
    /// When the proxy gives up.
    pub timeout: Duration,
}

//! The interface to the proxy. Nothing here may panic or return an error, because a failure of the filter
//! must never become a failure of the traffic.

use std::time::Duration;

use dossier_wire::Half;

use crate::headers::Headers;
use crate::metrics::Counter;

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

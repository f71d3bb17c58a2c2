//! The filter's logic without a proxy's interface: it runs and is tested natively and in wasm, and can be
//! embedded in another kind of filter.
//!
//! - [`config`]: the plugin configuration, validated and compiled into rules.
//! - [`exchange`]: records one request and its response from the proxy's callbacks.
//! - [`json`]: scans JSON in place and follows paths through it.
//! - [`redact`]: removes secrets before anything is recorded.
//! - [`outbox`]: batches records and delivers them to the collector, within a memory limit.
//! - [`vm`]: the root contexts and outboxes of one VM.
//! - [`host`]: the interface to the proxy.
//! - [`metrics`]: the counters of the filter.

pub mod config;
pub mod exchange;
pub mod headers;
pub mod host;
pub mod json;
pub mod metrics;
pub mod outbox;
pub mod redact;
pub mod vm;

mod compression_limiter;
mod ids;
mod memory_budget;
mod metrics_buffer;
mod now;
mod sampling;
mod shared;
mod text;
mod warnings;

#[cfg(test)]
mod testing;

//! What Dossier's filter does with the traffic it sees, free of any proxy's interface: it runs and
//! is tested natively and in wasm, and can move into another shell without a rewrite.
//!
//! - [`config`]: the plugin configuration, checked and compiled into a table of rules.
//! - [`exchange`]: one request and its response, fed by the proxy's callbacks.
//! - [`json`]: JSON scanned in place, and paths followed through it.
//! - [`redact`]: what is taken out before anything is kept.
//! - [`outbox`]: batches that wait for the collector, within a bound of memory.
//! - [`vm`]: what all streams and configurations of one VM share.
//! - [`host`]: the seam to the proxy.

pub mod config;
pub mod exchange;
pub mod headers;
pub mod host;
pub mod json;
pub mod outbox;
pub mod redact;
pub mod vm;

mod allowance;
mod budget;
mod ids;
mod notices;
mod sample;
mod stats;
mod text;

#[cfg(test)]
mod testing;

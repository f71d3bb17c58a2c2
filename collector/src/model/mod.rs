//! The domain types of the collector, without HTTP and without SQL.

pub mod clock;
pub mod endpoint;
pub mod entry;
pub mod filter;
pub mod ids;
pub mod instant;
pub mod json;
pub mod key;
pub mod retention;
pub mod scope;
pub mod session;
pub mod sha256;
pub mod similar_name;
pub mod trace_id;

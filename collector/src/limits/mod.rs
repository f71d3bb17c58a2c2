//! What bounds the memory and the threads that requests may use, and how often a caller may ask.
//!
//! Nothing here knows HTTP: each file has an error of its own, which `http` maps to a response.

pub mod admission;
pub mod blocking_pool;
pub mod decode_pool;
pub mod rate_limit;

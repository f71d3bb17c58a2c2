//! What bounds the memory and the threads that requests may take, and how often a caller may ask.

pub mod admission;
pub mod decoding;
pub mod rate_limit;
pub mod turns;

//! The filter's logic from outside. One program, so that it is linked once.

#![cfg(not(target_arch = "wasm32"))]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod documentation;
mod fuzz;
mod redaction_corpus;

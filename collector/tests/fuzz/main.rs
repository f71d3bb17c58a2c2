//! Bounded fuzzing of what the collector alone reads: batches as lines of JSON. `DOSSIER_FUZZ_SECONDS` says
//! how long (2 if absent).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail"
)]

#[path = "../../../filter/capture/tests/fuzz/engine.rs"]
mod engine;
mod lines;

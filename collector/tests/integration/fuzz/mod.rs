//! Bounded fuzzing of what the collector alone reads: batches as lines of JSON. `DOSSIER_FUZZ_SECONDS` says
//! how long (2 if absent).

#[path = "../../../../filter/capture/tests/integration/fuzz/engine.rs"]
mod engine;
mod lines;

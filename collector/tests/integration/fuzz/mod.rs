//! Bounded fuzzing of the parsers that only the collector has: NDJSON batches. `DOSSIER_FUZZ_SECONDS` sets the
//! duration (default 2).

#[path = "../../../../filter/capture/tests/integration/fuzz/engine.rs"]
mod engine;
mod ndjson;

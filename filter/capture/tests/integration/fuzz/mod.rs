//! Bounded fuzzing of everything that reads what others wrote: JSON and bodies, route metadata,
//! batches, the configuration. `DOSSIER_FUZZ_SECONDS` says how long for each (2 if absent).
//!
//! No input may cause a panic, more output than its bound, or more work than its length is worth.

mod batches;
mod bodies;
mod configuration;
mod engine;
mod messages;
mod route_metadata;

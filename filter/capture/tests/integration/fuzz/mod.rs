//! Fuzzes everything that reads foreign input: JSON and bodies, route metadata, batches, the
//! configuration. `DOSSIER_FUZZ_SECONDS` is the time for each (default: 2).
//!
//! No input may cause a panic, output beyond its limit, or work out of proportion to its length.

mod batches;
mod bodies;
mod configuration;
mod engine;
mod messages;
mod route_metadata;

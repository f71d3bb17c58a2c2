//! The real Envoy, collector and Postgres, seen from outside: what a client sends through Envoy is
//! what the collector answers, and nothing is lost or returned twice.
//!
//! One program, so that stacks run side by side and it is linked once. Each file is one subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod api;
mod chaos;
mod collector_memory;
mod collector_outage;
mod configuration;
mod configuration_errors;
mod dossier_stack;
mod durability;
mod envoy_shutdown;
mod ingest;
mod ingest_lines;
mod ingest_refusals;
mod isolation;
mod live_updates;
mod long_fields;
mod memory_budget;
mod metrics;
mod odd_bodies;
mod query;
mod recording;
mod refused_records;
mod retention;
mod round_trip;
mod secure_client;
mod sessions;
mod shipped_configurations;
mod spool;
mod streams;
mod support;
mod tls;
mod traces;

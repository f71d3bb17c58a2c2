//! Dossier's collector: takes batches from the filter, keeps them in Postgres, answers queries.
//!
//! The layers, each knowing only those below it:
//!
//! - [`cli`]: the `dossier` command.
//! - [`server`]: listens, wires the layers together, stops gracefully.
//! - [`api`] and [`ingest`]: HTTP for readers and for producers.
//! - [`http`]: what both share.
//! - [`jobs`]: what the collector does by itself.
//! - [`spool`]: batches on disk while Postgres is away.
//! - [`store`]: all SQL.
//! - [`model`]: what entries, sessions, keys and scopes are, without HTTP or SQL.
//!
//! [`postgres`] runs a private Postgres for those who name no other.

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod http;
pub mod ingest;
pub mod jobs;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod outage;
pub mod postgres;
pub mod server;
pub mod settings;
pub mod spool;
pub mod store;
pub mod telemetry;

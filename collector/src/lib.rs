//! Dossier's collector: receives batches from the filter, stores them in Postgres, answers queries.
//!
//! The layers, each knowing only those below it:
//!
//! - [`cli`]: the `dossier` command.
//! - [`server`]: listens, wires the layers together, stops gracefully.
//! - [`api`], [`ingest`] and [`jobs`]: HTTP for readers, HTTP for producers, and background work; they
//!   share the parts in [`app`].
//! - [`http`]: extractors, envelope, errors and middleware of all endpoints.
//! - [`auth`] and [`limits`]: who sends a request; how much memory, how many threads and how many
//!   requests are allowed.
//! - [`spool`]: batches on disk while Postgres is unavailable.
//! - [`store`]: all SQL.
//! - [`model`]: what entries, sessions, keys and scopes are, without HTTP or SQL.
//!
//! Beside them, [`settings`], [`metrics`], [`telemetry`] and [`logging`] know no HTTP endpoint and no SQL;
//! [`postgres`] runs a private Postgres if no database is configured.
//! `envoy_config` checks configurations of the filter for `dossier validate`.

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
mod envoy_config;
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

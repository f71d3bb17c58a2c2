//! `GET /healthz`, `/readyz`, `/metrics`: for operators and their tools.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::spool::{Spool, SpoolState};

/// Where batches can be made durable.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `up` or `away`; while it is unavailable, batches go to the spool.
    postgres: &'static str,
    /// Null if the collector has none.
    #[schema(required)]
    spool: Option<SpoolReadiness>,
}

/// The batches that wait for Postgres.
#[derive(Serialize, ToSchema)]
struct SpoolReadiness {
    batches: u64,
    /// Bytes on disk, damaged files included.
    bytes: u64,
    /// Limit of `bytes`.
    max_bytes: u64,
    /// Damaged files, moved to the folder `damaged`.
    damaged: u64,
}

/// The process runs.
pub async fn alive() -> Success<Value> {
    Success::new(
        "The collector is alive",
        json!({"version": env!("CARGO_PKG_VERSION")}),
    )
}

/// Batches can be made durable: in Postgres, or in the spool.
pub async fn ready(State(app): State<App>) -> Result<Success<Readiness>, ApiError> {
    let postgres = app.store.ping().await;
    if let Err(error) = &postgres {
        // The spool helps only if producers can be authenticated without Postgres.
        let known = app.authenticator.can_authenticate_producers();
        let spool = app.spool.as_ref().filter(|_| known);
        let spool = spool.ok_or_else(|| ApiError::unavailable(error))?;
        let checked = spool.check_writable().await;
        checked.map_err(|error| ApiError::unavailable(&error))?;
    }
    let state = app.spool.as_ref().map(Spool::state);
    Ok(Success::new(
        "The collector is ready",
        Readiness {
            postgres: if postgres.is_ok() { "up" } else { "away" },
            spool: state.as_ref().map(SpoolReadiness::of),
        },
    ))
}

impl SpoolReadiness {
    const fn of(state: &SpoolState) -> Self {
        Self {
            batches: state.batches,
            bytes: state.bytes,
            max_bytes: state.max_bytes,
            damaged: state.damaged,
        }
    }
}

/// The metrics as Prometheus reads them.
pub async fn metrics(State(app): State<App>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    if let Some(spool) = &app.spool {
        app.metrics.set_spool(&spool.state(), app.clock.now());
    }
    app.metrics
        .in_flight_bytes
        .set(i64::try_from(app.admission.reserved_bytes()).unwrap_or(i64::MAX));
    ([(CONTENT_TYPE, OPEN_METRICS)], app.metrics.render())
}

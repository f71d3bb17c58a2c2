//! `GET /healthz`, `/readyz`, `/metrics`: for those who operate the collector.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;

/// The process runs.
pub async fn alive() -> Success<Value> {
    Success::new(
        "The collector is alive",
        json!({"version": env!("CARGO_PKG_VERSION")}),
    )
}

/// Batches can be stored.
pub async fn ready(State(app): State<App>) -> Result<Success<Value>, ApiError> {
    app.store.ping().await?;
    Ok(Success::new(
        "The collector is ready",
        json!({"postgres": "up"}),
    ))
}

/// The metrics as Prometheus reads them.
pub async fn metrics(State(app): State<App>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, OPEN_METRICS)], app.metrics.render())
}

//! HTTP for readers: storage, health, metrics. One file an endpoint.

mod delete;
mod entries;
mod exchanges;
mod fields;
mod health;
mod openapi;
mod query;
mod sessions;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::routing::{get, post};

pub use self::openapi::text as openapi_text;
use crate::app::App;
use crate::http::error::ApiError;

/// Largest body of a request to these endpoints.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// The endpoints for readers.
pub fn routes() -> Router<App> {
    let storage = Router::new()
        .route("/query", post(query::query))
        .route("/entries/{id}", get(entries::entry))
        .route("/entries/{id}/body", get(entries::body))
        .route("/exchanges/{exchange_id}", get(exchanges::exchange))
        .route("/sessions", get(sessions::list))
        .route("/sessions/query", post(sessions::query))
        .route("/delete", post(delete::delete));
    Router::new()
        .nest("/storage", storage.clone())
        .nest("/v1/storage", storage)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
}

/// The body of a request, if all of it came.
///
/// # Errors
/// [`ApiError::TooLarge`], [`ApiError::IncompleteBody`]
fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge(MAX_REQUEST_BYTES),
        _ => ApiError::IncompleteBody,
    })
}

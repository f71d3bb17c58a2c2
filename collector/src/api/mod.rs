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
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

pub use self::openapi::text as openapi_text;
use crate::app::App;

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

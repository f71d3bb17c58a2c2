//! The HTTP API for readers and operators: queries, deletion, rejected records, health, metrics. Each group of endpoints has a
//! file; the fields of requests are declared in `query/fields.rs`, `sessions/fields.rs` and `deletion.rs`.

mod admin;
mod deletion;
mod entries;
mod entry_response;
mod exchanges;
mod health;
mod openapi;
mod query;
mod request;
mod sessions;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

pub use self::openapi::text as openapi_text;
use crate::app::App;

/// The endpoints for readers.
pub fn routes() -> Router<App> {
    let storage = Router::new()
        .route("/query", post(query::query))
        .route("/entries/{id}", get(entries::entry))
        .route("/entries/{id}/body", get(entries::body))
        .route("/exchanges/{exchange_id}", get(exchanges::exchange))
        .route("/sessions", get(sessions::list))
        .route("/sessions/query", post(sessions::query))
        .route("/delete", post(deletion::delete));
    Router::new()
        .nest("/storage", storage.clone())
        .nest("/v1/storage", storage)
        .nest("/admin", admin::routes())
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page))
        .layer(DefaultBodyLimit::max(request::MAX_BODY_BYTES))
}

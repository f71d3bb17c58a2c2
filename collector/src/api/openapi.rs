//! `GET /openapi.json` and `GET /docs`: the API described for programs and for people.
//!
//! Schemas of responses are derived from their types, schemas of requests from the fields that the parser
//! reads. Errors are those of [`ApiError`](crate::http::error::ApiError).

mod examples;
mod html_page;
mod operations;
mod responses;
mod schemas;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use self::html_page::HtmlPage;

const DESCRIPTION: &str = "Dossier records API traffic that passes through Envoy. This API returns what was recorded.\n\n\
All paths under `/storage` also exist under `/v1/storage`. Every JSON response has the same envelope: \
`success`, `message`, `data`, `warnings`, `metadata`, and on failure `error` with a stable code. \
Times are RFC 3339 in UTC. A valid `X-Request-ID` of the request is returned, otherwise a new one. \
An unknown path returns 404, a method that a path does not support 405, in the same envelope. \
Only what cannot be read as HTTP/1.1 gets a response without a body, and the connection is closed: \
400 for a malformed head, 431 for more than 100 headers or a head of more than about 400 KiB, and 414 for a \
URL of more than 65,534 bytes. \
Data of other users is treated as if it did not exist.";

static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", *DOCUMENT));
static PAGE: LazyLock<HtmlPage> = LazyLock::new(|| HtmlPage::new(&DOCUMENT));

/// The document as JSON text.
#[must_use]
pub fn text() -> &'static str {
    &TEXT
}

pub(super) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], text())
}

/// The page needs no script and loads nothing.
pub(super) async fn page() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, PAGE.policy.as_str()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE.html.as_str())
}

fn build() -> Value {
    let mut paths = Map::new();
    for operation in operations::all() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            if operation.path.starts_with("/storage/") {
                path.insert("servers".to_owned(), servers());
            }
            path.insert(operation.method.to_owned(), operation.describe());
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Dossier",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": operations::TAGS.map(|(name, description)| json!({"name": name, "description": description})),
        "paths": paths,
        "components": {"schemas": schemas::all(), "securitySchemes": security_schemes()},
    })
}

fn servers() -> Value {
    json!([{"url": "/"}, {"url": "/v1", "description": "The same endpoints under another path"}])
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key (`dsk_…`), or a JWT if the collector accepts them.",
        },
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key (`dsk_…`)."},
    })
}

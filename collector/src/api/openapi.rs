//! `GET /openapi.json` and `GET /docs`: the API described for programs and for people.
//!
//! The shapes of answers are derived from the types that are answered; errors are those of
//! [`ApiError`](crate::http::error::ApiError), their examples written by what writes the errors. Bounds
//! are the constants that are enforced.

mod answers;
mod examples;
mod operations;
mod page;
mod requests;
mod schemas;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

const ABOUT: &str = "Dossier keeps a record of API traffic that passes Envoy. This API answers what was recorded.\n\n\
All paths below `/storage` are served, the same, below `/v1/storage`. Every JSON answer has one envelope: \
`success`, `message`, `data`, `warnings`, `metadata`, and on failure `error` with a stable code. \
Times are RFC 3339 in UTC. `X-Request-ID` is taken if it is sane, or made, and sent back. \
A path that is none is answered 404, a method that a path does not take 405, in the same envelope. \
Outside of it is only what cannot be read as HTTP/1.1: it is answered with no body, and the connection ends. \
That is 400 for a malformed head, 431 for more than 100 headers or a head of more than about 400 KiB, and 414 for a \
URL of more than 65,534 bytes. \
Another user's things are answered as things that do not exist.";

static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", *DOCUMENT));
static PAGE: LazyLock<page::Page> = LazyLock::new(|| page::Page::of(&DOCUMENT));

/// The document as JSON text.
#[must_use]
pub fn text() -> &'static str {
    &TEXT
}

/// The document.
pub(super) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], text())
}

/// The document as a page for people. It needs no script and nothing from elsewhere.
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
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": operations::TAGS.map(|(name, about)| json!({"name": name, "description": about})),
        "paths": paths,
        "components": {"schemas": schemas::all(), "securitySchemes": security_schemes()},
    })
}

fn servers() -> Value {
    json!([{"url": "/"}, {"url": "/v1", "description": "The same under another path"}])
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key (`dsk_…`), or a JWT where the collector is set up for them.",
        },
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key (`dsk_…`)."},
    })
}

//! `GET /storage/entries/{id}` and `/storage/entries/{id}/body`: one entry with all that is known of it,
//! and the exact bytes of its body.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use dossier_body::{RenderBudget, unpack};
use serde::Serialize;
use serde_json::json;

use super::entry_response::EntryResponse;
use super::request::{Field, Integer, read_path};
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::http::extract::Reader;
use crate::model::entry::{BodyState, Entry, StoredBody};
use crate::model::ids::EntryId;

/// The encoding that the bytes still have. Not `content-encoding`: a client would decode them then, and
/// not get the exact bytes.
const BODY_ENCODING: HeaderName = HeaderName::from_static("x-body-encoding");

pub(super) static ID: Field<Integer<i64>> = Field {
    name: "id",
    kind: Integer::new(1, i64::MAX),
    description: "The entry's number.",
    example: || json!(1),
};

/// One of the caller's entries.
///
/// # Errors
/// [`ApiError`]
pub async fn entry(
    State(app): State<App>,
    caller: Reader,
    id: Result<Path<String>, PathRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let permit = app.decode_pool.acquire().await?;
    let entry = find(&app, &caller, id).await?;
    let response = move || EntryResponse::complete(entry, &mut RenderBudget::default());
    let entry = permit.run_to_json(response).await?;
    Ok(Success::new("Entry retrieved", entry))
}

/// The body of one of the caller's entries. A browser may save it but never render it: it may be anything
/// that anyone ever sent.
///
/// # Errors
/// [`ApiError`]
pub async fn body(
    State(app): State<App>,
    caller: Reader,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let permit = app.decode_pool.acquire().await?;
    let mut entry = find(&app, &caller, id).await?;
    let (state, body) = (entry.body_state, entry.body.take());
    let bytes = permit.run(move || body_bytes(state, body)).await?;
    let name = format!("entry-{}-{}", entry.id.0, <&str>::from(entry.half));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""))
        .map_err(|error| ApiError::internal("body", error))?;
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type(&entry));
    headers.insert(CONTENT_DISPOSITION, disposition);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderValue::from_static("default-src 'none'; sandbox");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    let encoding = entry.content_encoding.filter(|_| !entry.decoded);
    if let Some(encoding) = encoding.and_then(|it| HeaderValue::try_from(it).ok()) {
        headers.insert(BODY_ENCODING, encoding);
    }
    Ok(response)
}

async fn find(
    app: &App,
    caller: &Reader,
    id: Result<Path<String>, PathRejection>,
) -> Result<Entry, ApiError> {
    let id = EntryId(read_path(&ID, id)?);
    let scope = caller.scope(None)?;
    let found = app.store.entry(&scope, id, app.clock.now()).await?;
    found.ok_or(ApiError::NotFound)
}

fn body_bytes(state: BodyState, body: Option<StoredBody>) -> Result<Vec<u8>, ApiError> {
    match (state, body) {
        (BodyState::Empty, _) => Ok(Vec::new()),
        (BodyState::Missing(reason), _) => Err(ApiError::BodyNotStored(reason.into())),
        (BodyState::Stored, None) => Err(ApiError::BodyNotStored("expired")),
        (BodyState::Stored, Some(body)) => {
            unpack(body.codec, body.data).map_err(|error| ApiError::internal("body", error))
        }
    }
}

fn content_type(entry: &Entry) -> HeaderValue {
    let sent = entry.content_type.as_deref();
    sent.and_then(|it| HeaderValue::from_str(it).ok())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

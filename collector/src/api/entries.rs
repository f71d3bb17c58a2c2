//! `GET /storage/entries/{id}` and its `/body`: one entry with all that is known of it, and the exact
//! bytes of its body.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::query::answer::Item;
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::{ApiError, FieldError};
use crate::http::extract::Reader;
use crate::model::entry::{BodyState, Entry, StoredBody};
use crate::model::ids::EntryId;
use dossier_body::{RenderBudget, unpack};

/// The encoding that the bytes are still in. Not `content-encoding`: a client would undo that, and they
/// would not be the exact bytes any more.
const BODY_ENCODING: HeaderName = HeaderName::from_static("x-body-encoding");

/// One of the caller's entries.
///
/// # Errors
/// [`ApiError`]
pub async fn entry(
    State(app): State<App>,
    reader: Reader,
    id: Result<Path<String>, PathRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let permit = app.decode_pool.acquire().await?;
    let entry = find(&app, &reader, id).await?;
    let shown = move || Item::whole(entry, &mut RenderBudget::default());
    let entry = permit.run_to_json(shown).await?;
    Ok(Success::new("Entry retrieved", entry))
}

/// The body of one of the caller's entries. It is for saving, never for a browser to act on: it may be
/// anything that anyone ever sent.
///
/// # Errors
/// [`ApiError`]
pub async fn body(
    State(app): State<App>,
    reader: Reader,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let permit = app.decode_pool.acquire().await?;
    let mut entry = find(&app, &reader, id).await?;
    let (state, body) = (entry.body_state, entry.body.take());
    let bytes = permit.run(move || bytes(state, body)).await?;
    let name = format!("entry-{}-{}", entry.id.0, entry.half.as_str());
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
    reader: &Reader,
    id: Result<Path<String>, PathRejection>,
) -> Result<Entry, ApiError> {
    let Path(text) = id.map_err(|_| ApiError::NotFound)?;
    let id = text.parse().ok().filter(|id| *id > 0).ok_or_else(|| {
        ApiError::Invalid(vec![FieldError {
            field: "id".to_owned(),
            message: "expected the number of an entry".to_owned(),
            kind: "value_error",
        }])
    })?;
    let entry = app
        .store
        .entry(&reader.scope(None)?, EntryId(id), app.clock.now())
        .await?;
    entry.ok_or(ApiError::NotFound)
}

fn bytes(state: BodyState, body: Option<StoredBody>) -> Result<Vec<u8>, ApiError> {
    match (state, body) {
        (BodyState::Empty, _) => Ok(Vec::new()),
        (BodyState::Missing(reason), _) => Err(ApiError::BodyNotStored(reason.as_str())),
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

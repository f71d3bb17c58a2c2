//! Reads a batch off the wire: headers, bounded body, inflation.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use dossier_wire::compression::{InflateError, inflate};
use dossier_wire::frame::MAX_BATCH_BYTES;
use dossier_wire::{BATCH_ID_HEADER, CONTENT_TYPE as BATCH_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;
use uuid::Uuid;

use crate::app::App;
use crate::http::admission::Room;
use crate::http::error::ApiError;
use crate::model::ids::BatchId;

/// Most bytes of a batch as it is sent.
pub const MAX_SENT_BYTES: usize = 4 * 1024 * 1024;
/// A sender that is slower than this holds room that others need.
const BODY_LIMIT: Duration = Duration::from_secs(20);

/// A batch as it came, inflated. Holds its room in memory until it is dropped.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) id: BatchId,
    bytes: Bytes,
    _rooms: [Room; 2],
}

impl Sent {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[derive(Clone, Copy)]
enum Encoding {
    Identity,
    Deflate,
}

/// Reads a batch, or says what is wrong with it.
pub(super) async fn batch(app: &App, request: Request) -> Result<Sent, ApiError> {
    let (parts, body) = request.into_parts();
    let id = batch_id(&parts.headers)?;
    let encoding = encoding(&parts.headers)?;
    let announced = content_length(&parts.headers);
    if announced.is_some_and(|length| length > MAX_SENT_BYTES) {
        return Err(ApiError::TooLarge(MAX_SENT_BYTES));
    }
    let sent_room = app.admission.take(announced.unwrap_or(MAX_SENT_BYTES))?;
    let sent = collect(body).await?;
    app.metrics.received_bytes.inc_by(sent.len() as u64);
    let (bytes, inflated_room) = match encoding {
        Encoding::Identity => (sent, app.admission.take(0)?),
        Encoding::Deflate => inflate_within(app, &sent).await?,
    };
    app.metrics.inflated_bytes.inc_by(bytes.len() as u64);
    app.metrics
        .in_flight_bytes
        .set(i64::try_from(app.admission.taken_bytes()).unwrap_or(i64::MAX));
    Ok(Sent {
        id,
        bytes,
        _rooms: [sent_room, inflated_room],
    })
}

async fn inflate_within(app: &App, sent: &[u8]) -> Result<(Bytes, Room), ApiError> {
    let turn = app.admission.turn_to_inflate().await?;
    let bytes = inflate(sent, MAX_BATCH_BYTES).map_err(|error| match error {
        InflateError::TooLong { limit } => ApiError::TooLarge(limit),
        InflateError::Malformed => ApiError::Inflate,
    })?;
    let room = app.admission.take(bytes.len())?;
    drop(turn);
    Ok((bytes.into(), room))
}

async fn collect(body: Body) -> Result<Bytes, ApiError> {
    let collected = timeout(BODY_LIMIT, Limited::new(body, MAX_SENT_BYTES).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge(MAX_SENT_BYTES)),
        Ok(Err(_)) | Err(_) => Err(ApiError::BodyBrokeOff),
    }
}

fn batch_id(headers: &HeaderMap) -> Result<BatchId, ApiError> {
    headers
        .get(BATCH_ID_HEADER)
        .and_then(|value| Uuid::try_parse_ascii(value.as_bytes()).ok())
        .map(BatchId)
        .ok_or(ApiError::BatchHeader(
            "x-dossier-batch: expected the batch's UUID",
        ))
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let media_type = headers
        .get(CONTENT_TYPE)
        .map(axum::http::HeaderValue::as_bytes);
    if media_type != Some(BATCH_TYPE.as_bytes()) {
        return Err(ApiError::UnsupportedMedia(
            "content-type: expected application/vnd.dossier.batch",
        ));
    }
    match headers
        .get(CONTENT_ENCODING)
        .map(axum::http::HeaderValue::as_bytes)
    {
        None | Some(b"identity") => Ok(Encoding::Identity),
        Some(b"deflate") => Ok(Encoding::Deflate),
        Some(_) => Err(ApiError::UnsupportedMedia(
            "content-encoding: expected deflate or identity",
        )),
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

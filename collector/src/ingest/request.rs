//! Reads a batch from an HTTP request: its headers, and its body within limits, decompressed as it arrives.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use dossier_wire::BATCH_ID_HEADER;
use http_body_util::BodyExt;
use time::OffsetDateTime;
use tokio::time::timeout;
use tracing::instrument;
use uuid::Uuid;

use super::format::BatchFormat;
use super::inflater::Inflater;
use super::received_batch::ReceivedBatch;
use crate::app::App;
use crate::http::error::ApiError;
use crate::limits::admission::MemoryReservation;
use crate::model::ids::BatchId;
use crate::spool::{Encoding, SpooledBatch};

/// Longest batch as sent, in bytes.
pub const MAX_SENT_BYTES: usize = 4 * 1024 * 1024;
/// Of the body of a refused batch, at most this much is still read.
const MAX_DRAINED_BYTES: usize = 2 * MAX_SENT_BYTES;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// A slower sender would hold memory that others need.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// Reads a batch, and the rest of the body if the batch is refused.
#[instrument(name = "ingest.receive_batch", skip_all)]
pub(super) async fn receive_batch(app: &App, request: Request) -> Result<ReceivedBatch, ApiError> {
    let (parts, mut body) = request.into_parts();
    let received = read_batch(app, &parts.headers, &mut body).await;
    if received.is_err() {
        drain(&mut body).await;
    }
    received
}

/// Reads on for a while: if a connection is closed with bytes unread, the sender may not see the response.
async fn drain(body: &mut Body) {
    let mut left = MAX_DRAINED_BYTES;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // A slower sender may miss the response.
    let _ = timeout(DRAIN_TIMEOUT, reading).await;
}

async fn read_batch(
    app: &App,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<ReceivedBatch, ApiError> {
    let id = batch_id(headers)?;
    let format = BatchFormat::from_content_type(headers.get(CONTENT_TYPE)).ok_or(
        ApiError::UnsupportedMedia(
            "content-type: expected application/vnd.dossier.batch or application/x-ndjson",
        ),
    )?;
    let encoding = encoding(headers)?;
    if content_length(headers).is_some_and(|length| length > MAX_SENT_BYTES) {
        return Err(ApiError::TooLarge(MAX_SENT_BYTES));
    }
    let mut reservation = app.admission.reserve();
    let reading = read_body(body, (encoding, format), &mut reservation);
    let read = timeout(BODY_TIMEOUT, reading).await;
    let (bytes, inflated) = read.map_err(|_| ApiError::IncompleteBody)??;
    let batch = SpooledBatch {
        id,
        received_at: truncate_to_micros(app.clock.now()),
        encoding,
        bytes,
    };
    let received = ReceivedBatch::new(batch, format, inflated, reservation);
    let (sent_bytes, plain_bytes) = (received.batch.bytes.len(), received.bytes().len());
    app.metrics.received_bytes.inc_by(sent_bytes as u64);
    app.metrics.inflated_bytes.inc_by(plain_bytes as u64);
    Ok(received)
}

/// Returns the body as sent and, if it was compressed, decompressed.
async fn read_body(
    body: &mut Body,
    (encoding, format): (Encoding, BatchFormat),
    reservation: &mut MemoryReservation,
) -> Result<(Bytes, Option<Vec<u8>>), ApiError> {
    let mut sent = Vec::new();
    let mut inflater = Inflater::new(encoding, format.max_bytes());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::IncompleteBody)?;
        // Trailers are ignored.
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if sent.len() + piece.len() > MAX_SENT_BYTES {
            return Err(ApiError::TooLarge(MAX_SENT_BYTES));
        }
        reservation.grow(piece.len())?;
        inflater.push(&piece, reservation)?;
        sent.extend_from_slice(&piece);
    }
    Ok((sent.into(), inflater.finish(reservation)?))
}

/// The precision of the spool and of Postgres.
fn truncate_to_micros(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(at.microsecond() * 1000).unwrap_or(at)
}

fn batch_id(headers: &HeaderMap) -> Result<BatchId, ApiError> {
    headers
        .get(BATCH_ID_HEADER)
        .and_then(|value| Uuid::try_parse_ascii(value.as_bytes()).ok())
        .map(BatchId)
        .ok_or(ApiError::InvalidHeader(
            "x-dossier-batch: expected the batch's UUID",
        ))
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::admission::Admission;

    #[test]
    fn largest_batch_fits_in_memory_limit() {
        let mut reservation = Admission::default().reserve();
        reservation.grow(MAX_SENT_BYTES).unwrap();
        reservation
            .grow(dossier_wire::frame::MAX_BATCH_BYTES)
            .unwrap();
    }
}

//! Reads a batch off the wire: headers, bounded body, inflation as it comes.

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
use uuid::Uuid;

use super::inflate::Inflater;
use super::records::Form;
use crate::app::App;
use crate::http::error::ApiError;
use crate::limits::admission::{Admission, MemoryReservation};
use crate::model::ids::BatchId;
use crate::spool::{Encoding, SpooledBatch};

/// Most bytes of a batch as it is sent.
pub const MAX_SENT_BYTES: usize = 4 * 1024 * 1024;
/// So much of a batch that is refused is read all the same.
const MOST_DISCARDED: usize = 2 * MAX_SENT_BYTES;
const DISCARD_LIMIT: Duration = Duration::from_secs(2);
/// A sender that is slower than this holds room that others need.
const BODY_LIMIT: Duration = Duration::from_secs(20);

/// A batch as it came, and inflated. Holds its room in memory until it is dropped.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) batch: SpooledBatch,
    pub(super) form: Form,
    inflated: Option<Vec<u8>>,
    _room: MemoryReservation,
}

impl Sent {
    /// Inflates a batch that comes from the spool.
    ///
    /// # Errors
    /// [`ApiError::TooManyInFlight`] if there is no room now; others if it is no batch.
    pub(super) fn again(batch: SpooledBatch, admission: &Admission) -> Result<Self, ApiError> {
        let mut room = admission.reserve();
        room.grow(batch.bytes.len())?;
        let mut inflater = Inflater::new(batch.encoding, Form::MOST_BYTES);
        inflater.push(&batch.bytes, &mut room)?;
        let plain = inflater.finish(&mut room)?;
        let form = Form::of(plain.as_deref().unwrap_or(&batch.bytes));
        Ok(Self {
            batch,
            form,
            inflated: plain,
            _room: room,
        })
    }

    /// Lets the inflated bytes go.
    pub(super) fn let_go(&mut self) {
        self.inflated = None;
    }

    /// The batch itself.
    pub(super) fn bytes(&self) -> &[u8] {
        self.inflated.as_deref().unwrap_or(&self.batch.bytes)
    }
}

/// Reads a batch, or says what is wrong with it.
pub(super) async fn batch(app: &App, request: Request) -> Result<Sent, ApiError> {
    let (parts, mut body) = request.into_parts();
    let read = take(app, &parts.headers, &mut body).await;
    if read.is_err() {
        discard(&mut body).await;
    }
    read
}

/// Reads on for a while: of a connection that is closed with bytes unread, the sender may not get to see the
/// answer.
async fn discard(body: &mut Body) {
    let mut left = MOST_DISCARDED;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Whoever is slower has to live with it.
    let _ = timeout(DISCARD_LIMIT, reading).await;
}

async fn take(app: &App, headers: &HeaderMap, body: &mut Body) -> Result<Sent, ApiError> {
    let id = batch_id(headers)?;
    let form = Form::named(headers.get(CONTENT_TYPE)).ok_or(ApiError::UnsupportedMedia(
        "content-type: expected application/vnd.dossier.batch or application/x-ndjson",
    ))?;
    let encoding = encoding(headers)?;
    let announced = content_length(headers);
    if announced.is_some_and(|length| length > MAX_SENT_BYTES) {
        return Err(ApiError::TooLarge(MAX_SENT_BYTES));
    }
    let mut room = app.admission.reserve();
    let received = timeout(BODY_LIMIT, receive(body, (encoding, form), &mut room)).await;
    let (bytes, inflated) = received.map_err(|_| ApiError::IncompleteBody)??;
    let sent = Sent {
        batch: SpooledBatch {
            id,
            received_at: microsecond(app.clock.now()),
            encoding,
            bytes,
        },
        form,
        inflated,
        _room: room,
    };
    app.metrics
        .received_bytes
        .inc_by(sent.batch.bytes.len() as u64);
    app.metrics.inflated_bytes.inc_by(sent.bytes().len() as u64);
    Ok(sent)
}

async fn receive(
    body: &mut Body,
    (encoding, form): (Encoding, Form),
    room: &mut MemoryReservation,
) -> Result<(Bytes, Option<Vec<u8>>), ApiError> {
    let mut sent = Vec::new();
    let mut inflater = Inflater::new(encoding, form.most_bytes());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::IncompleteBody)?;
        // Trailers are no part of the batch.
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if sent.len() + piece.len() > MAX_SENT_BYTES {
            return Err(ApiError::TooLarge(MAX_SENT_BYTES));
        }
        room.grow(piece.len())?;
        inflater.push(&piece, room)?;
        sent.extend_from_slice(&piece);
    }
    Ok((sent.into(), inflater.finish(room)?))
}

/// As the spool and Postgres keep it.
fn microsecond(at: OffsetDateTime) -> OffsetDateTime {
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

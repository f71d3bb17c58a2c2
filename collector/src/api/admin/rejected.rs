//! `/admin/rejected`: records that could not be stored. An operator reads the reason, mends what is wrong, and has them
//! stored after all, or deletes them.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{cut_page, read_page};
use crate::api::query::fields::{EXPECTED_CURSOR, PAGE_SIZE};
use crate::api::request::{Encoded, Field, InvalidValue, Request, read_path};
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::http::extract::Admin;
use crate::ingest::{self, RetryError};
use crate::model::ids::{BatchId, RejectedId};
use crate::model::instant::UtcInstant;
use crate::store::{RejectedCursor, RejectedSummary, StoredRejected};

pub(in crate::api) static REJECTED_LIST: Request = Request {
    name: "RejectedList",
    groups: &[&[&PAGE_SIZE, &CURSOR]],
    example: &[&PAGE_SIZE],
};

static CURSOR: Field<Encoded<RejectedCursor>> = Field {
    name: "cursor",
    kind: Encoded {
        max_bytes: 128,
        expected: EXPECTED_CURSOR,
        decode: decode_cursor,
    },
    description: "`next_cursor` of the previous page.",
    example: || {
        let text = "1772366400000000:0198a3c5-7f00-7000-8000-000000000003:1";
        json!(URL_SAFE_NO_PAD.encode(text))
    },
};

pub(in crate::api) static ID: Field<Encoded<RejectedId>> = Field {
    name: "id",
    kind: Encoded {
        max_bytes: 64,
        expected: "expected the id of a rejected record: its batch's UUID, a colon and its position",
        decode: |text| text.parse().ok(),
    },
    description: "The record's id, as the list shows it: its batch's id, a colon and its position.",
    example: || json!("0198a3c5-7f00-7000-8000-000000000003:1"),
};

/// A page of rejected records, the latest first.
#[derive(Serialize, ToSchema)]
#[schema(as = RejectedPage)]
pub(in crate::api) struct RejectedPage {
    rejected: Vec<RejectedResponse>,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A record that was rejected.
#[derive(Serialize, ToSchema)]
#[schema(as = RejectedRecord)]
pub(in crate::api) struct RejectedResponse {
    /// `batch_id`, a colon and `position`.
    id: String,
    #[schema(value_type = uuid::Uuid)]
    batch_id: BatchId,
    /// Its position in the batch, from 0.
    position: i32,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    received_at: OffsetDateTime,
    /// Why it was rejected, without any value of it.
    reason: String,
    header_bytes: i32,
    body_bytes: i32,
    /// Only the beginning was kept, so that it cannot be stored any more.
    truncated: bool,
    /// Absent from lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<RejectedContent>,
}

/// A rejected record as it was sent: as text, or in base64 if it is not UTF-8.
#[derive(Serialize, ToSchema)]
#[schema(as = RejectedContent)]
struct RejectedContent {
    /// Its header; of a line of JSON, the whole line.
    #[schema(required)]
    header_text: Option<String>,
    #[schema(required)]
    header_base64: Option<String>,
    #[schema(required)]
    body_text: Option<String>,
    #[schema(required)]
    body_base64: Option<String>,
}

/// What was done with a rejected record.
#[derive(Serialize, ToSchema)]
#[schema(as = RejectedOutcome)]
pub(in crate::api) struct RejectedOutcome {
    id: String,
}

/// Rejected records of all producers.
///
/// # Errors
/// [`ApiError`]
pub async fn list(
    State(app): State<App>,
    Admin(_): Admin,
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let (after, page_size) = read_page(parameters, &REJECTED_LIST, &CURSOR)?;
    let found = app.store.list_rejected(after, page_size).await?;
    let (rejected, has_more) = cut_page(found, page_size);
    let last = rejected
        .last()
        .filter(|_| has_more)
        .and_then(RejectedSummary::cursor);
    let page = RejectedPage {
        rejected: rejected.into_iter().map(RejectedResponse::from).collect(),
        has_more,
        next_cursor: last.map(encode_cursor),
    };
    Ok(Success::new("Rejected records retrieved", page))
}

/// One rejected record, with its content.
///
/// # Errors
/// [`ApiError`]
pub async fn show(
    State(app): State<App>,
    Admin(_): Admin,
    id: Result<Path<String>, PathRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let id = read_path(&ID, id)?;
    let permit = app.decode_pool.acquire().await?;
    let record = find(&app, id).await?;
    let record = permit
        .run_to_json(move || Ok::<_, ApiError>(RejectedResponse::from(record)))
        .await?;
    Ok(Success::new("Rejected record retrieved", record))
}

/// Stores a rejected record after all.
///
/// # Errors
/// [`ApiError::Invalid`] if it is rejected again.
pub async fn retry(
    State(app): State<App>,
    Admin(_): Admin,
    id: Result<Path<String>, PathRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let id = read_path(&ID, id)?;
    let record = find(&app, id).await?;
    let (store, now) = (app.store.clone(), app.clock.now());
    let encoding = move || Ok::<_, ApiError>(ingest::retry(&store, &record, now)?);
    app.ingest_pool.run(encoding).await?.await?;
    Ok(Success::new("Rejected record stored", outcome(id)))
}

/// Deletes a rejected record.
///
/// # Errors
/// [`ApiError`]
pub async fn delete(
    State(app): State<App>,
    Admin(_): Admin,
    id: Result<Path<String>, PathRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let id = read_path(&ID, id)?;
    if !app.store.delete_rejected(id).await? {
        return Err(ApiError::NotFound);
    }
    Ok(Success::new("Rejected record deleted", outcome(id)))
}

async fn find(app: &App, id: RejectedId) -> Result<StoredRejected, ApiError> {
    let found = app.store.rejected(id).await?;
    found.ok_or(ApiError::NotFound)
}

fn outcome(id: RejectedId) -> RejectedOutcome {
    RejectedOutcome { id: id.to_string() }
}

fn encode_cursor(cursor: RejectedCursor) -> String {
    let micros = cursor.received_at.unix_micros();
    URL_SAFE_NO_PAD.encode(format!("{micros}:{}", cursor.id))
}

fn decode_cursor(text: &str) -> Option<RejectedCursor> {
    let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (micros, id) = decoded.split_once(':')?;
    Some(RejectedCursor {
        received_at: UtcInstant::from_unix_micros(micros.parse().ok()?)?,
        id: id.parse().ok()?,
    })
}

impl From<RejectedSummary> for RejectedResponse {
    fn from(record: RejectedSummary) -> Self {
        Self {
            id: record.id.to_string(),
            batch_id: record.id.batch,
            position: record.id.position,
            received_at: record.received_at,
            reason: record.reason,
            header_bytes: record.header_bytes,
            body_bytes: record.body_bytes,
            truncated: record.truncated,
            content: None,
        }
    }
}

impl From<StoredRejected> for RejectedResponse {
    fn from(record: StoredRejected) -> Self {
        let (header_text, header_base64) = text_or_base64(record.header);
        let (body_text, body_base64) = text_or_base64(record.body);
        Self {
            content: Some(RejectedContent {
                header_text,
                header_base64,
                body_text,
                body_base64,
            }),
            ..record.summary.into()
        }
    }
}

fn text_or_base64(bytes: Vec<u8>) -> (Option<String>, Option<String>) {
    match String::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
    }
}

impl From<RetryError> for ApiError {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::Store(error) => error.into(),
            RetryError::Truncated | RetryError::Rejected(_) | RetryError::Expired => {
                Self::Invalid(vec![InvalidValue::value(error.to_string()).of_field("id")])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encoded_cursors_are_decoded() {
        let id: RejectedId = "0198a3c5-7f00-7000-8000-000000000003:7".parse().unwrap();
        let cursor = RejectedCursor {
            received_at: UtcInstant::from_unix_micros(1_772_366_400_000_001).unwrap(),
            id,
        };
        assert_eq!(decode_cursor(&encode_cursor(cursor)), Some(cursor));
        for noise in ["", "x", "MTIz", "OjA", "!!!!"] {
            assert_eq!(decode_cursor(noise), None, "{noise}");
        }
        for other in [
            "0198A3C5-7f00-7000-8000-000000000003:7",
            "0198a3c5-7f00-7000-8000-000000000003:07",
            "0198a3c5-7f00-7000-8000-000000000003:-1",
            "0198a3c5-7f00-7000-8000-000000000003:2147483648",
            "0198a3c5-7f00-7000-8000-000000000003",
        ] {
            assert!(other.parse::<RejectedId>().is_err(), "{other}");
        }
    }
}

//! `GET /admin/gaps`: losses that producers reported.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dossier_wire::GapReason;
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{cut_page, read_page};
use crate::api::query::fields::{EXPECTED_CURSOR, PAGE_SIZE};
use crate::api::request::{Encoded, Field, Request};
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::http::extract::Admin;
use crate::http::wire_schemas;
use crate::model::ids::BatchId;
use crate::store::StoredGap;

pub(in crate::api) static GAP_LIST: Request = Request {
    name: "GapList",
    groups: &[&[&PAGE_SIZE, &CURSOR]],
    example: &[&PAGE_SIZE],
};

static CURSOR: Field<Encoded<i64>> = Field {
    name: "cursor",
    kind: Encoded {
        max_bytes: 32,
        expected: EXPECTED_CURSOR,
        decode: decode_cursor,
    },
    description: "`next_cursor` of the previous page.",
    example: || json!(encode_cursor(7)),
};

/// A page of reported losses, the latest first.
#[derive(Serialize, ToSchema)]
#[schema(as = GapPage)]
pub(in crate::api) struct GapPage {
    gaps: Vec<GapResponse>,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A loss that a producer reported.
#[derive(Serialize, ToSchema)]
#[schema(as = Gap)]
struct GapResponse {
    /// The batch that reported it.
    #[schema(value_type = uuid::Uuid)]
    batch_id: BatchId,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    received_at: OffsetDateTime,
    #[schema(schema_with = wire_schemas::gap_reason)]
    reason: GapReason,
    /// Lost records; one that lost only its body is not counted.
    records: i64,
    /// Lost bytes of bodies.
    bytes: i64,
    /// When the first loss occurred.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    first_at: OffsetDateTime,
    /// When the last loss occurred.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    last_at: OffsetDateTime,
}

/// Reported losses of all producers.
///
/// # Errors
/// [`ApiError`]
pub async fn list(
    State(app): State<App>,
    Admin(_): Admin,
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let (before, page_size) = read_page(parameters, &GAP_LIST, &CURSOR)?;
    let found = app.store.list_gaps(before, page_size).await?;
    let (gaps, has_more) = cut_page(found, page_size);
    let last = gaps.last().filter(|_| has_more).map(|gap| gap.id);
    let page = GapPage {
        gaps: gaps.into_iter().map(GapResponse::from).collect(),
        has_more,
        next_cursor: last.map(encode_cursor),
    };
    Ok(Success::new("Gaps retrieved", page))
}

fn encode_cursor(id: i64) -> String {
    URL_SAFE_NO_PAD.encode(id.to_string())
}

fn decode_cursor(text: &str) -> Option<i64> {
    let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    decoded.parse().ok()
}

impl From<StoredGap> for GapResponse {
    fn from(gap: StoredGap) -> Self {
        Self {
            batch_id: gap.batch,
            received_at: gap.received_at,
            reason: gap.reason,
            records: gap.records,
            bytes: gap.bytes,
            first_at: gap.first_at,
            last_at: gap.last_at,
        }
    }
}

//! `POST /storage/query`: pages of entries.

pub(super) mod answer;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dossier_wire::Half;
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;

use self::answer::Page;
use super::MAX_REQUEST_BYTES;
use super::fields::{DayEdge, Fields};
use crate::app::App;
use crate::http::auth::Reader;
use crate::http::envelope::{Severity, Success, Warning};
use crate::http::error::ApiError;
use crate::model::endpoint::normalise;
use crate::model::ids::{EntryId, ExchangeId, SessionId, UserId};
use crate::store::{Cursor, EntryFilter, Order, PageRequest, Parts, Start};

pub(super) const KNOWN: &[&str] = &[
    "storage_type",
    "type",
    "endpoint",
    "start_date",
    "end_date",
    "session_id",
    "exchange_id",
    "status",
    "method",
    "user_id",
    "page",
    "page_size",
    "cursor",
    "order",
    "include",
];
pub(super) const ORDERS: &[(&str, Order)] =
    &[("desc", Order::Descending), ("asc", Order::Ascending)];
const DEFAULT_PAGE_SIZE: u8 = 20;
const MAX_PAGE_SIZE: u8 = 100;
/// Pages by number cost as much as all that stands before them; deeper ones go by cursor.
const MAX_PAGE: i64 = 10_000;
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// A request, complete and checked.
struct Query {
    wanted: PageRequest,
    page_number: i64,
    warnings: Vec<Warning>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Include {
    Data,
    Headers,
}

/// Finds the caller's entries.
///
/// # Errors
/// [`ApiError`]
pub async fn query(
    State(app): State<App>,
    reader: Reader,
    body: Result<Bytes, BytesRejection>,
) -> Result<Success<impl Serialize>, ApiError> {
    let body = body.map_err(|_| ApiError::TooLarge(MAX_REQUEST_BYTES))?;
    let query = Query::parse(&body, &reader)?;
    let page = app
        .store
        .find_entries(&query.wanted, app.clock.now())
        .await?;
    let data = Page::of(page, &query)?;
    Ok(Success::new("Storage entries retrieved", data).with_warnings(query.warnings))
}

impl Query {
    fn parse(body: &[u8], reader: &Reader) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body, KNOWN)?;
        let mut warnings = Vec::new();
        let filter = read_filter(&mut fields, &mut warnings);
        let user = fields
            .text("user_id", UserId::MAX_BYTES)
            .and_then(|text| UserId::new(text).ok());
        let order = fields.choice("order", ORDERS).unwrap_or_default();
        let page_size = read_page_size(&mut fields);
        let page = read_page_number(&mut fields);
        let start = match read_cursor(&mut fields) {
            Some(cursor) => {
                if fields.has("page") {
                    warnings.push(precedence(
                        "Both cursor and page provided. Using cursor parameter.",
                    ));
                }
                Start::After(cursor)
            }
            None => Start::Offset((page - 1) * i64::from(page_size)),
        };
        let parts = read_include(&mut fields);
        fields.finish()?;
        let wanted = PageRequest {
            scope: reader.scope(user)?,
            filter,
            order,
            start,
            limit: page_size,
            parts,
        };
        Ok(Self {
            wanted,
            page_number: page,
            warnings,
        })
    }
}

pub(super) fn read_filter(fields: &mut Fields, warnings: &mut Vec<Warning>) -> EntryFilter {
    let from = fields.instant("start_date", DayEdge::Start);
    let to = fields.instant("end_date", DayEdge::End);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        fields.error(
            "start_date",
            "start_date lies after end_date",
            "value_error",
        );
    }
    EntryFilter {
        half: read_half(fields, warnings),
        endpoint: read_endpoint(fields, warnings),
        from,
        to,
        session: fields.uuid("session_id").map(SessionId),
        exchange: fields.uuid("exchange_id").map(ExchangeId),
        status: fields
            .integer("status", 100, 599)
            .and_then(|status| i16::try_from(status).ok()),
        method: fields
            .text("method", 64)
            .map(|method| method.to_ascii_uppercase()),
    }
}

fn read_half(fields: &mut Fields, warnings: &mut Vec<Warning>) -> Option<Half> {
    let choices = [
        ("request", Some(Half::Request)),
        ("response", Some(Half::Response)),
        ("both", None),
    ];
    let by_alias = fields.choice("type", &choices);
    let by_name = fields.choice("storage_type", &choices);
    if by_alias.is_some() && by_name.is_some() {
        warnings.push(precedence(
            "Both storage_type and type provided. Using storage_type parameter.",
        ));
    }
    by_name.or(by_alias).flatten()
}

fn read_endpoint(fields: &mut Fields, warnings: &mut Vec<Warning>) -> Option<String> {
    let given = fields.text("endpoint", MAX_TEXT_BYTES)?;
    let normal = normalise(&given).into_owned();
    if normal != given {
        warnings.push(Warning {
            code: "ENDPOINT_NORMALIZED",
            message: format!("Endpoint {given} was looked up as {normal}."),
            severity: Severity::Low,
            details: Some(json!({"original": given, "normalized": normal})),
        });
    }
    Some(normal)
}

pub(super) fn read_page_size(fields: &mut Fields) -> u8 {
    fields
        .integer("page_size", 1, MAX_PAGE_SIZE.into())
        .and_then(|size| u8::try_from(size).ok())
        .unwrap_or(DEFAULT_PAGE_SIZE)
}

pub(super) fn read_page_number(fields: &mut Fields) -> i64 {
    fields.integer("page", 1, MAX_PAGE).unwrap_or(1)
}

fn read_cursor(fields: &mut Fields) -> Option<Cursor> {
    let text = fields.text("cursor", 256)?;
    let cursor = decode_cursor(&text);
    if cursor.is_none() {
        fields.error(
            "cursor",
            "expected a next_cursor of an earlier answer, unchanged",
            "value_error",
        );
    }
    cursor
}

pub(super) fn read_include(fields: &mut Fields) -> Parts {
    let choices = [("data", Include::Data), ("headers", Include::Headers)];
    let included = fields
        .choices("include", &choices)
        .unwrap_or_else(|| vec![Include::Data]);
    Parts {
        bodies: included.contains(&Include::Data),
        headers: included.contains(&Include::Headers),
    }
}

fn encode_cursor(cursor: Cursor) -> String {
    let micros = cursor.created_at.unix_timestamp_nanos() / 1000;
    URL_SAFE_NO_PAD.encode(format!("{micros}:{}", cursor.id.0))
}

fn decode_cursor(text: &str) -> Option<Cursor> {
    let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (micros, id) = decoded.split_once(':')?;
    let nanos = micros.parse::<i128>().ok()?.checked_mul(1000)?;
    Some(Cursor {
        created_at: OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?,
        id: EntryId(id.parse().ok()?),
    })
}

pub(super) fn precedence(message: &str) -> Warning {
    Warning {
        code: "PARAMETER_PRECEDENCE",
        message: message.to_owned(),
        severity: Severity::Low,
        details: None,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_cursor_comes_back_and_noise_does_not() {
        let cursor = Cursor {
            created_at: datetime!(2026-01-02 03:04:05.678_901 UTC),
            id: EntryId(42),
        };
        assert_eq!(decode_cursor(&encode_cursor(cursor)), Some(cursor));
        for noise in ["", "x", "MTIz", "OjA", "!!!!", &"A".repeat(200)] {
            assert_eq!(decode_cursor(noise), None, "{noise}");
        }
    }
}

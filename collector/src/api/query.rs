//! `POST /storage/query`: pages of entries.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dossier_wire::Half;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::MAX_REQUEST_BYTES;
use super::fields::{DayEdge, Fields};
use crate::app::App;
use crate::http::auth::Reader;
use crate::http::envelope::{Severity, Success, Warning};
use crate::http::error::ApiError;
use crate::model::body::{Shown, show, unpack};
use crate::model::endpoint::normalise;
use crate::model::entry::{BodyState, Entry, Expiry};
use crate::model::ids::{EntryId, ExchangeId, SessionId, UserId};
use crate::store::{Cursor, EntryFilter, EntryPage, Order, PageRequest, Start, Total};

const KNOWN: &[&str] = &[
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
        let order = fields
            .choice(
                "order",
                &[("desc", Order::Descending), ("asc", Order::Ascending)],
            )
            .unwrap_or_default();
        let page_size = fields.integer("page_size", 1, MAX_PAGE_SIZE.into());
        let page_size = page_size
            .and_then(|size| u8::try_from(size).ok())
            .unwrap_or(DEFAULT_PAGE_SIZE);
        let page = fields.integer("page", 1, MAX_PAGE).unwrap_or(1);
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
        let include = fields.choices("include", &[("data", Include::Data)]);
        fields.finish()?;
        let wanted = PageRequest {
            scope: reader.scope(user)?,
            filter,
            order,
            start,
            limit: page_size,
            with_bodies: include.is_none_or(|parts| parts.contains(&Include::Data)),
        };
        Ok(Self {
            wanted,
            page_number: page,
            warnings,
        })
    }
}

fn read_filter(fields: &mut Fields, warnings: &mut Vec<Warning>) -> EntryFilter {
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

fn precedence(message: &str) -> Warning {
    Warning {
        code: "PARAMETER_PRECEDENCE",
        message: message.to_owned(),
        severity: Severity::Low,
        details: None,
    }
}

#[derive(Serialize)]
struct Page {
    items: Vec<Item>,
    total: i64,
    total_exact: bool,
    #[serde(rename = "page")]
    number: i64,
    #[serde(rename = "page_size")]
    size: u8,
    has_more: bool,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Item {
    id: EntryId,
    #[serde(rename = "type")]
    half: Half,
    endpoint: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    ttl: Option<OffsetDateTime>,
    storage_info: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    user_id: UserId,
    exchange_id: ExchangeId,
    method: String,
    path: String,
    status: Option<i16>,
    content: Content,
}

#[derive(Serialize)]
struct Content {
    #[serde(rename = "type")]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'static str>,
    encoding: Option<String>,
    size: i64,
    stored_size: i32,
    truncated: bool,
    completion: &'static str,
}

impl Page {
    fn of(page: EntryPage, query: &Query) -> Result<Self, ApiError> {
        let last = page.entries.last().map(|entry| Cursor {
            created_at: entry.created_at,
            id: entry.id,
        });
        let (total, total_exact) = match page.total {
            Total::Exact(total) => (total, true),
            Total::AtLeast(total) => (total, false),
        };
        Ok(Self {
            items: page
                .entries
                .into_iter()
                .map(|entry| Item::of(entry, query.wanted.with_bodies))
                .collect::<Result<_, _>>()?,
            total,
            total_exact,
            number: query.page_number,
            size: query.wanted.limit,
            has_more: page.has_more,
            next_cursor: last.filter(|_| page.has_more).map(encode_cursor),
        })
    }
}

impl Item {
    fn of(mut entry: Entry, with_data: bool) -> Result<Self, ApiError> {
        let shown = if with_data {
            Some(shown(&mut entry)?)
        } else {
            None
        };
        let mut storage_info = entry.metadata;
        if let Some(session) = entry.session {
            storage_info.insert("session_id".to_owned(), json!(session));
        }
        let content = Content {
            form: shown.as_ref().map(Data::form),
            missing: shown.as_ref().and_then(Data::missing),
            media_type: entry.content_type,
            encoding: entry.content_encoding,
            size: entry.body_size,
            stored_size: entry.stored_size,
            truncated: entry.truncated,
            completion: entry.completion.as_str(),
        };
        Ok(Self {
            id: entry.id,
            half: entry.half,
            endpoint: entry.endpoint,
            created_at: entry.created_at,
            ttl: match entry.expires {
                Expiry::At(at) => Some(at),
                Expiry::Never => None,
            },
            storage_info,
            data: shown.map(Data::into_json).transpose()?,
            user_id: entry.user,
            exchange_id: entry.exchange,
            method: entry.method,
            path: entry.path,
            status: entry.status,
            content,
        })
    }
}

/// What stands under `data`.
enum Data {
    Body(Shown),
    Empty,
    Missing(&'static str),
}

fn shown(entry: &mut Entry) -> Result<Data, ApiError> {
    Ok(match (entry.body_state, entry.body.take()) {
        (BodyState::Empty, _) => Data::Empty,
        (BodyState::Dropped, _) => Data::Missing("dropped"),
        (BodyState::Stored, None) => Data::Missing("expired"),
        (BodyState::Stored, Some(body)) => {
            let bytes =
                unpack(body.codec, body.data).map_err(|error| ApiError::internal("body", error))?;
            let encoding = entry.content_encoding.as_deref();
            Data::Body(show(
                bytes,
                entry.content_type.as_deref(),
                encoding,
                entry.truncated,
            ))
        }
    })
}

impl Data {
    const fn form(&self) -> &'static str {
        match self {
            Self::Body(shown) => shown.form(),
            Self::Empty => "empty",
            Self::Missing(_) => "missing",
        }
    }

    const fn missing(&self) -> Option<&'static str> {
        match self {
            Self::Missing(reason) => Some(reason),
            Self::Body(_) | Self::Empty => None,
        }
    }

    fn into_json(self) -> Result<Box<RawValue>, ApiError> {
        match self {
            Self::Body(Shown::Json(json)) => Ok(json),
            Self::Body(Shown::Text(text) | Shown::Binary(text)) => to_raw_value(&text),
            Self::Empty | Self::Missing(_) => to_raw_value(&Value::Null),
        }
        .map_err(|error| ApiError::internal("body", error))
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

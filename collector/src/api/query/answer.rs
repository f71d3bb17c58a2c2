//! What a query is answered: a page of entries, their bodies in the form in which they are readable.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dossier_wire::{Half, HeaderField};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Query;
use super::cursor::Token;
use crate::http::error::ApiError;
use crate::http::wire_schemas::{half, pairs};
use crate::model::entry::{BodyState, Entry, Expiry, ProxyInfo};
use crate::model::ids::{EntryId, ExchangeId, UserId};
use crate::store::{EntryCursor, EntryPage, EntryParts, Total};
use dossier_body::{RenderBudget, RenderedBody, Truncation, render, unpack};

/// A page of entries.
#[derive(Serialize, ToSchema)]
#[schema(as = EntryPage)]
pub(in crate::api) struct Page {
    items: Vec<Item>,
    /// How many entries pass the filters.
    total: i64,
    /// False if there are more than `total` says.
    total_exact: bool,
    #[serde(rename = "page")]
    number: i64,
    #[serde(rename = "page_size")]
    size: u8,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One half of an exchange.
#[derive(Serialize, ToSchema)]
#[schema(as = Entry)]
pub(in crate::api) struct Item {
    #[schema(value_type = i64, minimum = 1)]
    id: EntryId,
    #[serde(rename = "type")]
    #[schema(schema_with = half)]
    half: Half,
    endpoint: String,
    /// When this half began.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
    /// When the entry goes; null if it stays until it is deleted.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime, required)]
    ttl: Option<OffsetDateTime>,
    /// The metadata that was recorded, and `session_id` if the entry belongs to a session.
    #[schema(value_type = Object)]
    storage_info: Map<String, Value>,
    /// The body, as `content.form` says; left out unless it was included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = pairs)]
    headers: Option<Vec<HeaderField<'static>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = pairs)]
    trailers: Option<Vec<HeaderField<'static>>>,
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = uuid::Uuid)]
    exchange_id: ExchangeId,
    method: String,
    /// Without the query.
    path: String,
    #[schema(required)]
    status: Option<i16>,
    content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<Proxy>,
}

/// What the proxy says of the exchange; it is left out when it says nothing.
#[derive(Serialize, ToSchema)]
struct Proxy {
    /// Envoy's response flags, as bits.
    response_flags: i64,
    #[schema(value_type = Option<String>, required)]
    response_details: Option<Cow<'static, str>>,
    #[schema(value_type = Option<String>, required)]
    upstream_host: Option<Cow<'static, str>>,
    #[schema(value_type = Option<String>, required)]
    workload: Option<Cow<'static, str>>,
}

/// What is known of a body.
#[derive(Serialize, ToSchema)]
struct Content {
    /// The `content-type` that was sent.
    #[serde(rename = "type")]
    #[schema(required)]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// What stands under `data`: `json`, `text`, `events`, `grpc`, `binary` (base64), `empty` or `missing`.
    form: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Why the body is not here: `expired`, `dropped`, `not_captured`, `unreadable`, or `page_full` if the
    /// bodies before it fill the answer.
    missing: Option<&'static str>,
    /// With `page_full`: the path of the whole body.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_at: Option<String>,
    /// Why what is shown is not the body as its sender meant it: `over_limit` (this is its beginning, there
    /// is no room for more), `broken_off` (its bytes end early) or `not_decoded` (they are still encoded).
    #[serde(skip_serializing_if = "Option::is_none")]
    caveat: Option<&'static str>,
    /// The `content-encoding` that was sent.
    #[schema(required)]
    encoding: Option<String>,
    /// The content encoding was undone before the body was stored.
    decoded: bool,
    /// Bytes that were sent.
    size: i64,
    /// Bytes that the body takes in the store.
    stored_size: i32,
    /// Only the beginning was kept.
    truncated: bool,
    /// How the exchange ended: `complete`, `client_aborted`, `upstream_reset`, `local_reply` or `timeout`.
    completion: &'static str,
    /// How many values were redacted.
    redactions: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    redactions_by_rule: Option<BTreeMap<String, u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl Page {
    /// Shows what was found for a query.
    pub(super) fn of(page: EntryPage, query: &Query) -> Result<Self, ApiError> {
        let last = page.entries.last().map(|entry| Token {
            cursor: EntryCursor {
                created_at: entry.created_at,
                id: entry.id,
            },
            total: page.total,
            query_fingerprint: query.fingerprint,
        });
        let (total, total_exact) = match page.total {
            Total::Exact(total) => (total, true),
            Total::AtLeast(total) => (total, false),
        };
        let mut budget = RenderBudget::default();
        Ok(Self {
            items: page
                .entries
                .into_iter()
                .map(|entry| Item::of(entry, query.wanted.parts, &mut budget))
                .collect::<Result<_, _>>()?,
            total,
            total_exact,
            number: query.page_number,
            size: query.wanted.limit,
            has_more: page.has_more,
            next_cursor: last.filter(|_| page.has_more).map(Token::encode),
        })
    }
}

impl Item {
    /// Shows all of an entry: also what its redactions were, and the hash of its body.
    pub(in crate::api) fn whole(
        mut entry: Entry,
        budget: &mut RenderBudget,
    ) -> Result<Self, ApiError> {
        let by_rule = std::mem::take(&mut entry.redactions);
        let sha256 = entry.sha256.map(|bytes| hexadecimal(&bytes));
        let mut item = Self::of(entry, EntryParts::ALL, budget)?;
        item.content.redactions = sum(&by_rule);
        item.content.redactions_by_rule = Some(by_rule);
        item.content.sha256 = sha256;
        Ok(item)
    }

    /// Shows an entry.
    pub(in crate::api) fn of(
        mut entry: Entry,
        parts: EntryParts,
        budget: &mut RenderBudget,
    ) -> Result<Self, ApiError> {
        let shown = if parts.bodies {
            Some(render_data(&mut entry, budget)?)
        } else {
            None
        };
        let mut storage_info = entry.metadata;
        if let Some(session) = entry.session {
            storage_info.insert("session_id".to_owned(), json!(session));
        }
        let left_out = matches!(shown, Some(Data::LeftOut));
        let content = Content {
            body_at: left_out.then(|| format!("/storage/entries/{}/body", entry.id.0)),
            form: shown.as_ref().map(Data::form),
            missing: shown.as_ref().and_then(Data::missing),
            caveat: shown.as_ref().and_then(Data::caveat),
            media_type: entry.content_type,
            encoding: entry.content_encoding,
            decoded: entry.decoded,
            size: entry.body_size,
            stored_size: entry.stored_size,
            truncated: entry.truncated,
            completion: entry.completion.as_str(),
            redactions: sum(&entry.redactions),
            redactions_by_rule: None,
            sha256: None,
        };
        let (headers, trailers) = entry
            .headers
            .map(|headers| (headers.leading, headers.trailing))
            .unzip();
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
            headers,
            trailers,
            user_id: entry.user,
            exchange_id: entry.exchange,
            method: entry.method,
            path: entry.path,
            status: entry.status,
            content,
            proxy: Proxy::of(entry.proxy),
        })
    }
}

fn sum(redactions: &BTreeMap<String, u32>) -> u64 {
    redactions.values().copied().map(u64::from).sum()
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

impl Proxy {
    fn of(proxy: ProxyInfo<'static>) -> Option<Self> {
        (proxy != ProxyInfo::default()).then_some(Self {
            response_flags: proxy.flags,
            response_details: proxy.details,
            upstream_host: proxy.upstream_host,
            workload: proxy.workload,
        })
    }
}

/// What stands under `data`.
enum Data {
    Body(RenderedBody),
    Empty,
    Missing(&'static str),
    /// The bodies before it on the page are too large together.
    LeftOut,
}

fn render_data(entry: &mut Entry, budget: &mut RenderBudget) -> Result<Data, ApiError> {
    Ok(match (entry.body_state, entry.body.take()) {
        (BodyState::Empty, _) => Data::Empty,
        (BodyState::Missing(reason), _) => Data::Missing(reason.as_str()),
        (BodyState::Stored, None) if entry.body_left_out => Data::LeftOut,
        (BodyState::Stored, None) => Data::Missing("expired"),
        (BodyState::Stored, Some(_)) if budget.is_exhausted() => Data::LeftOut,
        (BodyState::Stored, Some(body)) => {
            let bytes =
                unpack(body.codec, body.data).map_err(|error| ApiError::internal("body", error))?;
            let encoding = entry.content_encoding.as_deref().filter(|_| !entry.decoded);
            let content_type = entry.content_type.as_deref();
            let rendered = render(bytes, content_type, encoding, entry.truncated, budget);
            Data::Body(rendered.map_err(|error| ApiError::internal("body", error))?)
        }
    })
}

impl Data {
    const fn form(&self) -> &'static str {
        match self {
            Self::Body(body) => body.form,
            Self::Empty => "empty",
            Self::Missing(_) | Self::LeftOut => "missing",
        }
    }

    const fn missing(&self) -> Option<&'static str> {
        match self {
            Self::Missing(reason) => Some(reason),
            Self::LeftOut => Some("page_full"),
            Self::Body(_) | Self::Empty => None,
        }
    }

    fn caveat(&self) -> Option<&'static str> {
        match self {
            Self::Body(body) => body.truncation.map(Truncation::as_str),
            Self::Empty | Self::Missing(_) | Self::LeftOut => None,
        }
    }

    fn into_json(self) -> Result<Box<RawValue>, ApiError> {
        match self {
            Self::Body(body) => Ok(body.data),
            Self::Empty | Self::Missing(_) | Self::LeftOut => {
                to_raw_value(&Value::Null).map_err(|error| ApiError::internal("body", error))
            }
        }
    }
}

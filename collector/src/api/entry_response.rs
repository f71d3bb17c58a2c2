//! An entry as JSON: alone, or on a page of entries, of sessions, or of an exchange.

mod body_data;

use std::borrow::Cow;
use std::collections::BTreeMap;

use dossier_body::RenderBudget;
use dossier_wire::{Half, HeaderField, TruncatedFields};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use self::body_data::BodyData;
use crate::http::error::ApiError;
use crate::http::wire_schemas::{half, pairs, truncated_fields};
use crate::model::entry::{Entry, Expiry, ProxyInfo};
use crate::model::ids::{EntryId, ExchangeId, UserId};
use crate::store::EntryParts;

/// One half of an exchange.
#[derive(Serialize, ToSchema)]
#[schema(as = Entry)]
pub(super) struct EntryResponse {
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
    /// When the entry expires; null if it stays until it is deleted.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime, required)]
    ttl: Option<OffsetDateTime>,
    /// The recorded metadata, and `session_id` if the entry belongs to a session.
    #[schema(value_type = Object)]
    storage_info: Map<String, Value>,
    /// The body, in the form that `content.form` names; absent unless it was included.
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
    /// Without the question mark, as it was redacted.
    #[schema(required)]
    query: Option<String>,
    /// `:authority` or `Host`.
    #[schema(required)]
    host: Option<String>,
    /// Name of the proxy's route.
    #[schema(required)]
    route: Option<String>,
    /// `x-request-id`.
    #[schema(required)]
    request_id: Option<String>,
    #[schema(required)]
    traceparent: Option<String>,
    #[schema(required)]
    status: Option<i16>,
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(schema_with = truncated_fields, required = false)]
    truncated_fields: TruncatedFields,
    timing: Timing,
    content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<Proxy>,
}

/// When the exchange and this half of it took place.
#[derive(Serialize, ToSchema)]
struct Timing {
    /// When the request began.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    started_at: OffsetDateTime,
    /// When the first byte of this half was seen.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    first_byte_at: OffsetDateTime,
    /// When this half ended.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    ended_at: OffsetDateTime,
    /// From `started_at` to `ended_at`, in milliseconds: of a response, what the whole exchange took.
    duration_ms: f64,
}

/// What the proxy reported about the exchange; absent if it reported nothing.
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

/// About the body.
#[derive(Serialize, ToSchema)]
struct Content {
    /// The `content-type` that was sent.
    #[serde(rename = "type")]
    #[schema(required)]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The form of `data`: `json`, `text`, `events`, `grpc`, `multipart`, `binary` (base64), `empty` or `missing`.
    form: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Why the body is missing: `expired`, `dropped`, `not_captured`, `unreadable`, or `page_full` if the
    /// bodies before it fill the response.
    missing: Option<&'static str>,
    /// With `page_full`: the path of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_at: Option<String>,
    /// Why `data` is not the complete, decoded body: `over_limit` (it is cut at the size limit),
    /// `broken_off` (its bytes end early), `not_decoded` (its bytes are still encoded) or `not_portable` (it is
    /// JSON that not every parser reads, with half a surrogate pair, a number beyond the range of a double, or more
    /// than 100 levels: shown as text).
    #[serde(skip_serializing_if = "Option::is_none")]
    caveat: Option<&'static str>,
    /// The `content-encoding` that was sent.
    #[schema(required)]
    encoding: Option<String>,
    /// The content encoding was removed before the body was stored.
    decoded: bool,
    /// Bytes of the body as it was sent.
    size: i64,
    /// Bytes of the body in the database.
    stored_size: i32,
    /// Only the beginning of the body was recorded.
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

impl EntryResponse {
    /// All that is known of an entry: also the redactions by rule and the hash of the body.
    pub(super) fn complete(mut entry: Entry, budget: &mut RenderBudget) -> Result<Self, ApiError> {
        let by_rule = std::mem::take(&mut entry.redactions);
        let sha256 = entry.sha256.map(|bytes| hexadecimal(&bytes));
        let mut response = Self::new(entry, EntryParts::ALL, budget)?;
        response.content.redactions = sum(&by_rule);
        response.content.redactions_by_rule = Some(by_rule);
        response.content.sha256 = sha256;
        Ok(response)
    }

    pub(super) fn new(
        mut entry: Entry,
        parts: EntryParts,
        budget: &mut RenderBudget,
    ) -> Result<Self, ApiError> {
        let body = parts.bodies.then(|| BodyData::take(&mut entry, budget));
        let body = body.transpose()?;
        let content = Content::new(&mut entry, body.as_ref());
        let headers = entry.headers;
        let (headers, trailers) = headers.map(|it| (it.leading, it.trailing)).unzip();
        let mut storage_info = entry.metadata;
        if let Some(session) = entry.session {
            storage_info.insert("session_id".to_owned(), json!(session));
        }
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
            data: body.map(BodyData::into_json).transpose()?,
            headers,
            trailers,
            user_id: entry.user,
            exchange_id: entry.exchange,
            method: entry.method,
            path: entry.path,
            query: entry.query,
            host: entry.host,
            route: entry.route,
            request_id: entry.request_id,
            traceparent: entry.traceparent,
            status: entry.status,
            truncated_fields: entry.truncated_fields,
            timing: Timing {
                started_at: entry.started_at,
                first_byte_at: entry.created_at,
                ended_at: entry.ended_at,
                duration_ms: milliseconds(entry.ended_at - entry.started_at),
            },
            content,
            proxy: Proxy::new(entry.proxy),
        })
    }
}

impl Content {
    /// Takes what it holds out of the entry.
    fn new(entry: &mut Entry, body: Option<&BodyData>) -> Self {
        let body_at = format!("/storage/entries/{}/body", entry.id.0);
        Self {
            body_at: Some(body_at).filter(|_| body.is_some_and(BodyData::is_over_page)),
            form: body.map(BodyData::form),
            missing: body.and_then(BodyData::missing),
            caveat: body.and_then(BodyData::caveat),
            media_type: entry.content_type.take(),
            encoding: entry.content_encoding.take(),
            decoded: entry.decoded,
            size: entry.body_size,
            stored_size: entry.stored_size,
            truncated: entry.truncated,
            completion: entry.completion.into(),
            redactions: sum(&entry.redactions),
            redactions_by_rule: None,
            sha256: None,
        }
    }
}

impl Proxy {
    /// None if the proxy reported nothing.
    fn new(proxy: ProxyInfo<'static>) -> Option<Self> {
        (proxy != ProxyInfo::default()).then_some(Self {
            response_flags: proxy.flags,
            response_details: proxy.details,
            upstream_host: proxy.upstream_host,
            workload: proxy.workload,
        })
    }
}

/// As serde wants it.
#[expect(clippy::trivially_copy_pass_by_ref)]
const fn is_empty(fields: &TruncatedFields) -> bool {
    fields.is_empty()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a double holds the microseconds of 285 years"
)]
fn milliseconds(duration: Duration) -> f64 {
    duration.whole_microseconds() as f64 / 1000.0
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

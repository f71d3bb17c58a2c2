//! Decodes the row of an entry.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dossier_wire::{Completion, HeaderField, TruncatedFields};
use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::EntryParts;
use crate::model::entry::{BodyState, Entry, Expiry, Headers, ProxyInfo};
use crate::model::ids::{EntryId, ExchangeId, SessionId};
use crate::store::StoreError;
use crate::store::columns::{half, stored_body, user_id};
use dossier_body::dictionary::{Dictionary, DictionaryId};

/// Decodes a row that was selected with these parts. `dictionaries` has the one that its body needs.
pub(super) fn decode(
    row: &PgRow,
    parts: EntryParts,
    dictionaries: &HashMap<DictionaryId, Arc<Dictionary>>,
) -> Result<Entry, StoreError> {
    let Json(metadata): Json<Map<String, Value>> = row.try_get("metadata")?;
    let ttl: Option<OffsetDateTime> = row.try_get("ttl")?;
    let session: Option<Uuid> = row.try_get("session_id")?;
    Ok(Entry {
        id: EntryId(row.try_get("id")?),
        user: user_id(row.try_get("user_id")?)?,
        exchange: ExchangeId(row.try_get("exchange_id")?),
        session: session.map(SessionId),
        half: half(row.try_get("half")?)?,
        endpoint: row.try_get("endpoint")?,
        method: row.try_get("method")?,
        path: row.try_get("path")?,
        query: row.try_get("query")?,
        host: row.try_get("host")?,
        route: row.try_get("route")?,
        request_id: row.try_get("request_id")?,
        traceparent: row.try_get("traceparent")?,
        status: row.try_get("status")?,
        metadata,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
        expires: ttl.map_or(Expiry::Never, Expiry::At),
        body_size: row.try_get("body_size")?,
        stored_size: row.try_get("stored_size")?,
        body_state: body_state(row.try_get("body_state")?)?,
        content_type: row.try_get("content_type")?,
        content_encoding: row.try_get("content_encoding")?,
        decoded: row.try_get("body_decoded")?,
        sha256: sha256(row)?,
        truncated: row.try_get("truncated")?,
        truncated_fields: truncated_fields(row)?,
        redactions: redactions(row)?,
        completion: completion(row.try_get("completion")?)?,
        proxy: proxy_info(row)?,
        headers: parts.headers.then(|| headers(row)).transpose()?,
        body: if parts.bodies {
            stored_body(row, dictionaries)?
        } else {
            None
        },
        body_left_out: parts.bodies && row.try_get("body_left_out")?,
    })
}

fn truncated_fields(row: &PgRow) -> Result<TruncatedFields, StoreError> {
    let fields: Option<Json<TruncatedFields>> = row.try_get("truncated_fields")?;
    Ok(fields.map_or_else(TruncatedFields::default, |Json(fields)| fields))
}

fn redactions(row: &PgRow) -> Result<BTreeMap<String, u32>, StoreError> {
    let by_rule: Option<Json<BTreeMap<String, u32>>> = row.try_get("redactions")?;
    Ok(by_rule.map_or_else(BTreeMap::new, |Json(by_rule)| by_rule))
}

fn sha256(row: &PgRow) -> Result<Option<[u8; 32]>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get("body_sha256")?;
    let unknown_value = |_| StoreError::UnknownValue {
        column: "entries.body_sha256",
    };
    bytes
        .map(<[u8; 32]>::try_from)
        .transpose()
        .map_err(unknown_value)
}

fn proxy_info(row: &PgRow) -> Result<ProxyInfo<'static>, StoreError> {
    let text = |column| -> Result<Option<Cow<'static, str>>, StoreError> {
        let text: Option<String> = row.try_get(column)?;
        Ok(text.map(Cow::Owned))
    };
    Ok(ProxyInfo {
        flags: row.try_get("response_flags")?,
        details: text("response_details")?,
        upstream_host: text("upstream_host")?,
        workload: text("workload")?,
    })
}

fn headers(row: &PgRow) -> Result<Headers<'static>, StoreError> {
    let pairs = |column| -> Result<Vec<HeaderField<'static>>, StoreError> {
        let pairs: Option<Json<Vec<HeaderField<'static>>>> = row.try_get(column)?;
        Ok(pairs.map_or_else(Vec::new, |Json(pairs)| pairs))
    };
    Ok(Headers {
        leading: pairs("headers")?,
        trailing: pairs("trailers")?,
    })
}

fn body_state(label: &str) -> Result<BodyState, StoreError> {
    BodyState::all()
        .find(|state| state.as_str() == label)
        .ok_or(StoreError::UnknownValue {
            column: "entries.body_state",
        })
}

fn completion(label: &str) -> Result<Completion, StoreError> {
    label.parse().map_err(|_| StoreError::UnknownValue {
        column: "entries.completion",
    })
}

//! Turns the records of a batch into entries. A record that cannot be stored is rejected with the reason; the
//! other records of its batch are stored.

mod body_metadata;
mod fields;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use dossier_wire::limits::MAX_TTL_DAYS;
use dossier_wire::{FrameContent, Half, Record};
use time::OffsetDateTime;

use self::body_metadata::SearchBudget;
use self::fields::InvalidRecord;
use super::raw_record::RawRecord;
use crate::model::entry::{
    Expiry, Headers, NewBatch, NewBody, NewEntry, NewGap, PackedBody, ProxyInfo, RejectedRecord,
};
use crate::model::ids::{BatchId, ExchangeId, UserId};
use crate::model::sha256::sha256;
use dossier_body::{BodyPacker, UnpackedBody};

/// Why Postgres refuses records of a batch, by their position.
pub(super) type RefusedRecords = BTreeMap<usize, String>;

/// Sorts the records of a batch into valid ones, rejected ones and gaps.
pub(super) fn validate_batch<'a>(
    id: BatchId,
    records: impl Iterator<Item = RawRecord<'a>>,
    mut packer: BodyPacker<'_>,
    now: OffsetDateTime,
    refused: &RefusedRecords,
) -> NewBatch<'a> {
    let mut new = NewBatch {
        id,
        entries: Vec::new(),
        gaps: Vec::new(),
        rejected: Vec::new(),
    };
    let mut budget = SearchBudget::default();
    for raw in records {
        let position = raw.position;
        let content = match refused.get(&position) {
            Some(reason) => Err(reason.clone()),
            None => raw.content,
        };
        let reason = match content {
            Ok(FrameContent::Gap(gap)) => {
                new.gaps.push(NewGap { position, gap });
                continue;
            }
            Ok(FrameContent::Record(record, body)) => {
                match validate_record(*record, body, position, (&mut packer, &mut budget), now) {
                    Ok(entry) => {
                        new.entries.push(entry);
                        continue;
                    }
                    Err(invalid) => invalid.to_string(),
                }
            }
            Err(reason) => reason,
        };
        new.rejected.push(RejectedRecord {
            position,
            reason,
            header: raw.header,
            body: raw.body,
        });
    }
    new
}

fn validate_record<'a>(
    mut record: Record<'a>,
    body: &'a [u8],
    position: usize,
    (packer, budget): (&mut BodyPacker<'_>, &mut SearchBudget),
    now: OffsetDateTime,
) -> Result<NewEntry<'a>, InvalidRecord> {
    let started_at = fields::instant("started_at", record.started_at, now)?;
    let first_byte_at = fields::instant("first_byte_at", record.first_byte_at, now)?;
    body_metadata::add(&mut record, body, budget)?;
    let endpoint = fields::endpoint(Cow::clone(&record.endpoint))?;
    let body = pack_body(&record, &endpoint, body, packer, started_at)?;
    Ok(NewEntry {
        position,
        user: UserId::new(record.user_id)?,
        exchange: ExchangeId(record.exchange_id),
        half: record.half,
        endpoint,
        method: fields::text("method", record.method)?,
        path: fields::text("path", record.path)?,
        query: fields::optional("query", record.query)?,
        host: fields::optional("host", record.host)?,
        route: fields::optional("route", record.route)?,
        status: record.status.map(fields::status).transpose()?,
        metadata: fields::metadata(record.metadata)?,
        session: record
            .session
            .map(|rule| fields::session(rule, record.session_group))
            .transpose()?,
        expires: match expiry("ttl_days", started_at, record.ttl_days)? {
            Some(at) => Expiry::At(at),
            None => Expiry::Never,
        },
        created_at: match record.half {
            Half::Request => started_at,
            Half::Response => first_byte_at,
        },
        started_at,
        ended_at: fields::instant("ended_at", record.ended_at, now)?,
        body_size: fields::bigint("body_size", record.body_size)?,
        body,
        body_xxh3: record
            .body_xxh3
            .map(|digits| fields::xxh3(&digits))
            .transpose()?,
        content_type: fields::optional("content_type", record.content_type)?,
        content_encoding: fields::optional("content_encoding", record.content_encoding)?,
        decoded: record.body_decoded,
        redactions: fields::redactions(record.redactions)?,
        headers: Headers {
            leading: fields::pairs("headers", record.headers)?,
            trailing: fields::pairs("trailers", record.trailers)?,
        },
        truncated: record.truncated,
        completion: record.completion,
        proxy: ProxyInfo {
            flags: fields::bigint("response_flags", record.response_flags)?,
            details: fields::optional("response_details", record.response_details)?,
            upstream_host: fields::optional("upstream_host", record.upstream_host)?,
            workload: fields::optional("workload", record.workload)?,
        },
        request_id: fields::optional("request_id", record.request_id)?,
        traceparent: fields::optional("traceparent", record.traceparent)?,
        truncated_fields: record.truncated_fields,
    })
}

fn pack_body<'a>(
    record: &Record<'a>,
    endpoint: &str,
    body: &'a [u8],
    packer: &mut BodyPacker<'_>,
    started_at: OffsetDateTime,
) -> Result<NewBody<'a>, InvalidRecord> {
    let expires_early = early_expiry(record, started_at)?;
    match (record.body_missing, body.is_empty()) {
        (Some(reason), true) => Ok(NewBody::Missing(reason)),
        (Some(_), false) => Err(InvalidRecord::NotMissing),
        (None, true) => Ok(NewBody::Empty),
        (None, false) => {
            let encoding = record
                .content_encoding
                .as_deref()
                .filter(|_| !record.body_decoded);
            let (codec, data) = packer.pack(&UnpackedBody {
                bytes: body,
                compression: record.compress,
                encoding,
                content_type: record.content_type.as_deref(),
                endpoint,
                half: record.half,
            });
            Ok(NewBody::Stored(PackedBody {
                codec,
                data,
                sha256: sha256([body]),
                expires_early,
            }))
        }
    }
}

/// When the body expires, if before its entry.
fn early_expiry(
    record: &Record<'_>,
    started_at: OffsetDateTime,
) -> Result<Option<OffsetDateTime>, InvalidRecord> {
    let (body, entry) = (record.body_ttl_days, record.ttl_days);
    if body.zip(entry).is_some_and(|(body, entry)| body > entry) {
        return Err(InvalidRecord::BodyOutlives);
    }
    if body == entry {
        return Ok(None);
    }
    expiry("body_ttl_days", started_at, body)
}

fn expiry(
    field: &'static str,
    started_at: OffsetDateTime,
    days: Option<NonZeroU32>,
) -> Result<Option<OffsetDateTime>, InvalidRecord> {
    let Some(days) = days.map(NonZeroU32::get) else {
        return Ok(None);
    };
    if days > MAX_TTL_DAYS {
        return Err(InvalidRecord::Ttl(field));
    }
    started_at
        .checked_add(time::Duration::days(days.into()))
        .map(Some)
        .ok_or(InvalidRecord::Time(field))
}

#[cfg(test)]
mod tests;

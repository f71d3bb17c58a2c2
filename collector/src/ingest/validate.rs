//! Turns the records of a batch into entries. A record that cannot be stored is put aside with the
//! reason; the others of its batch are stored.

use std::borrow::Cow;
use std::time::Duration;

use dossier_wire::record::MAX_TTL_DAYS;
use dossier_wire::{Batch, Half, Item, Record, SessionRule};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::model::body::{Codec, pack};
use crate::model::clock::from_micros;
use crate::model::endpoint::normalise;
use crate::model::entry::{BodyState, Expiry, NewBatch, NewEntry, RejectedRecord};
use crate::model::ids::{BatchId, ExchangeId, UserId};
use crate::model::session::SessionRequest;

/// Longest text of any one field, except the user id.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// How far a producer's clock may be ahead.
const MAX_AHEAD: time::Duration = time::Duration::days(1);

/// Why a record cannot be stored. Holds no value of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Unstorable {
    #[error("user_id: {0}")]
    User(#[from] crate::model::ids::InvalidUserId),
    #[error("{0}: longer than {MAX_TEXT_BYTES} bytes")]
    TooLong(&'static str),
    #[error("{0}: holds a NUL character, which Postgres cannot store")]
    Nul(&'static str),
    #[error("{0}: no instant that a calendar has")]
    Time(&'static str),
    #[error("started_at: more than a day in the future: check the producer's clock")]
    Ahead,
    #[error("ttl_days: more than {MAX_TTL_DAYS}")]
    Ttl,
    #[error("status: expected 100 to 599")]
    Status,
    #[error("body_size: larger than a bigint")]
    Size,
    #[error("body_xxh3: expected 32 hex digits")]
    Xxh3,
}

/// Sorts the records of a batch into good ones, bad ones and gaps.
pub(super) fn batch<'a>(id: BatchId, batch: &Batch<'a>, now: OffsetDateTime) -> NewBatch<'a> {
    let mut new = NewBatch {
        id,
        entries: Vec::new(),
        gaps: Vec::new(),
        rejected: Vec::new(),
    };
    for (position, frame) in batch.frames().iter().enumerate() {
        let reason = match frame.item() {
            Ok(Item::Gap(gap)) => {
                new.gaps.push(gap);
                continue;
            }
            Ok(Item::Record(record, body)) => match entry(*record, body, now) {
                Ok(entry) => {
                    new.entries.push(entry);
                    continue;
                }
                Err(unstorable) => unstorable.to_string(),
            },
            Err(error) => error.to_string(),
        };
        new.rejected.push(RejectedRecord {
            position,
            reason,
            header: frame.header,
            body: frame.body,
        });
    }
    new
}

fn entry<'a>(
    record: Record<'a>,
    body: &'a [u8],
    now: OffsetDateTime,
) -> Result<NewEntry<'a>, Unstorable> {
    let started_at = instant("started_at", record.started_at)?;
    if started_at - now > MAX_AHEAD {
        return Err(Unstorable::Ahead);
    }
    let content_encoding = optional("content_encoding", record.content_encoding)?;
    let (codec, packed) = pack(body, record.compress, content_encoding.as_deref());
    let body_state = body_state(record.body_missing.is_some(), body);
    if has_nul(&record.metadata) {
        return Err(Unstorable::Nul("metadata"));
    }
    Ok(NewEntry {
        user: UserId::new(record.user_id)?,
        exchange: ExchangeId(record.exchange_id),
        half: record.half,
        endpoint: endpoint(text("endpoint", record.endpoint)?),
        method: text("method", record.method)?,
        path: text("path", record.path)?,
        query: optional("query", record.query)?,
        host: optional("host", record.host)?,
        route: optional("route", record.route)?,
        status: record.status.map(status).transpose()?,
        metadata: record.metadata,
        session: record.session.map(session).transpose()?,
        expires: expiry(started_at, record.ttl_days.map(std::num::NonZero::get))?,
        created_at: match record.half {
            Half::Request => started_at,
            Half::Response => instant("first_byte_at", record.first_byte_at)?,
        },
        started_at,
        ended_at: instant("ended_at", record.ended_at)?,
        body_size: i64::try_from(record.body_size).map_err(|_| Unstorable::Size)?,
        body_state,
        codec: if body_state == BodyState::Stored {
            codec
        } else {
            Codec::Identity
        },
        body: if body_state == BodyState::Stored {
            packed
        } else {
            Cow::Borrowed(&[])
        },
        body_xxh3: record.body_xxh3.map(|digits| xxh3(&digits)).transpose()?,
        content_type: optional("content_type", record.content_type)?,
        content_encoding,
        truncated: record.truncated,
        completion: record.completion,
        request_id: optional("request_id", record.request_id)?,
        traceparent: optional("traceparent", record.traceparent)?,
    })
}

const fn body_state(dropped: bool, body: &[u8]) -> BodyState {
    match (dropped, body.is_empty()) {
        (true, _) => BodyState::Dropped,
        (false, true) => BodyState::Empty,
        (false, false) => BodyState::Stored,
    }
}

fn text<'a>(field: &'static str, value: Cow<'a, str>) -> Result<Cow<'a, str>, Unstorable> {
    if value.len() > MAX_TEXT_BYTES {
        return Err(Unstorable::TooLong(field));
    }
    if value.contains('\0') {
        return Err(Unstorable::Nul(field));
    }
    Ok(value)
}

fn optional<'a>(
    field: &'static str,
    value: Option<Cow<'a, str>>,
) -> Result<Option<Cow<'a, str>>, Unstorable> {
    value.map(|value| text(field, value)).transpose()
}

fn endpoint(given: Cow<'_, str>) -> Cow<'_, str> {
    match given {
        Cow::Borrowed(text) => normalise(text),
        Cow::Owned(text) => Cow::Owned(normalise(&text).into_owned()),
    }
}

fn status(status: u16) -> Result<i16, Unstorable> {
    i16::try_from(status)
        .ok()
        .filter(|status| (100..=599).contains(status))
        .ok_or(Unstorable::Status)
}

fn session(rule: SessionRule<'_>) -> Result<SessionRequest, Unstorable> {
    match rule {
        SessionRule::Id(id) => Ok(SessionRequest::Named(text("session.id", id)?.into_owned())),
        SessionRule::TimeoutMinutes(minutes) => Ok(SessionRequest::Within(Duration::from_mins(
            minutes.get().into(),
        ))),
    }
}

fn expiry(started_at: OffsetDateTime, ttl_days: Option<u32>) -> Result<Expiry, Unstorable> {
    match ttl_days {
        None => Ok(Expiry::Never),
        Some(days) if days <= MAX_TTL_DAYS => started_at
            .checked_add(time::Duration::days(days.into()))
            .map(Expiry::At)
            .ok_or(Unstorable::Time("ttl_days")),
        Some(_) => Err(Unstorable::Ttl),
    }
}

fn instant(field: &'static str, micros: u64) -> Result<OffsetDateTime, Unstorable> {
    from_micros(micros).ok_or(Unstorable::Time(field))
}

fn xxh3(digits: &str) -> Result<[u8; 16], Unstorable> {
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Unstorable::Xxh3);
    }
    u128::from_str_radix(digits, 16)
        .map(u128::to_be_bytes)
        .map_err(|_| Unstorable::Xxh3)
}

fn has_nul(metadata: &Map<String, Value>) -> bool {
    metadata
        .iter()
        .any(|(key, value)| key.contains('\0') || value_has_nul(value))
}

/// The depth is bounded by that of the JSON reader, which takes at most 128 levels.
fn value_has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(value_has_nul),
        Value::Object(map) => has_nul(map),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use dossier_wire::Encoder;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
    const NOW_MICROS: u64 = 1_780_315_200_000_000;

    fn validated(
        change: impl FnOnce(&mut Value),
        body: &[u8],
    ) -> Result<NewEntry<'static>, String> {
        let mut header = json!({
            "exchange_id": "01890000-0000-7000-8000-000000000000", "type": "response", "user_id": "alice",
            "endpoint": "/api/x", "method": "POST", "path": "/api/x", "started_at": NOW_MICROS,
            "first_byte_at": NOW_MICROS + 5, "ended_at": NOW_MICROS + 9, "body_size": body.len(),
            "completion": "complete",
        });
        change(&mut header);
        let header: &'static str = header.to_string().leak();
        let record: Record<'static> = serde_json::from_str(header).unwrap();
        entry(record, body.to_vec().leak(), NOW).map_err(|error| error.to_string())
    }

    #[test]
    fn a_record_becomes_an_entry() {
        let entry = validated(|header| header["ttl_days"] = json!(30), b"hi").unwrap();
        assert_eq!(entry.expires, Expiry::At(NOW + time::Duration::days(30)));
        assert_eq!(entry.created_at, NOW + Duration::from_micros(5));
        assert_eq!(entry.body_state, BodyState::Stored);
        assert_eq!(validated(|_| {}, b"").unwrap().body_state, BodyState::Empty);
        assert_eq!(validated(|_| {}, b"").unwrap().expires, Expiry::Never);
    }

    #[test]
    fn what_cannot_be_stored_is_named_without_its_value() {
        let cases: [(&str, Value, &str); 9] = [
            ("user_id", json!(""), "user_id"),
            ("user_id", json!("hunter2".repeat(100)), "user_id"),
            ("path", json!("/hunter2\u{0}"), "path"),
            ("query", json!("hunter2".repeat(10_000)), "query"),
            ("metadata", json!({"a": [{"hunter2": "\u{0}"}]}), "metadata"),
            (
                "started_at",
                json!(NOW_MICROS + 2 * 86_400_000_000),
                "started_at",
            ),
            ("ended_at", json!(u64::MAX), "ended_at"),
            ("ttl_days", json!(3651), "ttl_days"),
            (
                "body_xxh3",
                json!("+hunter2000000000000000000000000"),
                "body_xxh3",
            ),
        ];
        for (field, value, named) in cases {
            let error = validated(|header| header[field] = value, b"").unwrap_err();
            assert!(
                error.starts_with(named) && !error.contains("hunter2"),
                "{field}: {error}"
            );
        }
    }

    #[test]
    fn bad_records_do_not_keep_good_ones_out() {
        let mut encoder = Encoder::new();
        for user in ["alice", "\u{0}", "bob"] {
            let header = json!({
                "exchange_id": "01890000-0000-7000-8000-000000000000", "type": "request", "user_id": user,
                "endpoint": "/", "method": "GET", "path": "/", "started_at": NOW_MICROS,
                "first_byte_at": NOW_MICROS, "ended_at": NOW_MICROS, "body_size": 0, "completion": "complete",
            })
            .to_string();
            encoder
                .push_record(&serde_json::from_str(&header).unwrap(), b"")
                .unwrap();
        }
        let bytes = encoder.finish();
        let new = batch(
            BatchId(uuid::Uuid::nil()),
            &Batch::parse(&bytes).unwrap(),
            NOW,
        );
        let users: Vec<_> = new
            .entries
            .iter()
            .map(|entry| entry.user.as_str())
            .collect();
        assert_eq!(users, ["alice", "bob"]);
        assert_eq!(new.rejected.len(), 1);
        assert_eq!(new.rejected[0].position, 1);
    }
}

//! The fields of a record, each converted to the form in which it is stored, or rejected.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dossier_body::MAX_NESTING;
use dossier_wire::limits::{
    MAX_ENDPOINT_BYTES, MAX_HEADERS, MAX_METADATA_PATHS, MAX_NAME_BYTES, MAX_REDACTION_RULES,
    MAX_SESSION_GROUP_BYTES, MAX_SESSION_ID_BYTES, MAX_SESSION_MINUTES, MAX_TEXT_BYTES,
    MAX_TTL_DAYS, STATUSES,
};
use dossier_wire::{HeaderField, SessionRule};
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use crate::model::clock::from_micros;
use crate::model::endpoint::normalise;
use crate::model::ids::InvalidUserId;
use crate::model::json::{map_has_nul, map_nesting};
use crate::model::session::SessionRequest;

/// How far a producer's clock may be ahead.
const MAX_CLOCK_SKEW: Duration = Duration::days(1);

/// Why a record is rejected. The message contains no value from the traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidRecord {
    #[error("user_id: {0}")]
    User(#[from] InvalidUserId),
    #[error("{field}: longer than {max} bytes")]
    TooLong { field: &'static str, max: usize },
    #[error("{0}: contains a NUL character, which Postgres cannot store")]
    Nul(&'static str),
    #[error("{0}: out of the range of dates")]
    Time(&'static str),
    #[error("{0}: more than a day in the future: check the producer's clock")]
    Ahead(&'static str),
    #[error("{0}: more than {MAX_TTL_DAYS}")]
    Ttl(&'static str),
    #[error("body_ttl_days: more than ttl_days: a body cannot outlive its entry")]
    BodyOutlives,
    #[error("session.timeout_minutes: more than {MAX_SESSION_MINUTES}")]
    SessionTimeout,
    #[error("body_missing: given, but the record has a body")]
    NotMissing,
    #[error("status: expected {} to {}", STATUSES.start(), STATUSES.end())]
    Status,
    #[error("{0}: out of the range of bigint")]
    Size(&'static str),
    #[error("body_xxh3: expected 32 hex digits")]
    Xxh3,
    #[error("{0}: more than {MAX_HEADERS}")]
    TooManyHeaders(&'static str),
    #[error("{0}: a name is longer than {MAX_NAME_BYTES} bytes")]
    NameTooLong(&'static str),
    #[error("metadata: nested deeper than {MAX_NESTING} levels")]
    MetadataNesting,
    #[error("metadata_paths: more than {MAX_METADATA_PATHS}")]
    TooManyPaths,
    #[error("metadata_paths: expected JSON paths, such as $.usage.total_tokens")]
    Path,
    #[error("redactions: more than {MAX_REDACTION_RULES} rules")]
    TooManyRules,
}

pub(super) fn text<'a>(
    field: &'static str,
    value: Cow<'a, str>,
) -> Result<Cow<'a, str>, InvalidRecord> {
    text_to(MAX_TEXT_BYTES, field, value)
}

fn text_to<'a>(
    max: usize,
    field: &'static str,
    value: Cow<'a, str>,
) -> Result<Cow<'a, str>, InvalidRecord> {
    if value.len() > max {
        return Err(InvalidRecord::TooLong { field, max });
    }
    if value.contains('\0') {
        return Err(InvalidRecord::Nul(field));
    }
    Ok(value)
}

pub(super) fn optional<'a>(
    field: &'static str,
    value: Option<Cow<'a, str>>,
) -> Result<Option<Cow<'a, str>>, InvalidRecord> {
    value.map(|value| text(field, value)).transpose()
}

pub(super) fn endpoint(given: Cow<'_, str>) -> Result<Cow<'_, str>, InvalidRecord> {
    let normal = match text("endpoint", given)? {
        Cow::Borrowed(text) => normalise(text),
        Cow::Owned(text) => Cow::Owned(normalise(&text).into_owned()),
    };
    text_to(MAX_ENDPOINT_BYTES, "endpoint", normal)
}

pub(super) fn pairs<'a>(
    field: &'static str,
    pairs: Vec<HeaderField<'a>>,
) -> Result<Vec<HeaderField<'a>>, InvalidRecord> {
    if pairs.len() > MAX_HEADERS {
        return Err(InvalidRecord::TooManyHeaders(field));
    }
    pairs
        .into_iter()
        .map(|(key, value)| Ok((name(field, key)?, text(field, value)?)))
        .collect()
}

pub(super) fn redactions(
    by_rule: BTreeMap<Cow<'_, str>, u32>,
) -> Result<BTreeMap<Cow<'_, str>, u32>, InvalidRecord> {
    if by_rule.len() > MAX_REDACTION_RULES {
        return Err(InvalidRecord::TooManyRules);
    }
    by_rule
        .into_iter()
        .map(|(rule, count)| Ok((name("redactions", rule)?, count)))
        .collect()
}

fn name<'a>(field: &'static str, value: Cow<'a, str>) -> Result<Cow<'a, str>, InvalidRecord> {
    if value.len() > MAX_NAME_BYTES {
        return Err(InvalidRecord::NameTooLong(field));
    }
    text(field, value)
}

pub(super) fn status(status: u16) -> Result<i16, InvalidRecord> {
    Some(status)
        .filter(|status| STATUSES.contains(status))
        .and_then(|status| i16::try_from(status).ok())
        .ok_or(InvalidRecord::Status)
}

pub(super) fn bigint(field: &'static str, number: u64) -> Result<i64, InvalidRecord> {
    i64::try_from(number).map_err(|_| InvalidRecord::Size(field))
}

pub(super) fn session(
    rule: SessionRule<'_>,
    group: Option<Cow<'_, str>>,
) -> Result<SessionRequest, InvalidRecord> {
    let group = text_to(
        MAX_SESSION_GROUP_BYTES,
        "session_group",
        group.unwrap_or_default(),
    )?;
    match rule {
        SessionRule::Id(id) => {
            let id = text_to(MAX_SESSION_ID_BYTES, "session.id", id)?;
            Ok(SessionRequest::Named(id.into_owned()))
        }
        SessionRule::TimeoutMinutes(minutes) if minutes.get() > MAX_SESSION_MINUTES => {
            Err(InvalidRecord::SessionTimeout)
        }
        SessionRule::TimeoutMinutes(minutes) => Ok(SessionRequest::Within {
            timeout: Duration::minutes(minutes.get().into()),
            group: group.into_owned(),
        }),
    }
}

/// Of a producer, whose clock may be a little ahead of `now`.
pub(super) fn instant(
    field: &'static str,
    micros: u64,
    now: OffsetDateTime,
) -> Result<OffsetDateTime, InvalidRecord> {
    let instant = from_micros(micros).ok_or(InvalidRecord::Time(field))?;
    if instant - now > MAX_CLOCK_SKEW {
        return Err(InvalidRecord::Ahead(field));
    }
    Ok(instant)
}

pub(super) fn xxh3(digits: &str) -> Result<[u8; 16], InvalidRecord> {
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(InvalidRecord::Xxh3);
    }
    u128::from_str_radix(digits, 16)
        .map(u128::to_be_bytes)
        .map_err(|_| InvalidRecord::Xxh3)
}

pub(super) fn metadata(metadata: Map<String, Value>) -> Result<Map<String, Value>, InvalidRecord> {
    if map_has_nul(&metadata) {
        return Err(InvalidRecord::Nul("metadata"));
    }
    if map_nesting(&metadata) > MAX_NESTING.into() {
        return Err(InvalidRecord::MetadataNesting);
    }
    Ok(metadata)
}

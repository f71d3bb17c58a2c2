//! The fields of a record, each brought into the form in which it is stored, or refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dossier_wire::record::{MAX_SESSION_GROUP_BYTES, MAX_SESSION_MINUTES, MAX_TTL_DAYS};
use dossier_wire::{HeaderField, SessionRule};
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use crate::model::clock::from_micros;
use crate::model::endpoint::normalise;
use crate::model::ids::InvalidUserId;
use crate::model::json::map_has_nul;
use crate::model::session::SessionRequest;

/// Longest text of any one field, except the user id.
pub(super) const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Most headers, and most trailers.
pub(super) const MAX_HEADERS: usize = 128;
/// Longest name of a header or of a redaction rule.
pub(super) const MAX_NAME_BYTES: usize = 256;
/// Most redaction rules that are counted.
pub(super) const MAX_RULES: usize = 256;

/// Why a record cannot be stored. Holds no value of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unstorable {
    #[error("user_id: {0}")]
    User(#[from] InvalidUserId),
    #[error("{0}: longer than {MAX_TEXT_BYTES} bytes")]
    TooLong(&'static str),
    #[error("{0}: holds a NUL character, which Postgres cannot store")]
    Nul(&'static str),
    #[error("{0}: no instant that a calendar has")]
    Time(&'static str),
    #[error("started_at: more than a day in the future: check the producer's clock")]
    Ahead,
    #[error("{0}: more than {MAX_TTL_DAYS}")]
    Ttl(&'static str),
    #[error("body_ttl_days: more than ttl_days: a body cannot outlive its entry")]
    BodyOutlives,
    #[error("session.timeout_minutes: more than {MAX_SESSION_MINUTES}")]
    SessionTimeout,
    #[error("session_group: longer than {MAX_SESSION_GROUP_BYTES} bytes")]
    SessionGroup,
    #[error("body_missing: says that no byte of the body follows, but some do")]
    NotMissing,
    #[error("status: expected 100 to 599")]
    Status,
    #[error("{0}: larger than a bigint")]
    Size(&'static str),
    #[error("body_xxh3: expected 32 hex digits")]
    Xxh3,
    #[error("{0}: more than {MAX_HEADERS}")]
    TooManyHeaders(&'static str),
    #[error("{0}: a name is longer than {MAX_NAME_BYTES} bytes")]
    NameTooLong(&'static str),
    #[error("redactions: more than {MAX_RULES} rules")]
    TooManyRules,
}

pub(super) fn text<'a>(
    field: &'static str,
    value: Cow<'a, str>,
) -> Result<Cow<'a, str>, Unstorable> {
    if value.len() > MAX_TEXT_BYTES {
        return Err(Unstorable::TooLong(field));
    }
    if value.contains('\0') {
        return Err(Unstorable::Nul(field));
    }
    Ok(value)
}

pub(super) fn optional<'a>(
    field: &'static str,
    value: Option<Cow<'a, str>>,
) -> Result<Option<Cow<'a, str>>, Unstorable> {
    value.map(|value| text(field, value)).transpose()
}

pub(super) fn endpoint(given: Cow<'_, str>) -> Result<Cow<'_, str>, Unstorable> {
    Ok(match text("endpoint", given)? {
        Cow::Borrowed(text) => normalise(text),
        Cow::Owned(text) => Cow::Owned(normalise(&text).into_owned()),
    })
}

/// Headers or trailers.
pub(super) fn pairs<'a>(
    field: &'static str,
    pairs: Vec<HeaderField<'a>>,
) -> Result<Vec<HeaderField<'a>>, Unstorable> {
    if pairs.len() > MAX_HEADERS {
        return Err(Unstorable::TooManyHeaders(field));
    }
    pairs
        .into_iter()
        .map(|(key, value)| Ok((name(field, key)?, text(field, value)?)))
        .collect()
}

/// Counts of replaced values by rule.
pub(super) fn redactions(
    by_rule: BTreeMap<Cow<'_, str>, u32>,
) -> Result<BTreeMap<Cow<'_, str>, u32>, Unstorable> {
    if by_rule.len() > MAX_RULES {
        return Err(Unstorable::TooManyRules);
    }
    by_rule
        .into_iter()
        .map(|(rule, count)| Ok((name("redactions", rule)?, count)))
        .collect()
}

fn name<'a>(field: &'static str, value: Cow<'a, str>) -> Result<Cow<'a, str>, Unstorable> {
    if value.len() > MAX_NAME_BYTES {
        return Err(Unstorable::NameTooLong(field));
    }
    text(field, value)
}

pub(super) fn status(status: u16) -> Result<i16, Unstorable> {
    i16::try_from(status)
        .ok()
        .filter(|status| (100..=599).contains(status))
        .ok_or(Unstorable::Status)
}

pub(super) fn bigint(field: &'static str, number: u64) -> Result<i64, Unstorable> {
    i64::try_from(number).map_err(|_| Unstorable::Size(field))
}

pub(super) fn session(
    rule: SessionRule<'_>,
    group: Option<Cow<'_, str>>,
) -> Result<SessionRequest, Unstorable> {
    let group = text("session_group", group.unwrap_or_default())?;
    if group.len() > MAX_SESSION_GROUP_BYTES {
        return Err(Unstorable::SessionGroup);
    }
    match rule {
        SessionRule::Id(id) => Ok(SessionRequest::Named(text("session.id", id)?.into_owned())),
        SessionRule::TimeoutMinutes(minutes) if minutes.get() > MAX_SESSION_MINUTES => {
            Err(Unstorable::SessionTimeout)
        }
        SessionRule::TimeoutMinutes(minutes) => Ok(SessionRequest::Within {
            timeout: Duration::minutes(minutes.get().into()),
            group: group.into_owned(),
        }),
    }
}

pub(super) fn instant(field: &'static str, micros: u64) -> Result<OffsetDateTime, Unstorable> {
    from_micros(micros).ok_or(Unstorable::Time(field))
}

pub(super) fn xxh3(digits: &str) -> Result<[u8; 16], Unstorable> {
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Unstorable::Xxh3);
    }
    u128::from_str_radix(digits, 16)
        .map(u128::to_be_bytes)
        .map_err(|_| Unstorable::Xxh3)
}

pub(super) fn metadata(metadata: Map<String, Value>) -> Result<Map<String, Value>, Unstorable> {
    if map_has_nul(&metadata) {
        return Err(Unstorable::Nul("metadata"));
    }
    Ok(metadata)
}

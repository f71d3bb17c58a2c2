//! `next_cursor` of a page of sessions. Callers return it unchanged.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::ids::SessionId;
use crate::store::SessionCursor;

/// Longest text of a cursor.
pub(super) const MAX_BYTES: usize = 128;

pub(super) fn encode(cursor: SessionCursor) -> String {
    let micros = cursor.last_activity.unix_timestamp_nanos() / 1000;
    URL_SAFE_NO_PAD.encode(format!("{micros}:{}", cursor.id))
}

/// None unless [`encode`] made the text.
pub(super) fn decode(text: &str) -> Option<SessionCursor> {
    let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (micros, id) = decoded.split_once(':')?;
    let nanos = micros.parse::<i128>().ok()?.checked_mul(1000)?;
    Some(SessionCursor {
        last_activity: OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?,
        id: SessionId(Uuid::try_parse(id).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn only_encoded_cursors_are_decoded() {
        let cursor = SessionCursor {
            last_activity: datetime!(2026-01-02 03:04:05.678_901 UTC),
            id: SessionId(Uuid::max()),
        };
        let text = encode(cursor);
        assert!(text.len() <= MAX_BYTES);
        assert_eq!(decode(&text), Some(cursor));
        for noise in ["", "x", "MTIz", "OjA", "!!!!", &"A".repeat(100)] {
            assert_eq!(decode(noise), None, "{noise}");
        }
        let far = URL_SAFE_NO_PAD.encode(format!("{}:{}", i128::MAX, Uuid::max()));
        assert_eq!(decode(&far), None);
    }
}

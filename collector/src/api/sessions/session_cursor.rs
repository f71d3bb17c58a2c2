//! `next_cursor` of a page of sessions. Callers return it unchanged.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::model::ids::SessionId;
use crate::model::instant::UtcInstant;
use crate::store::SessionCursor;

/// Longest text of a cursor.
pub(super) const MAX_BYTES: usize = 128;

pub(super) fn encode(cursor: SessionCursor) -> String {
    let micros = cursor.last_activity.unix_micros();
    URL_SAFE_NO_PAD.encode(format!("{micros}:{}", cursor.id))
}

/// None unless [`encode`] made the text.
pub(super) fn decode(text: &str) -> Option<SessionCursor> {
    let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (micros, id) = decoded.split_once(':')?;
    Some(SessionCursor {
        last_activity: UtcInstant::from_unix_micros(micros.parse().ok()?)?,
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
            last_activity: UtcInstant::new(datetime!(2026-01-02 03:04:05.678_901 UTC)).unwrap(),
            id: SessionId(Uuid::max()),
        };
        let text = encode(cursor);
        assert!(text.len() <= MAX_BYTES);
        assert_eq!(decode(&text), Some(cursor));
        for noise in ["", "x", "MTIz", "OjA", "!!!!", &"A".repeat(100)] {
            assert_eq!(decode(noise), None, "{noise}");
        }
        for micros in [i128::MAX, i64::MAX.into(), -377_705_116_800_000_000] {
            let far = URL_SAFE_NO_PAD.encode(format!("{micros}:{}", Uuid::max()));
            assert_eq!(decode(&far), None, "{micros}");
        }
    }
}

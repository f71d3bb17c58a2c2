//! `next_cursor`: where the next page begins, and what was counted for this one, so that a deep page
//! costs no more than the first. Clients send it back unchanged.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

use crate::model::ids::EntryId;
use crate::store::{EntryCursor, Total};

/// The content of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// The last entry of the page before.
    pub(super) cursor: EntryCursor,
    /// All that match.
    pub(super) total: Total,
    /// Of the query for which that was counted.
    pub(super) query_fingerprint: u64,
}

impl Token {
    pub(super) fn encode(self) -> String {
        let micros = self.cursor.created_at.unix_timestamp_nanos() / 1000;
        let (count, more) = match self.total {
            Total::Exact(count) => (count, ""),
            Total::AtLeast(count) => (count, "+"),
        };
        let (id, query_fingerprint) = (self.cursor.id.0, self.query_fingerprint);
        URL_SAFE_NO_PAD.encode(format!("{micros}:{id}:{count}{more}:{query_fingerprint:x}"))
    }

    /// Undoes [`Token::encode`].
    pub(super) fn decode(text: &str) -> Option<Self> {
        let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = decoded.split(':');
        let micros = parts.next()?.parse::<i128>().ok()?;
        let id = parts.next()?.parse().ok()?;
        let total = match parts.next()? {
            count if count.ends_with('+') => Total::AtLeast(natural(count.trim_end_matches('+'))?),
            count => Total::Exact(natural(count)?),
        };
        let query_fingerprint = u64::from_str_radix(parts.next()?, 16).ok()?;
        let created_at =
            OffsetDateTime::from_unix_timestamp_nanos(micros.checked_mul(1000)?).ok()?;
        let cursor = EntryCursor {
            created_at,
            id: EntryId(id),
        };
        parts.next().is_none().then_some(Self {
            cursor,
            total,
            query_fingerprint,
        })
    }

    /// The total, if it was counted for the query with this fingerprint.
    pub(super) fn total_of(self, query_fingerprint: u64) -> Option<Total> {
        (self.query_fingerprint == query_fingerprint).then_some(self.total)
    }
}

fn natural(text: &str) -> Option<i64> {
    text.parse().ok().filter(|count| *count >= 0)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::api::query::MAX_CURSOR_BYTES;

    #[test]
    fn cursor_round_trips_and_noise_is_rejected() {
        for total in [Total::Exact(0), Total::Exact(42), Total::AtLeast(10_000)] {
            let token = Token {
                cursor: EntryCursor {
                    created_at: datetime!(2026-01-02 03:04:05.678_901 UTC),
                    id: EntryId(42),
                },
                total,
                query_fingerprint: u64::MAX,
            };
            let text = token.encode();
            assert!(text.len() <= MAX_CURSOR_BYTES);
            assert_eq!(Token::decode(&text), Some(token));
        }
        for noise in ["", "x", "MTIz", "OjA", "!!!!", &"A".repeat(200)] {
            assert_eq!(Token::decode(noise), None, "{noise}");
        }
        for noise in [
            "1:2:-3:f",
            "1:2:3",
            "1:2:3:f:5",
            "1:2:3:g",
            "1:2:+:f",
            "1e40:2:3:f",
        ] {
            assert_eq!(
                Token::decode(&URL_SAFE_NO_PAD.encode(noise)),
                None,
                "{noise}"
            );
        }
    }

    #[test]
    fn total_is_reused_for_same_query_only() {
        let token = Token {
            cursor: EntryCursor {
                created_at: datetime!(2026-01-02 03:04:05 UTC),
                id: EntryId(1),
            },
            total: Total::Exact(7),
            query_fingerprint: 1,
        };
        assert_eq!(token.total_of(1), Some(Total::Exact(7)));
        assert_eq!(token.total_of(2), None);
    }
}

//! `next_cursor` of a page of entries: where the next page begins, and the total that was counted, so that
//! a deep page costs no more than the first. Callers return it unchanged.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::ids::EntryId;
use crate::model::instant::UtcInstant;
use crate::store::{EntryCursor, Total};

/// Longest text of a cursor.
pub(super) const MAX_BYTES: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) struct PageToken {
    /// The last entry of the page.
    pub(super) position: EntryCursor,
    /// All entries that match.
    pub(super) total: Total,
    /// Of the query whose total this is.
    pub(super) query_fingerprint: u64,
}

impl PageToken {
    pub(super) fn encode(self) -> String {
        let micros = self.position.created_at.unix_micros();
        let (count, more) = match self.total {
            Total::Exact(count) => (count, ""),
            Total::AtLeast(count) => (count, "+"),
        };
        let (id, fingerprint) = (self.position.id.0, self.query_fingerprint);
        URL_SAFE_NO_PAD.encode(format!("{micros}:{id}:{count}{more}:{fingerprint:x}"))
    }

    /// None unless [`PageToken::encode`] made the text.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = decoded.split(':');
        let micros = parts.next()?.parse().ok()?;
        let id = parts.next()?.parse().ok()?;
        let total = match parts.next()? {
            count if count.ends_with('+') => {
                Total::AtLeast(parse_count(count.trim_end_matches('+'))?)
            }
            count => Total::Exact(parse_count(count)?),
        };
        let query_fingerprint = u64::from_str_radix(parts.next()?, 16).ok()?;
        let position = EntryCursor {
            created_at: UtcInstant::from_unix_micros(micros)?,
            id: EntryId(id),
        };
        parts.next().is_none().then_some(Self {
            position,
            total,
            query_fingerprint,
        })
    }

    /// The total, if it was counted for this query.
    pub(super) fn total_of(self, query_fingerprint: u64) -> Option<Total> {
        (self.query_fingerprint == query_fingerprint).then_some(self.total)
    }
}

fn parse_count(text: &str) -> Option<i64> {
    text.parse().ok().filter(|count| *count >= 0)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn only_encoded_cursors_are_decoded() {
        for total in [Total::Exact(0), Total::Exact(42), Total::AtLeast(10_000)] {
            let cursor = PageToken {
                position: EntryCursor {
                    created_at: UtcInstant::new(datetime!(2026-01-02 03:04:05.678_901 UTC))
                        .unwrap(),
                    id: EntryId(42),
                },
                total,
                query_fingerprint: u64::MAX,
            };
            let text = cursor.encode();
            assert!(text.len() <= MAX_BYTES);
            assert_eq!(PageToken::decode(&text), Some(cursor));
        }
        for noise in ["", "x", "MTIz", "OjA", "!!!!", &"A".repeat(200)] {
            assert_eq!(PageToken::decode(noise), None, "{noise}");
        }
        for noise in [
            "1:2:-3:f",
            "1:2:3",
            "1:2:3:f:5",
            "1:2:3:g",
            "1:2:+:f",
            "1e40:2:3:f",
            "-377705116800000000:1:0:f",
            "9223372036854775807:1:0:f",
        ] {
            assert_eq!(
                PageToken::decode(&URL_SAFE_NO_PAD.encode(noise)),
                None,
                "{noise}"
            );
        }
    }

    #[test]
    fn total_belongs_to_one_query() {
        let cursor = PageToken {
            position: EntryCursor {
                created_at: UtcInstant::new(datetime!(2026-01-02 03:04:05 UTC)).unwrap(),
                id: EntryId(1),
            },
            total: Total::Exact(7),
            query_fingerprint: 1,
        };
        assert_eq!(cursor.total_of(1), Some(Total::Exact(7)));
        assert_eq!(cursor.total_of(2), None);
    }
}

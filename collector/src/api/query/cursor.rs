//! `next_cursor`: where the next page begins, and what was counted for this one, so that a deep page
//! costs no more than the first. Callers hand it back unchanged.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

use crate::model::ids::EntryId;
use crate::store::{Cursor, Total};

/// What a cursor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// Behind which entry to go on.
    pub(super) cursor: Cursor,
    /// All that match.
    pub(super) total: Total,
    /// What was asked when that was counted.
    pub(super) question: u64,
}

impl Token {
    /// As a text.
    pub(super) fn encode(self) -> String {
        let micros = self.cursor.created_at.unix_timestamp_nanos() / 1000;
        let (count, more) = match self.total {
            Total::Exact(count) => (count, ""),
            Total::AtLeast(count) => (count, "+"),
        };
        let (id, question) = (self.cursor.id.0, self.question);
        URL_SAFE_NO_PAD.encode(format!("{micros}:{id}:{count}{more}:{question:x}"))
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
        let question = u64::from_str_radix(parts.next()?, 16).ok()?;
        let created_at =
            OffsetDateTime::from_unix_timestamp_nanos(micros.checked_mul(1000)?).ok()?;
        let cursor = Cursor {
            created_at,
            id: EntryId(id),
        };
        parts.next().is_none().then_some(Self {
            cursor,
            total,
            question,
        })
    }

    /// The total, if it was counted for this question.
    pub(super) fn total_of(self, question: u64) -> Option<Total> {
        (self.question == question).then_some(self.total)
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
    fn a_cursor_comes_back_and_noise_does_not() {
        for total in [Total::Exact(0), Total::Exact(42), Total::AtLeast(10_000)] {
            let token = Token {
                cursor: Cursor {
                    created_at: datetime!(2026-01-02 03:04:05.678_901 UTC),
                    id: EntryId(42),
                },
                total,
                question: u64::MAX,
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
    fn a_total_is_that_of_its_question_alone() {
        let token = Token {
            cursor: Cursor {
                created_at: datetime!(2026-01-02 03:04:05 UTC),
                id: EntryId(1),
            },
            total: Total::Exact(7),
            question: 1,
        };
        assert_eq!(token.total_of(1), Some(Total::Exact(7)));
        assert_eq!(token.total_of(2), None);
    }
}

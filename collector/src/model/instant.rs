//! Instants that callers name, in a query or in a cursor.

use time::{OffsetDateTime, UtcOffset};

/// An instant in the years 0001 to 9999 of UTC, which Postgres can hold and RFC 3339 can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UtcInstant(OffsetDateTime);

impl UtcInstant {
    /// `None` outside these years, which an offset may lead to.
    #[must_use]
    pub fn new(at: OffsetDateTime) -> Option<Self> {
        let at = at.checked_to_offset(UtcOffset::UTC)?;
        (1..=9999).contains(&at.year()).then_some(Self(at))
    }

    /// The instant this many microseconds after the Unix epoch.
    #[must_use]
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        let nanos = i128::from(micros) * 1000;
        Self::new(OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?)
    }

    /// Microseconds since the Unix epoch; what is less than one is left out.
    #[must_use]
    pub fn unix_micros(self) -> i128 {
        self.0.unix_timestamp_nanos().div_euclid(1000)
    }

    /// In UTC.
    #[must_use]
    pub const fn get(self) -> OffsetDateTime {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use time::macros::{datetime, offset};

    use super::*;

    #[test]
    fn years_of_utc_are_bounded() {
        let first = datetime!(0001-01-01 00:00 UTC);
        let last = datetime!(9999-12-31 23:59:59.999_999 UTC);
        for at in [first, last] {
            let instant = UtcInstant::new(at).unwrap();
            assert_eq!(instant.get(), at);
            let micros = i64::try_from(instant.unix_micros()).unwrap();
            assert_eq!(UtcInstant::from_unix_micros(micros), Some(instant));
        }
        for at in [
            datetime!(0000-12-31 23:59:59.999_999 UTC),
            datetime!(-9999-01-01 00:00 UTC),
            last.replace_offset(offset!(-00:01)),
            first.replace_offset(offset!(+00:01)),
        ] {
            assert_eq!(UtcInstant::new(at), None, "{at}");
        }
        for micros in [i64::MIN, i64::MAX, -377_705_116_800_000_000] {
            assert_eq!(UtcInstant::from_unix_micros(micros), None, "{micros}");
        }
    }

    #[test]
    fn offsets_are_converted() {
        let instant = UtcInstant::new(datetime!(2026-03-01 00:00 +02:00)).unwrap();
        assert_eq!(instant.get().offset(), UtcOffset::UTC);
        assert_eq!(instant.get(), datetime!(2026-02-28 22:00 UTC));
    }
}

//! Retention: how long expired data stays on disk, and how long the collector keeps its own records.

use time::{Date, Duration, OffsetDateTime, Time};

/// How long expired data stays on disk, invisible to reads, before it is permanently deleted. It absorbs
/// clock skew and late batches, so that nothing is written into a partition that is being dropped.
pub const GRACE_PERIOD: Duration = Duration::DAY;

/// How long the collector's own records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPeriods {
    /// Ids of batches. A batch that is resent after that is stored a second time.
    pub ledger: Duration,
    /// Deletions and reported losses; `None`: forever.
    pub audit: Option<Duration>,
}

/// When the partition of a day may be dropped: [`GRACE_PERIOD`] after the last of its data has expired.
/// `None`: later than the last representable date.
#[must_use]
pub fn drop_due_at(day: Date) -> Option<OffsetDateTime> {
    let next_day = day.checked_add(Duration::DAY)?;
    OffsetDateTime::new_utc(next_day, Time::MIDNIGHT).checked_add(GRACE_PERIOD)
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    #[test]
    fn partition_is_due_after_one_more_day() {
        assert_eq!(
            drop_due_at(date!(2026 - 05 - 30)),
            Some(datetime!(2026-06-01 00:00 UTC))
        );
        assert_eq!(drop_due_at(Date::MAX), None);
    }
}

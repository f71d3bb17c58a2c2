//! How long things are kept beyond the moment from which nobody sees them.

use time::{Date, Duration, OffsetDateTime, Time};

use super::entry::Expiry;

/// Expired data stays unseen for so long before it goes for good. It makes up for clocks that differ and
/// for batches that come late: nobody writes into a partition that is being dropped.
pub const GRACE: Duration = Duration::DAY;

/// How long the collector's own records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Ids of batches. A batch that is sent again later than that is stored again.
    pub ledger: Duration,
    /// Who deleted what, and what producers lost; none: for ever.
    pub audit: Option<Duration>,
}

/// When a partition of the day goes: the data that expires last on this day has then been unseen for
/// [`GRACE`]. None: never, as far as calendars go.
#[must_use]
pub fn goes_at(day: Date) -> Option<OffsetDateTime> {
    let over = day.checked_add(Duration::DAY)?;
    OffsetDateTime::new_utc(over, Time::MIDNIGHT).checked_add(GRACE)
}

/// Whether what expires then may be gone for good already.
#[must_use]
pub fn is_gone(expiry: Expiry, now: OffsetDateTime) -> bool {
    match expiry {
        Expiry::At(at) => goes_at(at.date()).is_some_and(|goes| goes <= now),
        Expiry::Never => false,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    #[test]
    fn a_day_goes_a_day_after_it_is_over() {
        assert_eq!(
            goes_at(date!(2026 - 05 - 30)),
            Some(datetime!(2026-06-01 00:00 UTC))
        );
        assert_eq!(goes_at(Date::MAX), None);
        let expiry = Expiry::At(datetime!(2026-05-30 00:00 UTC));
        assert!(!is_gone(expiry, datetime!(2026-05-31 23:59:59 UTC)));
        assert!(is_gone(expiry, datetime!(2026-06-01 00:00 UTC)));
        assert!(!is_gone(Expiry::Never, datetime!(9999-12-31 00:00 UTC)));
    }
}

//! The clock, injected so that tests control the time.

use std::time::{Duration, UNIX_EPOCH};

use time::OffsetDateTime;

/// A source of the current time.
#[derive(Debug, Clone, Copy)]
pub struct Clock(fn() -> OffsetDateTime);

impl Clock {
    /// The clock of the operating system.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clock"
    )]
    pub fn system() -> Self {
        Self(OffsetDateTime::now_utc)
    }

    /// A clock that calls `now`.
    #[must_use]
    pub const fn new(now: fn() -> OffsetDateTime) -> Self {
        Self(now)
    }

    /// The current time, in UTC.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        (self.0)()
    }
}

/// The instant `micros` microseconds after the Unix epoch; `None` beyond the last representable date.
#[must_use]
pub fn from_micros(micros: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from(UNIX_EPOCH).checked_add(Duration::from_micros(micros).try_into().ok()?)
}

/// Microseconds since the Unix epoch; zero for anything before it.
#[must_use]
pub fn to_micros(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(0)
}

//! The clock is a parameter, so that tests own the time.

use std::time::{Duration, UNIX_EPOCH};

use time::OffsetDateTime;

/// Where "now" comes from.
#[derive(Debug, Clone, Copy)]
pub struct Clock(fn() -> OffsetDateTime);

impl Clock {
    /// The system's clock.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clock"
    )]
    pub fn system() -> Self {
        Self(OffsetDateTime::now_utc)
    }

    /// A clock of the caller's making.
    #[must_use]
    pub const fn new(now: fn() -> OffsetDateTime) -> Self {
        Self(now)
    }

    /// The present instant, UTC.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        (self.0)()
    }
}

/// The instant that lies `micros` microseconds after the Unix epoch, if a calendar has it.
#[must_use]
pub fn from_micros(micros: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from(UNIX_EPOCH).checked_add(Duration::from_micros(micros).try_into().ok()?)
}

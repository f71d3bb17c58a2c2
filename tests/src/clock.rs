//! The time now, for producers that are not Envoy.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Microseconds since the Unix epoch, as the batch format counts.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the harness talks to programs that live in real time"
)]
pub fn now_micros() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// The time so many minutes ago, in microseconds since the Unix epoch.
#[must_use]
pub fn minutes_ago(minutes: u64) -> u64 {
    now_micros().saturating_sub(minutes * 60_000_000)
}

/// A time in microseconds since the Unix epoch as the API writes times.
#[must_use]
pub fn rfc3339(micros: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000);
    time.ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// A time as the API writes it, in microseconds since the Unix epoch; none if it is no such time.
#[must_use]
pub fn micros(rfc3339: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(rfc3339, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1000).ok()
}

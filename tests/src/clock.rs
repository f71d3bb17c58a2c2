//! The current time, and times as the API writes them.

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

/// In microseconds since the Unix epoch.
#[must_use]
pub fn minutes_ago(minutes: u64) -> u64 {
    now_micros().saturating_sub(minutes * 60_000_000)
}

/// Writes a time in microseconds since the Unix epoch as the API does.
#[must_use]
pub fn format_rfc3339(micros: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000);
    time.ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Reads a time as the API writes it, in microseconds since the Unix epoch; none if it is not one.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1000).ok()
}

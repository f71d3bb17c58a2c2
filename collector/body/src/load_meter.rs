//! How much CPU time compression may take: the more bytes arrive, the less for each body.

use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

/// Up to this many bytes a second are compressed thoroughly, which takes about a tenth of a core.
const MAX_THOROUGH_BYTES: usize = 4 << 20;

/// How much CPU time compression takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionEffort {
    /// As much as improves the ratio noticeably.
    Thorough,
    /// Little, since the load is high.
    Quick,
}

/// Measures the bytes that arrive each second. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct LoadMeter(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// The current second, as a Unix timestamp.
    second: i64,
    /// Bytes that arrived in it.
    bytes: usize,
    /// Bytes that arrived in the second before.
    before: usize,
}

impl LoadMeter {
    /// Counts bytes that arrive now, and returns the effort for them.
    #[must_use]
    pub fn effort(&self, bytes: usize, now: OffsetDateTime) -> CompressionEffort {
        let second = now.unix_timestamp();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second != counts.second {
            let follows = second == counts.second.saturating_add(1);
            counts.before = if follows { counts.bytes } else { 0 };
            (counts.second, counts.bytes) = (second, 0);
        }
        counts.bytes = counts.bytes.saturating_add(bytes);
        if counts.before.max(counts.bytes) > MAX_THOROUGH_BYTES {
            CompressionEffort::Quick
        } else {
            CompressionEffort::Thorough
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn effort_stays_quick_one_second_after_load() {
        let meter = LoadMeter::default();
        let at =
            |millis: i64| OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(1_000_000 + millis);
        let half = MAX_THOROUGH_BYTES / 2;
        let steps = [
            (0, half, CompressionEffort::Thorough),
            (900, half, CompressionEffort::Thorough),
            (950, 1, CompressionEffort::Quick),
            (1500, 1, CompressionEffort::Quick),
            (2000, half, CompressionEffort::Thorough),
            (2999, half + 1, CompressionEffort::Quick),
            // No bytes in the second before.
            (4000, half, CompressionEffort::Thorough),
            // A clock that is set back.
            (0, half, CompressionEffort::Thorough),
            (0, usize::MAX, CompressionEffort::Quick),
        ];
        for (millis, bytes, expected) in steps {
            assert_eq!(meter.effort(bytes, at(millis)), expected, "{millis}");
        }
    }
}

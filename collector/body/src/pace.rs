//! How much time is taken to pack a body: the more bodies come, the less for each.

use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

/// While at most so many bytes come in a second, there is time. It is about a tenth of a core's.
const BYTES_WITH_TIME: usize = 4 << 20;

/// How much time is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// As much as is worth it.
    Thorough,
    /// Little: many more wait.
    Quick,
}

/// Counts what comes. Cloning it clones a handle.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<Mutex<Count>>);

#[derive(Debug, Default)]
struct Count {
    /// Since 1970.
    second: i64,
    /// Bytes that came in it.
    bytes: usize,
    /// Bytes that came in the second before.
    before: usize,
}

impl Pace {
    /// What to take for so many bytes that come now.
    #[must_use]
    pub fn effort(&self, bytes: usize, now: OffsetDateTime) -> Effort {
        let second = now.unix_timestamp();
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second != count.second {
            let follows = second == count.second.saturating_add(1);
            count.before = if follows { count.bytes } else { 0 };
            (count.second, count.bytes) = (second, 0);
        }
        count.bytes = count.bytes.saturating_add(bytes);
        if count.before.max(count.bytes) > BYTES_WITH_TIME {
            Effort::Quick
        } else {
            Effort::Thorough
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn bodies_are_packed_quickly_while_many_come_and_a_second_longer() {
        let pace = Pace::default();
        let at =
            |millis: i64| OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(1_000_000 + millis);
        let half = BYTES_WITH_TIME / 2;
        let steps = [
            (0, half, Effort::Thorough),
            (900, half, Effort::Thorough),
            (950, 1, Effort::Quick),
            (1500, 1, Effort::Quick),
            (2000, half, Effort::Thorough),
            (2999, half + 1, Effort::Quick),
            // Nothing came in the second before.
            (4000, half, Effort::Thorough),
            // A clock that is set back.
            (0, half, Effort::Thorough),
            (0, usize::MAX, Effort::Quick),
        ];
        for (millis, bytes, expected) in steps {
            assert_eq!(pace.effort(bytes, at(millis)), expected, "{millis}");
        }
    }
}

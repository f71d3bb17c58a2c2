//! When the collector may be called again after a call that failed.

/// The state of the pause between calls.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    until: u64,
}

const FIRST_MICROS: u64 = 200_000;
const LONGEST_MICROS: u64 = 30_000_000;
const LONGEST_ASKED_SECONDS: u64 = 300;

/// Calls under way at the same time.
pub(super) const MOST_IN_FLIGHT: usize = 2;

impl Pause {
    /// How many calls may be under way now. After a failure one is sent ahead to see.
    pub(super) const fn allowed(&self, now: u64) -> usize {
        if now < self.until {
            0
        } else if self.failures > 0 {
            1
        } else {
            MOST_IN_FLIGHT
        }
    }

    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
        self.until = 0;
    }

    /// Waits twice as long as the last time, spread by `random_below` so that workers which failed
    /// together do not come back together.
    pub(super) fn failed(&mut self, now: u64, random_below: impl FnOnce(u64) -> u64) {
        let doubled = FIRST_MICROS.saturating_mul(1 << self.failures.min(16));
        let half = doubled.min(LONGEST_MICROS) / 2;
        self.wait_until(now + half + random_below(half));
    }

    /// Waits as long as the collector asks, within reason.
    pub(super) fn asked_to_wait(
        &mut self,
        now: u64,
        seconds: u64,
        random_below: impl FnOnce(u64) -> u64,
    ) {
        let asked = seconds.min(LONGEST_ASKED_SECONDS) * 1_000_000;
        self.wait_until(now + asked + random_below(asked.max(FIRST_MICROS) / 10));
    }

    fn wait_until(&mut self, moment: u64) {
        self.failures = self.failures.saturating_add(1);
        self.until = self.until.max(moment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn waits_grow_from_a_tenth_of_a_second_to_half_a_minute() {
        for (random, first, last) in [(0, 100_000, 15_000_000), (u64::MAX, 200_000, 30_000_000)] {
            let below = |bound: u64| random.min(bound);
            let (mut pause, mut now, mut waits) = (Pause::default(), 0, Vec::new());
            for _ in 0..20 {
                pause.failed(now, below);
                waits.push(pause.until - now);
                assert_eq!(pause.allowed(pause.until - 1), 0);
                now = pause.until;
                assert_eq!(pause.allowed(now), 1);
            }
            assert_eq!((waits[0], waits[19]), (first, last));
            assert!(waits.is_sorted());
            pause.succeeded();
            assert_eq!(pause.allowed(now), MOST_IN_FLIGHT);
        }
    }

    #[test]
    fn a_wish_to_wait_is_followed_up_to_five_minutes() {
        let mut pause = Pause::default();
        pause.asked_to_wait(0, 7, |_| 0);
        assert_eq!((pause.allowed(6_999_999), pause.allowed(7_000_000)), (0, 1));
        pause.asked_to_wait(0, u64::MAX, |bound| bound);
        assert_eq!(
            (pause.allowed(329_999_999), pause.allowed(330_000_000)),
            (0, 1)
        );
    }
}

//! Decides when, and with how many calls at once, the collector may be called after a failure.

/// Exponential backoff with jitter.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: u64,
}

const INITIAL_DELAY_MICROS: u64 = 200_000;
const MAX_DELAY_MICROS: u64 = 30_000_000;
const MAX_RETRY_AFTER_SECONDS: u64 = 300;

/// Concurrent calls to one collector.
pub(super) const MAX_IN_FLIGHT: usize = 2;

impl Backoff {
    /// Concurrent calls that are allowed now. After a failure a single call probes the collector.
    pub(super) const fn max_calls(&self, now: u64) -> usize {
        if now < self.until {
            0
        } else if self.failures > 0 {
            1
        } else {
            MAX_IN_FLIGHT
        }
    }

    pub(super) const fn record_success(&mut self) {
        self.failures = 0;
        self.until = 0;
    }

    /// Doubles the delay, with jitter by `random_below` so that workers which failed together do not retry
    /// together.
    pub(super) fn record_failure(&mut self, now: u64, random_below: impl FnOnce(u64) -> u64) {
        let doubled = INITIAL_DELAY_MICROS.saturating_mul(1 << self.failures.min(16));
        let half = doubled.min(MAX_DELAY_MICROS) / 2;
        self.wait_until(now + half + random_below(half));
    }

    /// Waits as long as `retry-after` says, up to a limit.
    pub(super) fn honor_retry_after(
        &mut self,
        now: u64,
        seconds: u64,
        random_below: impl FnOnce(u64) -> u64,
    ) {
        let asked = seconds.min(MAX_RETRY_AFTER_SECONDS) * 1_000_000;
        self.wait_until(now + asked + random_below(asked.max(INITIAL_DELAY_MICROS) / 10));
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
    fn delay_grows_exponentially_up_to_maximum() {
        for (random, first, last) in [(0, 100_000, 15_000_000), (u64::MAX, 200_000, 30_000_000)] {
            let below = |bound: u64| random.min(bound);
            let (mut backoff, mut now, mut waits) = (Backoff::default(), 0, Vec::new());
            for _ in 0..20 {
                backoff.record_failure(now, below);
                waits.push(backoff.until - now);
                assert_eq!(backoff.max_calls(backoff.until - 1), 0);
                now = backoff.until;
                assert_eq!(backoff.max_calls(now), 1);
            }
            assert_eq!((waits[0], waits[19]), (first, last));
            assert!(waits.is_sorted());
            backoff.record_success();
            assert_eq!(backoff.max_calls(now), MAX_IN_FLIGHT);
        }
    }

    #[test]
    fn retry_after_is_honored_up_to_maximum() {
        let mut backoff = Backoff::default();
        backoff.honor_retry_after(0, 7, |_| 0);
        assert_eq!(
            (backoff.max_calls(6_999_999), backoff.max_calls(7_000_000)),
            (0, 1)
        );
        backoff.honor_retry_after(0, u64::MAX, |bound| bound);
        assert_eq!(
            (
                backoff.max_calls(329_999_999),
                backoff.max_calls(330_000_000)
            ),
            (0, 1)
        );
    }
}

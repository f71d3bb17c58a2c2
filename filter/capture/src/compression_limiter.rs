//! Limits how much of a worker's time compression takes: a token bucket of bytes. Batches beyond it are
//! sent uncompressed.

use std::cell::Cell;

/// Before compression, at `fast`, for one worker: a twentieth of its time on a core that takes 6 ns for
/// each byte.
const BYTES_PER_SECOND: u64 = 8 << 20;
/// Unused bytes that are saved for later.
const MAX_BURST_BYTES: i64 = 1 << 20;

/// A token bucket shared by all batches of a VM.
#[derive(Debug)]
pub(crate) struct CompressionLimiter {
    /// In bytes; negative after batches that were longer than the balance when they began.
    balance: Cell<i64>,
    /// In microseconds.
    updated_at: Cell<u64>,
}

impl Default for CompressionLimiter {
    fn default() -> Self {
        Self {
            balance: Cell::new(MAX_BURST_BYTES),
            updated_at: Cell::new(0),
        }
    }
}

impl CompressionLimiter {
    /// Whether a batch that begins now may be compressed.
    pub(crate) fn allows(&self, now: u64) -> bool {
        let passed = now.saturating_sub(self.updated_at.replace(now));
        let earned = passed.saturating_mul(BYTES_PER_SECOND) / 1_000_000;
        let earned = i64::try_from(earned).unwrap_or(i64::MAX);
        let balance = self
            .balance
            .get()
            .saturating_add(earned)
            .min(MAX_BURST_BYTES);
        self.balance.set(balance);
        balance > 0
    }

    /// Records the raw bytes of a batch that was allowed and is now compressed.
    pub(crate) fn charge(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.balance.set(self.balance.get().saturating_sub(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const MIB: usize = 1 << 20;
    const SECOND: u64 = 1_000_000;

    #[test]
    fn compressed_bytes_stay_within_rate() {
        for batch in [16 << 10, MIB, 3 * MIB] {
            let (limiter, mut compressed) = (CompressionLimiter::default(), 0);
            // 160 batches a second.
            for number in 0..400 {
                if limiter.allows(number * SECOND / 160) {
                    limiter.charge(batch);
                    compressed += batch;
                }
            }
            let all = 400 * batch;
            let allowed = 5 * 8 * MIB / 2 + MIB;
            let least = all.min(allowed - 3 * MIB);
            let most = all.min(allowed + batch);
            assert!((least..=most).contains(&compressed), "{compressed}");
        }
    }

    #[test]
    fn idle_time_saves_at_most_one_burst() {
        let limiter = CompressionLimiter::default();
        limiter.charge(3 * MIB);
        assert!(!limiter.allows(SECOND / 4), "two of eight in a quarter");
        assert!(limiter.allows(SECOND / 2));
        assert!(limiter.allows(u64::MAX));
        limiter.charge(MIB);
        assert!(!limiter.allows(u64::MAX));
    }

    #[test]
    fn overdraft_delays_next_batch() {
        let limiter = CompressionLimiter::default();
        // Begun together, one for each collector.
        assert!(limiter.allows(0) && limiter.allows(0));
        limiter.charge(3 * MIB);
        limiter.charge(2 * MIB);
        assert!(!limiter.allows(SECOND / 2), "four of eight in half");
        assert!(limiter.allows(SECOND / 2 + 1));
    }
}

//! How much of a worker's time compression may take: what is more than so many bytes in a second goes as
//! it is.

/// Bytes in a second, before compression, that are compressed at `fast` on one worker: a twentieth of its
/// time on a core that takes 6 ns for each.
const BYTES_IN_A_SECOND: u64 = 8 << 20;
/// What is saved up while there is less to do.
const MOST_SAVED: i64 = 1 << 20;

/// What may still be compressed now.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Bytes. Below zero: by so much the last batch was longer than what was left.
    left: i64,
    /// When that was so, in microseconds.
    at: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left: MOST_SAVED,
            at: 0,
        }
    }
}

impl Allowance {
    /// Whether a batch that is begun now may be compressed.
    pub(super) fn is_left(&mut self, now: u64) -> bool {
        let passed = now.saturating_sub(self.at);
        let earned = passed.saturating_mul(BYTES_IN_A_SECOND) / 1_000_000;
        let earned = i64::try_from(earned).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(earned).min(MOST_SAVED);
        self.at = now;
        self.left > 0
    }

    /// A batch of so many bytes has been compressed.
    pub(super) fn spend(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.left = self.left.saturating_sub(bytes);
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
    fn in_the_long_run_no_more_is_compressed_than_is_allowed() {
        for batch in [16 << 10, MIB, 3 * MIB] {
            let (mut allowance, mut compressed) = (Allowance::default(), 0);
            // 160 batches a second.
            for number in 0..1600 {
                if allowance.is_left(number * SECOND / 160) {
                    allowance.spend(batch);
                    compressed += batch;
                }
            }
            let all = 1600 * batch;
            let allowed = 10 * 8 * MIB + MIB;
            let least = all.min(allowed - 3 * MIB);
            let most = all.min(allowed + batch);
            assert!((least..=most).contains(&compressed), "{compressed}");
        }
    }

    #[test]
    fn a_pause_saves_up_no_more_than_a_mebibyte() {
        let mut allowance = Allowance::default();
        allowance.spend(3 * MIB);
        assert!(!allowance.is_left(SECOND / 4), "two of eight in a quarter");
        assert!(allowance.is_left(SECOND / 2));
        assert!(allowance.is_left(u64::MAX));
        allowance.spend(MIB);
        assert!(!allowance.is_left(u64::MAX));
    }
}

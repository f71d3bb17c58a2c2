//! How much of a worker's time compression may take: what is more than so many bytes in a second goes as
//! it is.

use std::cell::Cell;

/// Bytes in a second, before compression, that are compressed at `fast` on one worker: a twentieth of its
/// time on a core that takes 6 ns for each.
const BYTES_IN_A_SECOND: u64 = 8 << 20;
/// What is saved up while there is less to do.
const MOST_SAVED: i64 = 1 << 20;

/// What the VM may still compress now.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// Bytes. Below zero: by so much the last batches were longer than what was left when they began.
    left: Cell<i64>,
    /// When that was so, in microseconds.
    at: Cell<u64>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left: Cell::new(MOST_SAVED),
            at: Cell::new(0),
        }
    }
}

impl Allowance {
    /// Whether a batch that is begun now may be compressed.
    pub(crate) fn suffices(&self, now: u64) -> bool {
        let passed = now.saturating_sub(self.at.replace(now));
        let earned = passed.saturating_mul(BYTES_IN_A_SECOND) / 1_000_000;
        let earned = i64::try_from(earned).unwrap_or(i64::MAX);
        let left = self.left.get().saturating_add(earned).min(MOST_SAVED);
        self.left.set(left);
        left > 0
    }

    /// A batch for which it sufficed has been compressed, of so many bytes.
    pub(crate) fn spend(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.left.set(self.left.get().saturating_sub(bytes));
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
            let (allowance, mut compressed) = (Allowance::default(), 0);
            // 160 batches a second.
            for number in 0..400 {
                if allowance.suffices(number * SECOND / 160) {
                    allowance.spend(batch);
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
    fn a_pause_saves_up_no_more_than_a_mebibyte() {
        let allowance = Allowance::default();
        allowance.spend(3 * MIB);
        assert!(!allowance.suffices(SECOND / 4), "two of eight in a quarter");
        assert!(allowance.suffices(SECOND / 2));
        assert!(allowance.suffices(u64::MAX));
        allowance.spend(MIB);
        assert!(!allowance.suffices(u64::MAX));
    }

    #[test]
    fn what_several_batches_owe_is_worked_off_before_the_next() {
        let allowance = Allowance::default();
        // Begun together, one for each collector.
        assert!(allowance.suffices(0) && allowance.suffices(0));
        allowance.spend(3 * MIB);
        allowance.spend(2 * MIB);
        assert!(!allowance.suffices(SECOND / 2), "four of eight in half");
        assert!(allowance.suffices(SECOND / 2 + 1));
    }
}

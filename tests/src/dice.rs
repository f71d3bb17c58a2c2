//! Chance that can be repeated: the same seed, the same numbers (`SplitMix64`).

use std::ops::Range;
use std::time::Duration;

/// An endless row of numbers that look like chance.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The row of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let state = self.0;
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of 0 to `bound` - 1; 0 if there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.roll() % bound).unwrap_or(0)
    }

    /// So many milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        let width = range.end.saturating_sub(range.start).max(1);
        Duration::from_millis(range.start + self.roll() % width)
    }

    /// Puts a list into another order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let other = self.below(last + 1);
            list.swap(last, other);
        }
    }
}

impl Iterator for Dice {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        Some(self.roll())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_row_of_numbers_within_bounds() {
        // The first numbers of SplitMix64 for the seed 0.
        let first: Vec<_> = Dice::new(0).take(2).collect();
        assert_eq!(first, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        let mut dice = Dice::new(7);
        let mut list: Vec<_> = (0..20).collect();
        dice.shuffle(&mut list);
        assert_ne!(list, (0..20).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..20).collect::<Vec<_>>());
        for _ in 0..100 {
            assert!(dice.below(3) < 3);
            let pause = dice.millis(5..8);
            assert!(pause >= Duration::from_millis(5) && pause < Duration::from_millis(8));
        }
        assert_eq!(dice.below(0), 0);
    }
}

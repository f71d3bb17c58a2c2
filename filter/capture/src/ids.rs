//! Generates `UUIDv7` from the host's clock and random bytes, which are fetched in blocks because each
//! fetch is a hostcall.

use uuid::{Builder, Uuid};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::host::Host;

const BLOCK_BYTES: usize = 512;

/// A buffer of the host's random bytes.
#[derive(Debug)]
pub(crate) struct IdGenerator {
    block: [u8; BLOCK_BYTES],
    used: usize,
    refills: u64,
}

impl Default for IdGenerator {
    fn default() -> Self {
        Self {
            block: [0; BLOCK_BYTES],
            used: BLOCK_BYTES,
            refills: 0,
        }
    }
}

impl IdGenerator {
    /// A `UUIDv7` with the given time.
    pub(crate) fn uuid(&mut self, host: &impl Host, wall_micros: u64) -> Uuid {
        let random = self.take_random(host);
        Builder::from_unix_timestamp_millis(wall_micros / 1000, &random).into_uuid()
    }

    /// A random number below the bound, for jitter.
    pub(crate) fn random_below(&mut self, host: &impl Host, bound: u64) -> u64 {
        let random = self.take_random(host);
        let number = random.first_chunk().copied().map_or(0, u64::from_le_bytes);
        number.checked_rem(bound).unwrap_or(0)
    }

    fn take_random(&mut self, host: &impl Host) -> [u8; 10] {
        if self.used + 10 > BLOCK_BYTES {
            self.refill(host);
        }
        let mut taken = [0; 10];
        if let Some(bytes) = self.block.get(self.used..self.used + 10) {
            taken.copy_from_slice(bytes);
        }
        self.used += 10;
        taken
    }

    fn refill(&mut self, host: &impl Host) {
        self.refills += 1;
        self.used = 0;
        if host.random(&mut self.block) {
            return;
        }
        // Without random bytes of the host, ids derived from the clocks are better than equal ids.
        let seed = host.wall_clock() ^ self.refills.rotate_left(32);
        for (piece, number) in self.block.chunks_mut(16).zip(host.steady_clock()..) {
            let mixed = xxh3_128_with_seed(&number.to_le_bytes(), seed).to_le_bytes();
            piece.copy_from_slice(mixed.get(..piece.len()).unwrap_or(&mixed));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::testing::FakeHost;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn ids_are_distinct_without_host_randomness() {
        for has_random in [true, false] {
            let host = FakeHost::new();
            host.has_random.set(has_random);
            let mut ids = IdGenerator::default();
            let made: HashSet<_> = (0..1000)
                .map(|_| ids.uuid(&host, 1_700_000_000_000_000))
                .collect();
            assert_eq!(made.len(), 1000);
            for id in made {
                assert_eq!(id.get_version_num(), 7);
                assert_eq!(id.get_timestamp().unwrap().to_unix(), (1_700_000_000, 0));
            }
        }
    }

    #[test]
    fn fetches_random_bytes_in_blocks() {
        let host = FakeHost::new();
        let mut ids = IdGenerator::default();
        for _ in 0..51 {
            ids.random_below(&host, 10);
        }
        assert_eq!(host.random_calls.get(), 1);
    }
}

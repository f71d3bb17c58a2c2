//! Decides by the request id which exchanges are recorded, so that both halves and all proxies on the
//! request's path agree.

use xxhash_rust::xxh3::xxh3_64;

/// A ratio from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SampleRate {
    /// An exchange is recorded if the hash of its request id is below this. 2^64 includes all.
    threshold: u128,
}

impl Default for SampleRate {
    fn default() -> Self {
        Self { threshold: ALL }
    }
}

const ALL: u128 = 1 << 64;
/// The character of the UUID that Envoy overwrites with the trace reason, at each proxy.
const TRACE_REASON_INDEX: usize = 14;

impl SampleRate {
    /// The ratio is clamped to 0 to 1.
    pub(crate) fn new(ratio: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "the ratio is clamped, and has no more digits than a double"
        )]
        let threshold = (ratio.clamp(0.0, 1.0) * ALL as f64) as u128;
        Self { threshold }
    }

    /// Whether every request is included, whatever its id.
    pub(crate) const fn is_all(self) -> bool {
        self.threshold == ALL
    }

    /// Whether no request is included, whatever its id.
    pub(crate) const fn is_zero(self) -> bool {
        self.threshold == 0
    }

    pub(crate) fn includes(self, request_id: &[u8]) -> bool {
        let number = match request_id.split_at_checked(TRACE_REASON_INDEX) {
            Some((before, rest)) if is_uuid(request_id) => {
                let mut stable = Vec::with_capacity(request_id.len());
                stable.extend_from_slice(before);
                stable.extend_from_slice(rest.get(1..).unwrap_or_default());
                xxh3_64(&stable)
            }
            _ => xxh3_64(request_id),
        };
        u128::from(number) < self.threshold
    }
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse_ascii(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn smaller_sample_is_part_of_larger() {
        let (small, large) = (SampleRate::new(0.1), SampleRate::new(0.5));
        let ids: Vec<_> = (0..10_000_u32).map(u32::to_le_bytes).collect();
        let taken = |sample: SampleRate| ids.iter().filter(|id| sample.includes(&id[..])).count();
        // Three times the standard deviation of a binomial distribution.
        assert!((910..=1090).contains(&taken(small)), "{}", taken(small));
        assert!((4850..=5150).contains(&taken(large)), "{}", taken(large));
        assert!(
            ids.iter()
                .all(|id| !small.includes(id) || large.includes(id))
        );
        assert_eq!(taken(SampleRate::new(0.0)), 0);
        assert_eq!(taken(SampleRate::new(1.0)), ids.len());
        assert!(SampleRate::new(1.0).is_all() && !large.is_all());
    }

    #[test]
    fn ignores_trace_reason_in_request_id() {
        let half = SampleRate::new(0.5);
        let mut decisions = [0, 0];
        for number in 0..1000_u64 {
            let id = |reason: char| format!("{number:08x}-0000-{reason}000-8000-000000000000");
            let decided = half.includes(id('4').as_bytes());
            assert!(
                ['9', 'a', 'b']
                    .iter()
                    .all(|it| half.includes(id(*it).as_bytes()) == decided)
            );
            decisions[usize::from(decided)] += 1;
        }
        assert!(decisions[0] > 400 && decisions[1] > 400, "{decisions:?}");
    }
}

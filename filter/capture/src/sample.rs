//! Which share of the exchanges is recorded, decided by the request's id: so both halves agree, and
//! all proxies that the request passes.

use xxhash_rust::xxh3::xxh3_64;

/// A share from nothing to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// An exchange whose number is below this is recorded. 2^64 stands for all.
    below: u128,
}

impl Default for Sample {
    fn default() -> Self {
        Self { below: ALL }
    }
}

const ALL: u128 = 1 << 64;
/// Where Envoy writes the reason of a trace into the id, each proxy anew.
const TRACE_REASON: usize = 14;

impl Sample {
    /// A share from 0 to 1.
    pub(crate) fn of(share: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "the share is clamped, and a share has no more digits than a double"
        )]
        let below = (share.clamp(0.0, 1.0) * ALL as f64) as u128;
        Self { below }
    }

    /// Whether everything is recorded, so that nothing need be asked.
    pub(crate) const fn is_all(self) -> bool {
        self.below == ALL
    }

    /// Whether the request of this id is recorded.
    pub(crate) fn takes(self, request_id: &[u8]) -> bool {
        let number = match request_id.split_at_checked(TRACE_REASON) {
            Some((before, rest)) if is_uuid(request_id) => {
                let mut same = Vec::with_capacity(request_id.len());
                same.extend_from_slice(before);
                same.extend_from_slice(rest.get(1..).unwrap_or_default());
                xxh3_64(&same)
            }
            _ => xxh3_64(request_id),
        };
        u128::from(number) < self.below
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
    fn the_share_is_met_and_a_smaller_one_lies_within_a_larger() {
        let (small, large) = (Sample::of(0.1), Sample::of(0.5));
        let ids: Vec<_> = (0..10_000_u32).map(u32::to_le_bytes).collect();
        let taken = |sample: Sample| ids.iter().filter(|id| sample.takes(&id[..])).count();
        // Three times the standard deviation of a binomial distribution.
        assert!((910..=1090).contains(&taken(small)), "{}", taken(small));
        assert!((4850..=5150).contains(&taken(large)), "{}", taken(large));
        assert!(ids.iter().all(|id| !small.takes(id) || large.takes(id)));
        assert_eq!(taken(Sample::of(0.0)), 0);
        assert_eq!(taken(Sample::of(1.0)), ids.len());
        assert!(Sample::of(1.0).is_all() && !large.is_all());
    }

    #[test]
    fn the_reason_of_a_trace_makes_no_difference() {
        let half = Sample::of(0.5);
        let mut decisions = [0, 0];
        for number in 0..1000_u64 {
            let id = |reason: char| format!("{number:08x}-0000-{reason}000-8000-000000000000");
            let decided = half.takes(id('4').as_bytes());
            assert!(
                ['9', 'a', 'b']
                    .iter()
                    .all(|it| half.takes(id(*it).as_bytes()) == decided)
            );
            decisions[usize::from(decided)] += 1;
        }
        assert!(decisions[0] > 400 && decisions[1] > 400, "{decisions:?}");
    }
}

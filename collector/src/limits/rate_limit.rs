//! How often one caller may ask: a token bucket for each, in memory, and no more than so many buckets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

use crate::http::error::ApiError;
use crate::model::key::Credential;
use crate::settings::access::Rate;

/// Callers that are told apart at a time. A bucket takes some hundred bytes.
const MOST_BUCKETS: usize = 10_000;

/// Counts the requests of each caller.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    rate: Option<Rate>,
    buckets: Arc<Mutex<HashMap<Credential, Bucket>>>,
}

/// What a caller has left. A full bucket is the same as none.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    requests: f64,
    at: OffsetDateTime,
}

impl RateLimiter {
    /// With this rate; without one, nobody is limited.
    #[must_use]
    pub fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            buckets: Arc::default(),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`] if the caller has none left. At least one comes each second.
    pub fn take(&self, caller: &Credential, now: OffsetDateTime) -> Result<(), ApiError> {
        let Some(rate) = self.rate else { return Ok(()) };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = if let Some(bucket) = buckets.get(caller) {
            bucket.refilled(rate, now)
        } else {
            make_room(&mut buckets, rate, now);
            Bucket::full(rate, now)
        };
        let taken = bucket.take();
        buckets.insert(caller.clone(), taken.unwrap_or(bucket));
        taken.map(|_| ()).ok_or(ApiError::RateLimited)
    }
}

impl Bucket {
    fn full(rate: Rate, at: OffsetDateTime) -> Self {
        Self {
            requests: rate.burst.get().into(),
            at,
        }
    }

    fn refilled(self, rate: Rate, now: OffsetDateTime) -> Self {
        // A clock that is set back gives nothing, and takes nothing.
        let seconds = (now - self.at).as_seconds_f64().max(0.0);
        let requests = self.requests + seconds * f64::from(rate.per_second.get());
        Self {
            requests: requests.min(rate.burst.get().into()),
            at: now,
        }
    }

    fn take(self) -> Option<Self> {
        let requests = self.requests - 1.0;
        (requests >= 0.0).then_some(Self { requests, ..self })
    }
}

/// Forgets buckets that are full again; if all are in use, the fullest, whose caller gains least.
fn make_room(buckets: &mut HashMap<Credential, Bucket>, rate: Rate, now: OffsetDateTime) {
    if buckets.len() < MOST_BUCKETS {
        return;
    }
    let left = |bucket: &Bucket| bucket.refilled(rate, now).requests;
    buckets.retain(|_, bucket| left(bucket) < rate.burst.get().into());
    if buckets.len() < MOST_BUCKETS {
        return;
    }
    let fullest = buckets
        .iter()
        .max_by(|a, b| left(a.1).total_cmp(&left(b.1)));
    if let Some(caller) = fullest.map(|(caller, _)| caller.clone()) {
        buckets.remove(&caller);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use time::Duration;
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;
    use crate::model::ids::KeyId;

    const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

    fn limiter(per_second: u32, burst: u32) -> RateLimiter {
        RateLimiter::new(Some(Rate {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        }))
    }

    fn caller(number: usize) -> Credential {
        Credential::Key(KeyId(Uuid::from_u128(number as u128)))
    }

    /// How many requests pass at an instant.
    fn passing(limiter: &RateLimiter, caller: &Credential, now: OffsetDateTime) -> usize {
        (0..1000)
            .take_while(|_| limiter.take(caller, now).is_ok())
            .count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limiter = limiter(10, 25);
        assert_eq!(passing(&limiter, &caller(1), NOW), 25);
        let refused = limiter.take(&caller(1), NOW);
        assert!(matches!(refused, Err(ApiError::RateLimited)));
        assert_eq!(
            passing(&limiter, &caller(1), NOW + Duration::milliseconds(500)),
            5
        );
        assert_eq!(passing(&limiter, &caller(1), NOW + Duration::hours(1)), 25);
    }

    #[test]
    fn callers_do_not_share_a_bucket_and_a_clock_set_back_gives_nothing() {
        let limiter = limiter(10, 3);
        assert_eq!(passing(&limiter, &caller(1), NOW), 3);
        assert_eq!(passing(&limiter, &caller(2), NOW), 3);
        assert_eq!(passing(&limiter, &caller(1), NOW - Duration::hours(1)), 0);
    }

    #[test]
    fn without_a_rate_all_pass_and_nothing_is_kept() {
        let limiter = RateLimiter::new(None);
        assert_eq!(passing(&limiter, &caller(1), NOW), 1000);
        assert_eq!(limiter.buckets.lock().unwrap().len(), 0);
    }

    #[test]
    fn buckets_have_a_bound_and_the_emptiest_are_kept() {
        let limiter = limiter(1, 2);
        assert_eq!(passing(&limiter, &caller(0), NOW), 2);
        for number in 1..MOST_BUCKETS + 5 {
            limiter.take(&caller(number), NOW).unwrap();
        }
        assert_eq!(limiter.buckets.lock().unwrap().len(), MOST_BUCKETS);
        assert_eq!(passing(&limiter, &caller(0), NOW), 0);
        // Two seconds later all are full, and all but the newcomer are forgotten.
        limiter
            .take(&caller(MOST_BUCKETS * 2), NOW + Duration::seconds(2))
            .unwrap();
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
    }
}

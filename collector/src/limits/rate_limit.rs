//! How often a caller may ask: a token bucket for each, in memory, and a bounded number of buckets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

use crate::model::key::Credential;
use crate::settings::access::Rate;

/// Callers that are counted at a time. A bucket takes some hundred bytes.
const MAX_BUCKETS: usize = 10_000;

/// Counts the requests of each caller. Clones share the counts.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    rate: Option<Rate>,
    buckets: Arc<Mutex<HashMap<Credential, Bucket>>>,
}

/// The requests that a caller has left. A full bucket is the same as none.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    requests: f64,
    at: OffsetDateTime,
}

/// A caller has asked more often than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rate limit exceeded")]
pub struct RateLimitExceeded;

impl RateLimiter {
    /// Without a rate, no caller is limited.
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
    /// [`RateLimitExceeded`] if the caller has none left. Each second refills at least one.
    pub fn take(&self, caller: &Credential, now: OffsetDateTime) -> Result<(), RateLimitExceeded> {
        let Some(rate) = self.rate else { return Ok(()) };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = if let Some(bucket) = buckets.get(caller) {
            bucket.refilled(rate, now)
        } else {
            evict(&mut buckets, rate, now);
            Bucket::full(rate, now)
        };
        let taken = bucket.take();
        buckets.insert(caller.clone(), taken.unwrap_or(bucket));
        taken.map(|_| ()).ok_or(RateLimitExceeded)
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
        // A clock that is set back neither adds nor removes requests.
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

/// Removes buckets that are full again; if all are in use, the fullest, whose caller gains least.
fn evict(buckets: &mut HashMap<Credential, Bucket>, rate: Rate, now: OffsetDateTime) {
    if buckets.len() < MAX_BUCKETS {
        return;
    }
    let left = |bucket: &Bucket| bucket.refilled(rate, now).requests;
    buckets.retain(|_, bucket| left(bucket) < rate.burst.get().into());
    if buckets.len() < MAX_BUCKETS {
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

    /// How many requests are allowed at an instant.
    fn allowed(limiter: &RateLimiter, caller: &Credential, now: OffsetDateTime) -> usize {
        (0..1000)
            .take_while(|_| limiter.take(caller, now).is_ok())
            .count()
    }

    #[test]
    fn allows_burst_then_steady_rate() {
        let limiter = limiter(10, 25);
        assert_eq!(allowed(&limiter, &caller(1), NOW), 25);
        let refused = limiter.take(&caller(1), NOW);
        assert!(refused == Err(RateLimitExceeded));
        assert_eq!(
            allowed(&limiter, &caller(1), NOW + Duration::milliseconds(500)),
            5
        );
        assert_eq!(allowed(&limiter, &caller(1), NOW + Duration::hours(1)), 25);
    }

    #[test]
    fn separates_callers_and_ignores_clock_set_back() {
        let limiter = limiter(10, 3);
        assert_eq!(allowed(&limiter, &caller(1), NOW), 3);
        assert_eq!(allowed(&limiter, &caller(2), NOW), 3);
        assert_eq!(allowed(&limiter, &caller(1), NOW - Duration::hours(1)), 0);
    }

    #[test]
    fn without_rate_allows_all_and_stores_nothing() {
        let limiter = RateLimiter::new(None);
        assert_eq!(allowed(&limiter, &caller(1), NOW), 1000);
        assert_eq!(limiter.buckets.lock().unwrap().len(), 0);
    }

    #[test]
    fn at_bucket_limit_evicts_fullest() {
        let limiter = limiter(1, 2);
        assert_eq!(allowed(&limiter, &caller(0), NOW), 2);
        for number in 1..MAX_BUCKETS + 5 {
            limiter.take(&caller(number), NOW).unwrap();
        }
        assert_eq!(limiter.buckets.lock().unwrap().len(), MAX_BUCKETS);
        assert_eq!(allowed(&limiter, &caller(0), NOW), 0);
        // Two seconds later all are full, and all but the newest are removed.
        limiter
            .take(&caller(MAX_BUCKETS * 2), NOW + Duration::seconds(2))
            .unwrap();
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
    }
}

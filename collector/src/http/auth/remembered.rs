//! Keys that were good a short while ago, so that batches can go to the spool while Postgres, which
//! knows the keys, is away. They count for nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};

use crate::model::key::{Caller, SecretHash};

/// Producers are few: proxies share a key.
const MOST: usize = 256;
/// The longest outage that producers get over.
const FOR: Duration = Duration::DAY;

/// Cloning it clones a handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered(Arc<Mutex<HashMap<SecretHash, Key>>>);

#[derive(Debug)]
struct Key {
    caller: Caller,
    checked_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
}

impl Remembered {
    /// Remembers a key that Postgres has just found good.
    pub(super) fn remember(
        &self,
        hash: SecretHash,
        caller: Caller,
        checked_at: OffsetDateTime,
        expires_at: Option<OffsetDateTime>,
    ) {
        let mut keys = self.keys();
        if keys.len() >= MOST && !keys.contains_key(&hash) {
            let oldest = keys.iter().min_by_key(|(_, key)| key.checked_at);
            if let Some(oldest) = oldest.map(|(hash, _)| hash.clone()) {
                keys.remove(&oldest);
            }
        }
        let key = Key {
            caller,
            checked_at,
            expires_at,
        };
        keys.insert(hash, key);
    }

    /// Forgets a key that Postgres has just found bad.
    pub(super) fn forget(&self, hash: &SecretHash) {
        self.keys().remove(hash);
    }

    /// Who holds a key, as far as is remembered.
    pub(super) fn caller(&self, hash: &SecretHash, now: OffsetDateTime) -> Option<Caller> {
        let keys = self.keys();
        let key = keys.get(hash)?;
        let is_good = now - key.checked_at < FOR && key.expires_at.is_none_or(|at| at > now);
        is_good.then(|| key.caller.clone())
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<SecretHash, Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;
    use crate::model::ids::{KeyId, UserId};
    use crate::model::key::{Credential, Role, Secret};

    const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

    fn hash() -> SecretHash {
        Secret::generate().unwrap().hash()
    }

    fn caller() -> Caller {
        Caller {
            credential: Credential::Key(KeyId(Uuid::nil())),
            user: UserId::new("proxy").unwrap(),
            role: Role::Ingest,
        }
    }

    #[test]
    fn a_key_is_remembered_for_a_day_and_not_past_its_own_end() {
        let (remembered, hash, other) = (Remembered::default(), hash(), hash());
        assert!(remembered.caller(&hash, NOW).is_none());
        remembered.remember(hash.clone(), caller(), NOW, None);
        let ends = Some(NOW + Duration::HOUR);
        remembered.remember(other.clone(), caller(), NOW, ends);
        let later = |hash, after| remembered.caller(hash, NOW + after).is_some();
        assert!(later(&hash, Duration::hours(23)) && !later(&hash, Duration::DAY));
        assert!(later(&other, Duration::minutes(59)) && !later(&other, Duration::HOUR));
        remembered.forget(&hash);
        assert!(!later(&hash, Duration::ZERO));
    }

    #[test]
    fn of_too_many_the_oldest_is_forgotten() {
        let (remembered, first) = (Remembered::default(), hash());
        remembered.remember(first.clone(), caller(), NOW, None);
        for _ in 1..MOST {
            remembered.remember(hash(), caller(), NOW + Duration::SECOND, None);
        }
        assert!(remembered.caller(&first, NOW).is_some());
        remembered.remember(hash(), caller(), NOW + Duration::SECOND, None);
        assert!(remembered.caller(&first, NOW).is_none());
        assert_eq!(remembered.keys().len(), MOST);
    }
}

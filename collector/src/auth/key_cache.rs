//! Producers' keys that were valid lately, so that batches can go to the spool while Postgres, which
//! holds the keys, is unavailable. They are used for nothing else.

mod file;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};

use self::file::KeyCacheFile;
use crate::model::key::{ApiKeyHash, Caller};

/// Producers are few: proxies share a key.
const MAX_KEYS: usize = 256;
/// The longest outage during which producers are authenticated.
const MAX_AGE: Duration = Duration::DAY;
/// A key that stays valid is not written to disk with each batch. For a collector that is started without
/// Postgres, it may expire earlier by this much.
const SAVE_INTERVAL: Duration = Duration::HOUR;

type Keys = HashMap<ApiKeyHash, CachedKey>;

/// Clones share the keys.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyCache {
    keys: Arc<Mutex<Keys>>,
    file: Option<KeyCacheFile>,
}

#[derive(Debug, Clone)]
struct CachedKey {
    caller: Caller,
    checked_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    /// The `checked_at` that is on disk.
    saved_at: Option<OffsetDateTime>,
}

impl KeyCache {
    /// With the keys in this file, and saving there. It needs a running Tokio.
    pub(super) fn with_file(file: PathBuf) -> Self {
        Self {
            keys: Arc::new(Mutex::new(file::load(&file))),
            file: Some(KeyCacheFile::spawn(file)),
        }
    }

    /// Whether any key is valid at `now`.
    pub(super) fn has_valid_key(&self, now: OffsetDateTime) -> bool {
        self.keys().values().any(|key| key.is_valid(now))
    }

    /// Caches a key that Postgres has just found valid.
    pub(super) fn insert(
        &self,
        hash: ApiKeyHash,
        caller: Caller,
        checked_at: OffsetDateTime,
        expires_at: Option<OffsetDateTime>,
    ) {
        let mut keys = self.keys();
        if keys.len() >= MAX_KEYS && !keys.contains_key(&hash) {
            let oldest = keys.iter().min_by_key(|(_, key)| key.checked_at);
            if let Some(oldest) = oldest.map(|(hash, _)| hash.clone()) {
                keys.remove(&oldest);
            }
        }
        let saved_at = keys.get(&hash).and_then(|key| key.saved_at);
        let is_saved =
            saved_at.is_some_and(|at| (Duration::ZERO..SAVE_INTERVAL).contains(&(checked_at - at)));
        let key = CachedKey {
            caller,
            checked_at,
            expires_at,
            saved_at: if is_saved { saved_at } else { Some(checked_at) },
        };
        keys.insert(hash, key);
        if !is_saved {
            self.save(&keys);
        }
    }

    /// Removes a key that Postgres has just found invalid.
    pub(super) fn remove(&self, hash: &ApiKeyHash) {
        let mut keys = self.keys();
        if keys.remove(hash).is_some() {
            self.save(&keys);
        }
    }

    /// Who holds a key, if it is cached and valid at `now`.
    pub(super) fn get(&self, hash: &ApiKeyHash, now: OffsetDateTime) -> Option<Caller> {
        let keys = self.keys();
        let key = keys.get(hash)?;
        key.is_valid(now).then(|| key.caller.clone())
    }

    fn save(&self, keys: &Keys) {
        if let Some(file) = &self.file {
            file.save(keys);
        }
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CachedKey {
    fn is_valid(&self, now: OffsetDateTime) -> bool {
        now - self.checked_at < MAX_AGE && self.expires_at.is_none_or(|at| at > now)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;
    use crate::model::ids::{KeyId, UserId};
    use crate::model::key::{ApiKey, Credential, Role};

    const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

    fn hash() -> ApiKeyHash {
        ApiKey::generate().unwrap().hash()
    }

    fn caller() -> Caller {
        Caller {
            credential: Credential::Key(KeyId(Uuid::nil())),
            user: UserId::new("proxy").unwrap(),
            role: Role::Ingest,
        }
    }

    #[test]
    fn cached_keys_expire_within_one_day() {
        let (cache, hash, other) = (KeyCache::default(), hash(), hash());
        assert!(cache.get(&hash, NOW).is_none());
        cache.insert(hash.clone(), caller(), NOW, None);
        let ends = Some(NOW + Duration::HOUR);
        cache.insert(other.clone(), caller(), NOW, ends);
        let later = |hash, after| cache.get(hash, NOW + after).is_some();
        assert!(later(&hash, Duration::hours(23)) && !later(&hash, Duration::DAY));
        assert!(later(&other, Duration::minutes(59)) && !later(&other, Duration::HOUR));
        cache.remove(&hash);
        assert!(!later(&hash, Duration::ZERO));
    }

    #[test]
    fn at_capacity_evicts_oldest_key() {
        let (cache, first) = (KeyCache::default(), hash());
        cache.insert(first.clone(), caller(), NOW, None);
        for _ in 1..MAX_KEYS {
            cache.insert(hash(), caller(), NOW + Duration::SECOND, None);
        }
        assert!(cache.get(&first, NOW).is_some());
        cache.insert(hash(), caller(), NOW + Duration::SECOND, None);
        assert!(cache.get(&first, NOW).is_none());
        assert_eq!(cache.keys().len(), MAX_KEYS);
    }

    /// The cache after a restart, as soon as the file is as expected.
    async fn restarted(file: &Path, is_expected: impl Fn(&KeyCache) -> bool) -> KeyCache {
        for _ in 0..1000 {
            let cache = KeyCache::with_file(file.to_owned());
            if is_expected(&cache) {
                return cache;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the file is never as expected");
    }

    #[tokio::test]
    async fn saved_keys_survive_restart_as_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let cache = KeyCache::with_file(file.clone());
        assert!(!cache.has_valid_key(NOW));
        let (secret, ends) = (ApiKey::generate().unwrap(), Some(NOW + Duration::HOUR));
        cache.insert(secret.hash(), caller(), NOW, ends);
        let again = restarted(&file, |it| it.has_valid_key(NOW)).await;
        let known = again.get(&secret.hash(), NOW).unwrap();
        assert_eq!((known.user, known.role), (caller().user, Role::Ingest));
        assert_eq!(known.credential, caller().credential);
        assert!(!again.has_valid_key(NOW + Duration::HOUR), "it expires");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(secret.reveal()));

        again.remove(&secret.hash());
        restarted(&file, |it| !it.has_valid_key(NOW)).await;
    }

    #[tokio::test]
    async fn saves_valid_key_hourly() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let (cache, hash) = (KeyCache::with_file(file.clone()), hash());
        let saved_at = || cache.keys()[&hash].saved_at.unwrap();
        for (after, saved) in [(0, 0), (59, 0), (60, 60), (119, 60), (30, 30)] {
            let at = NOW + Duration::minutes(after);
            cache.insert(hash.clone(), caller(), at, None);
            assert_eq!(saved_at(), NOW + Duration::minutes(saved), "{after}");
        }
    }

    #[tokio::test]
    async fn malformed_file_counts_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let hash = URL_SAFE_NO_PAD.encode([7; 32]);
        for text in [
            "",
            "[{}]",
            "nothing",
            &format!(r#"[{{"sha256":"{hash}"}}]"#),
        ] {
            std::fs::write(&file, text).unwrap();
            assert!(
                !KeyCache::with_file(file.clone()).has_valid_key(NOW),
                "{text}"
            );
        }
        std::fs::write(&file, vec![b' '; (1 << 20) + 1]).unwrap();
        assert!(!KeyCache::with_file(file.clone()).has_valid_key(NOW));
    }
}

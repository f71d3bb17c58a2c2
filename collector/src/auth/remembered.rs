//! Keys that were good a short while ago, so that batches can go to the spool while Postgres, which
//! knows the keys, is away. They count for nothing else.

mod kept;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};

use self::kept::Shelf;
use crate::model::key::{ApiKeyHash, Caller};

/// Producers are few: proxies share a key.
const MOST: usize = 256;
/// The longest outage that producers get over.
const FOR: Duration = Duration::DAY;
/// A key that goes on being good is not written to disk with each batch. A collector that is started
/// without Postgres may forget it by so much earlier.
const KEPT_EVERY: Duration = Duration::HOUR;

type Keys = HashMap<ApiKeyHash, Key>;

/// Cloning it clones a handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered {
    keys: Arc<Mutex<Keys>>,
    shelf: Option<Shelf>,
}

#[derive(Debug, Clone)]
struct Key {
    caller: Caller,
    checked_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    /// As of when it is on disk.
    kept_at: Option<OffsetDateTime>,
}

impl Remembered {
    /// With what is remembered in a file, and remembering there. It needs a running Tokio.
    pub(super) fn kept_in(file: PathBuf) -> Self {
        Self {
            keys: Arc::new(Mutex::new(kept::read(&file))),
            shelf: Some(Shelf::new(file)),
        }
    }

    /// Whether some key may count at this time.
    pub(super) fn any(&self, now: OffsetDateTime) -> bool {
        self.keys().values().any(|key| key.is_good(now))
    }

    /// Remembers a key that Postgres has just found good.
    pub(super) fn remember(
        &self,
        hash: ApiKeyHash,
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
        let kept_at = keys.get(&hash).and_then(|key| key.kept_at);
        let is_kept =
            kept_at.is_some_and(|at| (Duration::ZERO..KEPT_EVERY).contains(&(checked_at - at)));
        let key = Key {
            caller,
            checked_at,
            expires_at,
            kept_at: if is_kept { kept_at } else { Some(checked_at) },
        };
        keys.insert(hash, key);
        if !is_kept {
            self.keep(&keys);
        }
    }

    /// Forgets a key that Postgres has just found bad.
    pub(super) fn forget(&self, hash: &ApiKeyHash) {
        let mut keys = self.keys();
        if keys.remove(hash).is_some() {
            self.keep(&keys);
        }
    }

    /// Who holds a key, as far as is remembered.
    pub(super) fn caller(&self, hash: &ApiKeyHash, now: OffsetDateTime) -> Option<Caller> {
        let keys = self.keys();
        let key = keys.get(hash)?;
        key.is_good(now).then(|| key.caller.clone())
    }

    fn keep(&self, keys: &Keys) {
        if let Some(shelf) = &self.shelf {
            shelf.put(keys);
        }
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn is_good(&self, now: OffsetDateTime) -> bool {
        now - self.checked_at < FOR && self.expires_at.is_none_or(|at| at > now)
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

    /// As a collector that is started again would know it, as soon as it is on disk.
    async fn after_a_start(file: &Path, knows: impl Fn(&Remembered) -> bool) -> Remembered {
        for _ in 0..1000 {
            let remembered = Remembered::kept_in(file.to_owned());
            if knows(&remembered) {
                return remembered;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("it never knows");
    }

    #[tokio::test]
    async fn what_is_remembered_outlives_the_collector_and_is_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let remembered = Remembered::kept_in(file.clone());
        assert!(!remembered.any(NOW));
        let (secret, ends) = (ApiKey::generate().unwrap(), Some(NOW + Duration::HOUR));
        remembered.remember(secret.hash(), caller(), NOW, ends);
        let again = after_a_start(&file, |it| it.any(NOW)).await;
        let known = again.caller(&secret.hash(), NOW).unwrap();
        assert_eq!((known.user, known.role), (caller().user, Role::Ingest));
        assert_eq!(known.credential, caller().credential);
        assert!(!again.any(NOW + Duration::HOUR), "it has its end");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(secret.reveal()));

        again.forget(&secret.hash());
        after_a_start(&file, |it| !it.any(NOW)).await;
    }

    #[tokio::test]
    async fn it_is_written_again_only_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let (remembered, hash) = (Remembered::kept_in(file.clone()), hash());
        let kept_at = || remembered.keys()[&hash].kept_at.unwrap();
        for (after, kept) in [(0, 0), (59, 0), (60, 60), (119, 60), (30, 30)] {
            let at = NOW + Duration::minutes(after);
            remembered.remember(hash.clone(), caller(), at, None);
            assert_eq!(kept_at(), NOW + Duration::minutes(kept), "{after}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_such_file_is_as_none() {
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
            assert!(!Remembered::kept_in(file.clone()).any(NOW), "{text}");
        }
        std::fs::write(&file, vec![b' '; (1 << 20) + 1]).unwrap();
        assert!(!Remembered::kept_in(file.clone()).any(NOW));
    }
}

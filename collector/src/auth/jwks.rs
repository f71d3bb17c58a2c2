//! The public keys of token signers: read from a file or a URL, cached, and read again when a token names
//! a key that is not among them.

mod set;
mod source;

use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::{Algorithm, DecodingKey};
use time::{Duration, OffsetDateTime};
use tokio::sync::{Mutex, MutexGuard};
use tracing::{info, instrument, warn};

use self::set::KeySet;
pub use self::source::JwksError;
pub(super) use self::source::Source;
use super::error::{AuthError, TokenError};

/// While the source answers, a withdrawn key is trusted no longer than this.
const REFRESH_AFTER: Duration = Duration::minutes(5);
/// While the source does not answer, the last keys are trusted this long.
const MAX_AGE: Duration = Duration::hours(1);
/// The source is read no more often, whatever keys tokens name.
const MIN_READ_INTERVAL: Duration = Duration::seconds(30);

/// A key set that is kept up to date with its source.
#[derive(Debug)]
pub(super) struct Jwks {
    source: Source,
    cached: RwLock<CachedKeySet>,
    /// When the source was last read. Held while reading it.
    last_read: Mutex<Option<OffsetDateTime>>,
}

#[derive(Debug, Clone, Default)]
struct CachedKeySet {
    keys: Arc<KeySet>,
    read_at: Option<OffsetDateTime>,
}

impl Jwks {
    /// Without keys yet; they are read for the first token.
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            cached: RwLock::default(),
            last_read: Mutex::default(),
        }
    }

    /// The key that a token says it is signed with, for this algorithm.
    ///
    /// # Errors
    /// [`TokenError::Signature`] if there is none; [`AuthError::JwksUnavailable`] if the source has not
    /// answered for too long.
    pub(super) async fn key(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        now: OffsetDateTime,
    ) -> Result<Arc<DecodingKey>, AuthError> {
        let cached = self.cached();
        let found = cached.keys.find(id, algorithm);
        if let Some(key) = &found
            && cached.is_within(REFRESH_AFTER, now)
        {
            return Ok(Arc::clone(key));
        }
        if found.is_none() {
            self.refresh(self.last_read.lock().await, now).await;
        } else if let Ok(last_read) = self.last_read.try_lock() {
            self.refresh(last_read, now).await;
        }
        // If another request is reading the source, the cached keys serve meanwhile.
        let cached = self.cached();
        if !cached.is_within(MAX_AGE, now) {
            return Err(AuthError::JwksUnavailable);
        }
        let found = cached.keys.find(id, algorithm);
        found.ok_or(TokenError::Signature.into())
    }

    /// Reads the keys again if they are in a file.
    ///
    /// # Errors
    /// [`JwksError`]; the keys read before stay in force then.
    pub(super) fn reload_file(&self, now: OffsetDateTime) -> Result<(), JwksError> {
        if let Some(keys) = self.source.read_file()? {
            self.replace(keys, now);
        }
        Ok(())
    }

    /// Reads the source, unless that was done within [`MIN_READ_INTERVAL`], perhaps while this one waited
    /// for the lock.
    #[instrument(name = "auth.refresh_jwks", skip_all)]
    async fn refresh(
        &self,
        mut last_read: MutexGuard<'_, Option<OffsetDateTime>>,
        now: OffsetDateTime,
    ) {
        if last_read.is_some_and(|at| is_within(at, MIN_READ_INTERVAL, now)) {
            return;
        }
        *last_read = Some(now);
        match self.source.read().await {
            Ok(keys) => {
                info!(source = %self.source, keys = keys.len(), "the keys of token signers were read");
                self.replace(keys, now);
            }
            Err(error) => {
                warn!(source = %self.source, %error, "the keys of token signers could not be read");
            }
        }
    }

    fn replace(&self, keys: KeySet, now: OffsetDateTime) {
        let cached = CachedKeySet {
            keys: Arc::new(keys),
            read_at: Some(now),
        };
        *self.cached.write().unwrap_or_else(PoisonError::into_inner) = cached;
    }

    fn cached(&self) -> CachedKeySet {
        self.cached
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl CachedKeySet {
    fn is_within(&self, time: Duration, now: OffsetDateTime) -> bool {
        self.read_at.is_some_and(|at| is_within(at, time, now))
    }
}

/// False also if the clock was set back: it is unknown how much time has passed then.
fn is_within(since: OffsetDateTime, time: Duration, now: OffsetDateTime) -> bool {
    (Duration::ZERO..time).contains(&(now - since))
}

#[cfg(test)]
mod tests;

//! The public keys of those who sign tokens: read from a file or a URL, kept for a while, read again
//! when a token names a key that is not among them.

mod set;
mod source;

use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::{Algorithm, DecodingKey};
use time::{Duration, OffsetDateTime};
use tokio::sync::{Mutex, MutexGuard};
use tracing::{info, warn};

use self::set::KeySet;
pub(super) use self::source::Source;
pub use self::source::SourceFault;
use super::fault::TokenFault;
use crate::http::error::ApiError;

/// A key that is withdrawn is trusted for so long at most, as long as the source answers.
const FRESH_FOR: Duration = Duration::minutes(5);
/// While the source does not answer, the last keys hold for so long.
const KEPT_FOR: Duration = Duration::hours(1);
/// The source is asked no more often, whatever tokens name.
const ASKED_AT_MOST_EVERY: Duration = Duration::seconds(30);

/// Keys that are kept up to date.
#[derive(Debug)]
pub(super) struct Jwks {
    source: Source,
    known: RwLock<Known>,
    /// When the source was last asked. Whoever holds it asks.
    asking: Mutex<Option<OffsetDateTime>>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    keys: Arc<KeySet>,
    since: Option<OffsetDateTime>,
}

impl Jwks {
    /// None yet; they are read when the first token comes.
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            known: RwLock::default(),
            asking: Mutex::default(),
        }
    }

    /// The key that a token says it is signed with, for this algorithm.
    ///
    /// # Errors
    /// [`TokenFault::Signature`] if there is none; [`ApiError::KeysUnavailable`] if the source has not
    /// answered for too long to know.
    pub(super) async fn key(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        now: OffsetDateTime,
    ) -> Result<Arc<DecodingKey>, ApiError> {
        let known = self.known();
        let found = known.keys.find(id, algorithm);
        if let Some(key) = &found
            && known.is_within(FRESH_FOR, now)
        {
            return Ok(Arc::clone(key));
        }
        if found.is_none() {
            self.ask(self.asking.lock().await, now).await;
        } else if let Ok(asking) = self.asking.try_lock() {
            self.ask(asking, now).await;
        }
        // If somebody else is asking, what is known will do meanwhile.
        let known = self.known();
        if !known.is_within(KEPT_FOR, now) {
            return Err(ApiError::KeysUnavailable);
        }
        let found = known.keys.find(id, algorithm);
        found.ok_or(ApiError::InvalidToken(TokenFault::Signature))
    }

    /// Reads the keys now if they are in a file, because it has changed.
    ///
    /// # Errors
    /// [`SourceFault`]; nothing changes then.
    pub(super) fn renew(&self, now: OffsetDateTime) -> Result<(), SourceFault> {
        if let Some(keys) = self.source.read_file()? {
            self.know(keys, now);
        }
        Ok(())
    }

    /// Asks the source, unless that was done a moment ago, perhaps while this one waited.
    async fn ask(&self, mut asked: MutexGuard<'_, Option<OffsetDateTime>>, now: OffsetDateTime) {
        if asked.is_some_and(|at| is_within(at, ASKED_AT_MOST_EVERY, now)) {
            return;
        }
        *asked = Some(now);
        match self.source.read().await {
            Ok(keys) => {
                info!(source = %self.source, keys = keys.len(), "the keys of token signers were read");
                self.know(keys, now);
            }
            Err(fault) => {
                warn!(source = %self.source, %fault, "the keys of token signers were not read");
            }
        }
    }

    fn know(&self, keys: KeySet, now: OffsetDateTime) {
        let known = Known {
            keys: Arc::new(keys),
            since: Some(now),
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn known(&self) -> Known {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Known {
    fn is_within(&self, time: Duration, now: OffsetDateTime) -> bool {
        self.since.is_some_and(|since| is_within(since, time, now))
    }
}

/// False too if the clock was set back: nobody knows how much time has passed then.
fn is_within(since: OffsetDateTime, time: Duration, now: OffsetDateTime) -> bool {
    (Duration::ZERO..time).contains(&(now - since))
}

#[cfg(test)]
mod tests;

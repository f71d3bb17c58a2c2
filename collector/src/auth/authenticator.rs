//! Authenticates callers by their keys and tokens. While Postgres is unavailable, producers are
//! authenticated by keys that were valid lately.

use std::path::Path;
use std::sync::Arc;

use time::OffsetDateTime;

use super::credentials::Credentials;
use super::error::{AuthError, TokenError};
use super::jwks::JwksError;
use super::jwt::TokenVerifier;
use super::key_cache::KeyCache;
use super::last_used::LastUsedRecorder;
use super::roles::WRITERS;
use crate::model::clock::Clock;
use crate::model::key::{ApiKey, ApiKeyHash, Caller};
use crate::outage::Outage;
use crate::settings::access::{JwtSecret, JwtSettings};
use crate::store::{Store, ValidKey};

/// In the spool's folder: the producers' keys that were valid lately.
const KEYS_FILE: &str = "keys";

/// Authenticates callers. Clones share its state.
#[derive(Debug, Clone)]
pub struct Authenticator {
    store: Store,
    clock: Clock,
    outage: Outage,
    tokens: Option<Arc<TokenVerifier>>,
    last_used: LastUsedRecorder,
    key_cache: KeyCache,
    certificate_for_batches: bool,
}

impl Authenticator {
    /// Keys are looked up in `store`; tokens are accepted if `jwt` says how to verify them. It needs a
    /// running Tokio.
    #[must_use]
    pub fn new(store: Store, clock: Clock, outage: Outage, jwt: Option<JwtSettings>) -> Self {
        Self {
            tokens: jwt.map(|jwt| Arc::new(TokenVerifier::new(jwt))),
            last_used: LastUsedRecorder::spawn(store.clone()),
            key_cache: KeyCache::default(),
            certificate_for_batches: false,
            store,
            clock,
            outage,
        }
    }

    /// The same, which stores producers' keys in this folder, so that they outlive the process. It needs a
    /// running Tokio.
    #[must_use]
    pub fn with_key_cache_in(mut self, folder: &Path) -> Self {
        self.key_cache = KeyCache::with_file(folder.join(KEYS_FILE));
        self
    }

    /// The same, which requires a client certificate for batches if `is_required`.
    #[must_use]
    pub const fn with_certificate_for_batches(mut self, is_required: bool) -> Self {
        self.certificate_for_batches = is_required;
        self
    }

    /// Whether batches are accepted only from clients that have presented a certificate.
    #[must_use]
    pub const fn requires_certificate_for_batches(&self) -> bool {
        self.certificate_for_batches
    }

    /// Verifies tokens with this secret from now on, if they are verified with a secret at all.
    pub fn replace_jwt_secret(&self, secret: &JwtSecret) {
        if let Some(tokens) = &self.tokens {
            tokens.replace_secret(secret);
        }
    }

    /// Reads the public keys that verify tokens again if they are in a file.
    ///
    /// # Errors
    /// [`JwksError`]; the keys read before stay in force then.
    pub fn reload_jwks_file(&self) -> Result<(), JwksError> {
        match &self.tokens {
            Some(tokens) => tokens.reload_jwks_file(self.clock.now()),
            None => Ok(()),
        }
    }

    /// Whether any producer can be authenticated while Postgres is unavailable.
    #[must_use]
    pub fn can_authenticate_producers(&self) -> bool {
        self.tokens.is_some() || self.key_cache.has_valid_key(self.clock.now())
    }

    /// Who sends these credentials.
    ///
    /// # Errors
    /// [`AuthError`]
    pub async fn authenticate(&self, credentials: &Credentials) -> Result<Caller, AuthError> {
        let now = self.clock.now();
        match (credentials, &self.tokens) {
            (Credentials::Key(secret), _) => {
                let found = self.store.find_valid_key(&secret.hash(), now).await?;
                let known = found.ok_or(TokenError::UnknownKey)?;
                self.record_use(&known);
                Ok(known.caller)
            }
            (Credentials::Token(token), Some(tokens)) => tokens.verify(token, now).await,
            (Credentials::Token(_), None) => Err(TokenError::UnknownFormat.into()),
        }
    }

    /// The same for a producer: while Postgres is unavailable, a key that was valid lately is valid.
    ///
    /// # Errors
    /// [`AuthError`]
    pub async fn authenticate_producer(
        &self,
        credentials: &Credentials,
    ) -> Result<Caller, AuthError> {
        match credentials {
            Credentials::Key(secret) => self.authenticate_producer_key(secret).await,
            Credentials::Token(_) => self.authenticate(credentials).await,
        }
    }

    async fn authenticate_producer_key(&self, secret: &ApiKey) -> Result<Caller, AuthError> {
        let (hash, now) = (secret.hash(), self.clock.now());
        if self.outage.is_active()
            && let Some(caller) = self.key_cache.get(&hash, now)
        {
            return Ok(caller);
        }
        match self.store.find_valid_key(&hash, now).await {
            Ok(Some(known)) => {
                self.record_use(&known);
                self.cache_producer(&known, hash, now);
                Ok(known.caller)
            }
            Ok(None) => {
                self.key_cache.remove(&hash);
                Err(TokenError::UnknownKey.into())
            }
            Err(error) if error.is_transient() => {
                self.outage.begin(&error);
                self.key_cache.get(&hash, now).ok_or(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn cache_producer(&self, known: &ValidKey, hash: ApiKeyHash, now: OffsetDateTime) {
        if WRITERS.contains(&known.caller.role) {
            let caller = known.caller.clone();
            self.key_cache.insert(hash, caller, now, known.expires_at);
        }
    }

    fn record_use(&self, known: &ValidKey) {
        if let Some(used) = known.unrecorded_use {
            self.last_used.record(used);
        }
    }
}

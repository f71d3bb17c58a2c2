//! Who is asking, and may they: a key or a token in `Authorization: Bearer`, or a key in `X-API-Key`.

mod certificate;
mod credentials;
mod fault;
mod jwks;
mod jwt;
mod remembered;
#[cfg(test)]
mod signer;
mod uses;

use std::path::Path;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use time::OffsetDateTime;

pub use self::certificate::ClientCertificate;
use self::credentials::Credentials;
pub use self::fault::TokenFault;
pub use self::jwks::SourceFault;
use self::jwt::Tokens;
use self::remembered::Remembered;
use self::uses::Uses;
use crate::app::App;
use crate::http::error::ApiError;
use crate::limits::rate_limit::RateLimiter;
use crate::model::ids::UserId;
use crate::model::key::{Caller, Role};
use crate::model::scope::Scope;
use crate::settings::access::{AccessSettings, JwtSecret};
use crate::store::{KnownCaller, Store};

/// Who may do everything.
pub(crate) const ADMINS: &[Role] = &[Role::Admin];
/// Who may read.
pub(crate) const READERS: &[Role] = &[Role::User, Role::Readonly, Role::Admin];
/// Who may send batches.
pub(crate) const WRITERS: &[Role] = &[Role::Ingest, Role::Admin];

/// In the spool's folder: the keys of producers that were good lately.
const KEYS_FILE: &str = "keys";

/// Knows callers by their keys and tokens. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct Door {
    tokens: Option<Arc<Tokens>>,
    uses: Uses,
    rates: RateLimiter,
    remembered: Remembered,
    certificate_for_batches: bool,
}

/// A caller who may read, at least their own data.
#[derive(Debug, Clone)]
pub struct Reader(Caller);

/// A caller who may do everything, for all users.
#[derive(Debug, Clone)]
pub struct Admin(pub Caller);

/// A caller who may send batches.
#[derive(Debug, Clone)]
pub struct Producer;

impl Door {
    /// A door with these settings, before this store. What has to be known while Postgres is away is kept
    /// in this folder, if there is one. It needs a running Tokio.
    #[must_use]
    pub fn new(settings: AccessSettings, store: &Store, folder: Option<&Path>) -> Self {
        let file = folder.map(|folder| folder.join(KEYS_FILE));
        Self {
            tokens: settings.jwt.map(|jwt| Arc::new(Tokens::new(jwt))),
            uses: Uses::new(store.clone()),
            rates: RateLimiter::new(settings.rate),
            remembered: file.map_or_else(Remembered::default, Remembered::kept_in),
            certificate_for_batches: settings.certificate_for_batches,
        }
    }

    /// From now on tokens are verified by this secret, if they are verified by a secret at all.
    pub fn renew_secret(&self, secret: &JwtSecret) {
        if let Some(tokens) = &self.tokens {
            tokens.renew(secret);
        }
    }

    /// Reads the public keys of token signers now if they are in a file, because it has changed.
    ///
    /// # Errors
    /// [`SourceFault`]; nothing changes then.
    pub fn renew_public_keys(&self, now: OffsetDateTime) -> Result<(), SourceFault> {
        match &self.tokens {
            Some(tokens) => tokens.renew_public(now),
            None => Ok(()),
        }
    }

    /// Whether anybody can send batches while Postgres is away.
    #[must_use]
    pub fn knows_producers(&self, now: OffsetDateTime) -> bool {
        self.tokens.is_some() || self.remembered.any(now)
    }

    async fn caller(&self, credentials: &Credentials, app: &App) -> Result<Caller, ApiError> {
        match (credentials, &self.tokens) {
            (Credentials::Key(secret), _) => {
                let known = app.store.caller(&secret.hash(), app.clock.now()).await?;
                Ok(self.known(known)?.caller)
            }
            (Credentials::Token(token), Some(tokens)) => {
                tokens.caller(token, app.clock.now()).await
            }
            (Credentials::Token(_), None) => Err(ApiError::InvalidToken(TokenFault::NoKey)),
        }
    }

    /// The same for who sends a batch: while Postgres is away, a key that was good lately is good.
    async fn producer(&self, credentials: &Credentials, app: &App) -> Result<Caller, ApiError> {
        let Credentials::Key(secret) = credentials else {
            return self.caller(credentials, app).await;
        };
        let (hash, now) = (secret.hash(), app.clock.now());
        if app.outage.is_active()
            && let Some(caller) = self.remembered.caller(&hash, now)
        {
            return Ok(caller);
        }
        match app.store.caller(&hash, now).await {
            Ok(Some(known)) => {
                let known = self.known(Some(known))?;
                let caller = known.caller.clone();
                if WRITERS.contains(&caller.role) {
                    self.remembered
                        .remember(hash, caller, now, known.expires_at);
                }
                Ok(known.caller)
            }
            Ok(None) => {
                self.remembered.forget(&hash);
                Err(ApiError::InvalidToken(TokenFault::UnknownKey))
            }
            Err(error) if error.may_pass() => {
                app.outage.begin(&error);
                self.remembered.caller(&hash, now).ok_or(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn known(&self, known: Option<KnownCaller>) -> Result<KnownCaller, ApiError> {
        let known = known.ok_or(ApiError::InvalidToken(TokenFault::UnknownKey))?;
        if let Some(used) = known.unnoted_use {
            self.uses.note(used);
        }
        Ok(known)
    }
}

impl Reader {
    /// What the caller may see, narrowed to `user` if that is given.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`] if it is another user and the caller is no admin.
    pub fn scope(&self, user: Option<UserId>) -> Result<Scope, ApiError> {
        match (self.0.role, user) {
            (Role::Admin, None) => Ok(Scope::Everyone),
            (Role::Admin, Some(user)) => Ok(Scope::User(user)),
            (_, Some(user)) if user != self.0.user => Err(ApiError::Forbidden(ADMINS)),
            (_, _) => Ok(Scope::User(self.0.user.clone())),
        }
    }
}

impl FromRequestParts<App> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        paced(parts, app, READERS).await.map(Self)
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        paced(parts, app, ADMINS).await.map(Self)
    }
}

impl FromRequestParts<App> for Producer {
    type Rejection = ApiError;

    /// Batches are not counted: how much of them is let in is a matter of bytes, see
    /// [`crate::limits::admission`]; and one key serves all workers of all proxies.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if app.door.certificate_for_batches && !ClientCertificate::came_with(parts) {
            return Err(ApiError::MissingCertificate);
        }
        let credentials = Credentials::read(&parts.headers)?;
        let caller = app.door.producer(&credentials, app).await?;
        permitted(caller, WRITERS).map(|_| Self)
    }
}

/// A caller of one of these roles, who has not asked too often.
async fn paced(parts: &Parts, app: &App, roles: &'static [Role]) -> Result<Caller, ApiError> {
    let credentials = Credentials::read(&parts.headers)?;
    let caller = permitted(app.door.caller(&credentials, app).await?, roles)?;
    app.door.rates.take(&caller.credential, app.clock.now())?;
    Ok(caller)
}

fn permitted(caller: Caller, roles: &'static [Role]) -> Result<Caller, ApiError> {
    if roles.contains(&caller.role) {
        Ok(caller)
    } else {
        Err(ApiError::Forbidden(roles))
    }
}

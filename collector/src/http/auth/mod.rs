//! Who is asking, and may they: a key or a token in `Authorization: Bearer`, or a key in `X-API-Key`.

mod credentials;
mod fault;
mod jwks;
mod jwt;
#[cfg(test)]
mod signer;
mod uses;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use self::credentials::Credentials;
pub use self::fault::TokenFault;
use self::jwt::Tokens;
use self::uses::Uses;
use super::error::ApiError;
use super::rate_limit::RateLimiter;
use crate::app::App;
use crate::model::ids::UserId;
use crate::model::key::{Caller, Role};
use crate::model::scope::Scope;
use crate::settings::access::AccessSettings;
use crate::store::Store;

/// Who may do everything.
pub(crate) const ADMINS: &[Role] = &[Role::Admin];
/// Who may read.
pub(crate) const READERS: &[Role] = &[Role::User, Role::Readonly, Role::Admin];
/// Who may send batches.
pub(crate) const WRITERS: &[Role] = &[Role::Ingest, Role::Admin];

/// Knows callers by their keys and tokens. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct Door {
    tokens: Option<Arc<Tokens>>,
    uses: Uses,
    rates: RateLimiter,
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
    /// A door with these settings, before this store.
    #[must_use]
    pub fn new(settings: AccessSettings, store: &Store) -> Self {
        Self {
            tokens: settings.jwt.map(|jwt| Arc::new(Tokens::new(jwt))),
            uses: Uses::new(store.clone()),
            rates: RateLimiter::new(settings.rate),
        }
    }

    async fn caller(&self, credentials: &Credentials, app: &App) -> Result<Caller, ApiError> {
        let now = app.clock.now();
        match (credentials, &self.tokens) {
            (Credentials::Key(secret), _) => {
                let known = app.store.caller(&secret.hash(), now).await?;
                let known = known.ok_or(ApiError::InvalidToken(TokenFault::UnknownKey))?;
                if let Some(used) = known.unnoted_use {
                    self.uses.note(used);
                }
                Ok(known.caller)
            }
            (Credentials::Token(token), Some(tokens)) => tokens.caller(token, now).await,
            (Credentials::Token(_), None) => Err(ApiError::InvalidToken(TokenFault::NoKey)),
        }
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
    /// [`super::admission`]; and one key serves all workers of all proxies.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        allowed(parts, app, WRITERS).await.map(|_| Self)
    }
}

/// A caller of one of these roles, who has not asked too often.
async fn paced(parts: &Parts, app: &App, roles: &'static [Role]) -> Result<Caller, ApiError> {
    let caller = allowed(parts, app, roles).await?;
    app.door.rates.take(&caller.credential, app.clock.now())?;
    Ok(caller)
}

async fn allowed(parts: &Parts, app: &App, roles: &'static [Role]) -> Result<Caller, ApiError> {
    let credentials = Credentials::read(&parts.headers)?;
    let caller = app.door.caller(&credentials, app).await?;
    if roles.contains(&caller.role) {
        Ok(caller)
    } else {
        Err(ApiError::Forbidden(roles))
    }
}

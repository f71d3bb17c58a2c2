//! Extractors of callers: who sends a request, and whether their role allows it. They take the parts of
//! the application's state that they need, so that they know nothing of the application.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;

use super::client_certificate::ClientCertificate;
use super::error::ApiError;
use super::middleware::record_caller;
use crate::auth::{ADMINS, Authenticator, Credentials, READERS, WRITERS, require_role};
use crate::limits::rate_limit::RateLimiter;
use crate::model::clock::Clock;
use crate::model::ids::UserId;
use crate::model::key::{Caller, Role};
use crate::model::scope::Scope;

/// A caller who may read, at least their own data.
#[derive(Debug, Clone)]
pub struct Reader(Caller);

/// A caller who may do everything, for all users.
#[derive(Debug, Clone)]
pub struct Admin(pub Caller);

/// A caller who may send batches.
#[derive(Debug, Clone)]
pub struct Producer;

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

impl<S> FromRequestParts<S> for Reader
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
    RateLimiter: FromRef<S>,
    Clock: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        authorize_rate_limited(parts, state, READERS)
            .await
            .map(Self)
    }
}

impl<S> FromRequestParts<S> for Admin
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
    RateLimiter: FromRef<S>,
    Clock: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        authorize_rate_limited(parts, state, ADMINS).await.map(Self)
    }
}

impl<S> FromRequestParts<S> for Producer
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
{
    type Rejection = ApiError;

    /// Batches do not count towards the rate limit: they are limited by bytes, see
    /// [`crate::limits::admission`]; and one key serves all workers of all proxies.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let authenticator = Authenticator::from_ref(state);
        if authenticator.requires_certificate_for_batches() && !ClientCertificate::is_present(parts)
        {
            return Err(ApiError::MissingCertificate);
        }
        let credentials = Credentials::read(&parts.headers)?;
        let caller = authenticator.authenticate_producer(&credentials).await?;
        record_caller(&caller);
        require_role(&caller, WRITERS)?;
        Ok(Self)
    }
}

/// A caller who has one of `roles` and is within the rate limit.
async fn authorize_rate_limited<S>(
    parts: &Parts,
    state: &S,
    roles: &'static [Role],
) -> Result<Caller, ApiError>
where
    Authenticator: FromRef<S>,
    RateLimiter: FromRef<S>,
    Clock: FromRef<S>,
{
    let credentials = Credentials::read(&parts.headers)?;
    let caller = Authenticator::from_ref(state)
        .authenticate(&credentials)
        .await?;
    record_caller(&caller);
    require_role(&caller, roles)?;
    let now = Clock::from_ref(state).now();
    RateLimiter::from_ref(state).take(&caller.credential, now)?;
    Ok(caller)
}

//! Who is asking: the key in `Authorization: Bearer` or `X-API-Key`.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::error::ApiError;
use crate::app::App;
use crate::model::ids::UserId;
use crate::model::key::{Caller, Role, Secret};
use crate::model::scope::Scope;

const API_KEY: &str = "x-api-key";
const READERS: &[Role] = &[Role::User, Role::Readonly, Role::Admin];
const WRITERS: &[Role] = &[Role::Ingest, Role::Admin];

/// A caller who may read, at least their own data.
#[derive(Debug, Clone)]
pub struct Reader(Caller);

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
            (_, Some(user)) if user != self.0.user => Err(ApiError::Forbidden(&[Role::Admin])),
            (_, _) => Ok(Scope::User(self.0.user.clone())),
        }
    }
}

impl FromRequestParts<App> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        caller(parts, app, READERS).await.map(Self)
    }
}

impl FromRequestParts<App> for Producer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        caller(parts, app, WRITERS).await.map(|_| Self)
    }
}

async fn caller(parts: &Parts, app: &App, roles: &'static [Role]) -> Result<Caller, ApiError> {
    let secret = secret(parts)?;
    let caller = app
        .store
        .caller(&secret.hash(), app.clock.now())
        .await?
        .ok_or(ApiError::InvalidToken)?;
    if !roles.contains(&caller.role) {
        return Err(ApiError::Forbidden(roles));
    }
    Ok(caller)
}

fn secret(parts: &Parts) -> Result<Secret, ApiError> {
    let bearer = parts.headers.get(AUTHORIZATION).map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    });
    let api_key = parts.headers.get(API_KEY).map(|value| value.to_str().ok());
    let sent = bearer.or(api_key).ok_or(ApiError::MissingToken)?;
    sent.and_then(Secret::parse).ok_or(ApiError::InvalidToken)
}

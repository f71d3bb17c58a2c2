//! Tokens that an identity provider signs. How a token may be signed is settled by the keys that are
//! configured, never by the token: its header only says which of them to look at.

use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use time::{Duration, OffsetDateTime};

use super::fault::TokenFault;
use super::jwks::{Jwks, Source, SourceFault};
use crate::http::error::ApiError;
use crate::model::ids::UserId;
use crate::model::key::{Caller, Credential, Role};
use crate::settings::access::{JwtKeys, JwtSecret, JwtSettings};

/// How far the clocks of those who sign may be off.
const LEEWAY: Duration = Duration::seconds(30);

/// Knows callers by their tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    keys: Keys,
    role_claim: String,
    validation: Validation,
}

#[derive(Debug)]
enum Keys {
    /// Shared with the signer: HS256. Another takes its place when the file that holds it changes.
    Secret(RwLock<Arc<DecodingKey>>),
    /// Public: RS256 and ES256.
    Public(Jwks),
}

type Claims = Map<String, Value>;

impl Tokens {
    /// With these settings.
    pub(super) fn new(settings: JwtSettings) -> Self {
        let validation = validation(&settings);
        Self {
            keys: match settings.keys {
                JwtKeys::Secret(secret, _) => Keys::Secret(RwLock::new(decoding(&secret))),
                JwtKeys::File(path) => Keys::Public(Jwks::new(Source::File(path))),
                JwtKeys::Url(url) => Keys::Public(Jwks::new(Source::Url(url))),
            },
            role_claim: settings.role_claim,
            validation,
        }
    }

    /// From now on tokens are verified by this secret, if they are verified by a secret at all.
    pub(super) fn renew(&self, secret: &JwtSecret) {
        if let Keys::Secret(known) = &self.keys {
            *known.write().unwrap_or_else(PoisonError::into_inner) = decoding(secret);
        }
    }

    /// Reads public keys now if they are in a file, because it has changed.
    ///
    /// # Errors
    /// [`SourceFault`]; nothing changes then.
    pub(super) fn renew_public(&self, now: OffsetDateTime) -> Result<(), SourceFault> {
        match &self.keys {
            Keys::Public(keys) => keys.renew(now),
            Keys::Secret(_) => Ok(()),
        }
    }

    /// Whom the token is for, if it is good at `now`.
    ///
    /// # Errors
    /// [`ApiError::InvalidToken`], or [`ApiError::KeysUnavailable`] if that cannot be told now.
    pub(super) async fn caller(
        &self,
        token: &str,
        now: OffsetDateTime,
    ) -> Result<Caller, ApiError> {
        let claims = self.signed_claims(token, now).await?;
        self.read(&claims, now).map_err(ApiError::InvalidToken)
    }

    async fn signed_claims(&self, token: &str, now: OffsetDateTime) -> Result<Claims, ApiError> {
        let malformed = ApiError::InvalidToken(TokenFault::Malformed);
        let Ok(header) = decode_header(token) else {
            return Err(malformed);
        };
        // An extension that must be understood is not.
        if header.crit.is_some() {
            return Err(malformed);
        }
        let key = match (&self.keys, header.alg) {
            (Keys::Secret(key), Algorithm::HS256) => {
                Arc::clone(&key.read().unwrap_or_else(PoisonError::into_inner))
            }
            (Keys::Public(keys), Algorithm::RS256 | Algorithm::ES256) => {
                keys.key(header.kid.as_deref(), header.alg, now).await?
            }
            _ => return Err(malformed),
        };
        let validation = Validation {
            algorithms: vec![header.alg],
            ..self.validation.clone()
        };
        decode(token, &key, &validation)
            .map(|data| data.claims)
            .map_err(|error| ApiError::InvalidToken(fault(error.kind())))
    }

    fn read(&self, claims: &Claims, now: OffsetDateTime) -> Result<Caller, TokenFault> {
        check_times(claims, now)?;
        let user = claims
            .get("sub")
            .and_then(Value::as_str)
            .and_then(|text| UserId::new(text).ok())
            .ok_or(TokenFault::Subject)?;
        Ok(Caller {
            credential: Credential::Token(user.clone()),
            user,
            role: role(claims.get(&self.role_claim))?,
        })
    }
}

fn decoding(secret: &JwtSecret) -> Arc<DecodingKey> {
    Arc::new(DecodingKey::from_secret(secret.as_bytes()))
}

/// The library reads the system's clock; times are checked here instead.
fn validation(settings: &JwtSettings) -> Validation {
    let mut validation = Validation {
        validate_exp: false,
        validate_nbf: false,
        validate_aud: !settings.audience.is_empty(),
        ..Validation::default()
    };
    let mut required = vec!["exp", "sub"];
    if validation.validate_aud {
        validation.set_audience(&settings.audience);
        required.push("aud");
    }
    if let Some(issuer) = &settings.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    validation.set_required_spec_claims(&required);
    validation
}

fn check_times(claims: &Claims, now: OffsetDateTime) -> Result<(), TokenFault> {
    let instant = |name| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(TokenFault::Malformed),
    };
    let now = now - OffsetDateTime::UNIX_EPOCH;
    let expires = instant("exp")?.ok_or(TokenFault::Malformed)?;
    if expires <= (now - LEEWAY).as_seconds_f64() {
        return Err(TokenFault::Expired);
    }
    if instant("nbf")?.is_some_and(|begins| begins > (now + LEEWAY).as_seconds_f64()) {
        return Err(TokenFault::TooEarly);
    }
    Ok(())
}

/// A name, or a list in which at most one name is of a role of ours: providers list a user's roles in
/// all programs. Who has none is a user; who claims one that is none gets nothing.
fn role(claim: Option<&Value>) -> Result<Role, TokenFault> {
    match claim {
        None | Some(Value::Null) => Ok(Role::User),
        Some(Value::String(name)) => Role::from_name(name).ok_or(TokenFault::Role),
        Some(Value::Array(names)) => {
            let mut ours = names
                .iter()
                .filter_map(Value::as_str)
                .filter_map(Role::from_name);
            match (ours.next(), ours.next()) {
                (None, _) => Ok(Role::User),
                (Some(role), None) => Ok(role),
                (Some(_), Some(_)) => Err(TokenFault::Role),
            }
        }
        Some(_) => Err(TokenFault::Role),
    }
}

fn fault(kind: &ErrorKind) -> TokenFault {
    match kind {
        ErrorKind::InvalidSignature => TokenFault::Signature,
        ErrorKind::InvalidAudience => TokenFault::Audience,
        ErrorKind::InvalidIssuer => TokenFault::Issuer,
        ErrorKind::MissingRequiredClaim(name) => match name.as_str() {
            "aud" => TokenFault::Audience,
            "iss" => TokenFault::Issuer,
            "sub" => TokenFault::Subject,
            _ => TokenFault::Malformed,
        },
        _ => TokenFault::Malformed,
    }
}

#[cfg(test)]
mod tests;

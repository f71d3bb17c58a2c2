//! Tokens that an identity provider signs. The configured keys decide how a token may be signed, never the
//! token: its header only says which key to look up.

use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use time::{Duration, OffsetDateTime};

use super::error::{AuthError, TokenError};
use super::jwks::{Jwks, JwksError, Source};
use crate::model::ids::UserId;
use crate::model::key::{Caller, Credential, Role};
use crate::settings::access::{JwtKeys, JwtSecret, JwtSettings};

/// How far the signer's clock may be off.
const LEEWAY: Duration = Duration::seconds(30);

/// Verifies tokens with the configured keys.
#[derive(Debug)]
pub(super) struct TokenVerifier {
    keys: Keys,
    role_claim: String,
    validation: Validation,
}

#[derive(Debug)]
enum Keys {
    /// Shared with the signer: HS256. Replaced when the file that holds it changes.
    Secret(RwLock<Arc<DecodingKey>>),
    /// Public: RS256 and ES256.
    Public(Jwks),
}

type Claims = Map<String, Value>;

impl TokenVerifier {
    pub(super) fn new(settings: JwtSettings) -> Self {
        let validation = validation(&settings);
        Self {
            keys: match settings.keys {
                JwtKeys::Secret(secret, _) => Keys::Secret(RwLock::new(decoding_key(&secret))),
                JwtKeys::File(path) => Keys::Public(Jwks::new(Source::File(path))),
                JwtKeys::Url(url) => Keys::Public(Jwks::new(Source::Url(url))),
            },
            role_claim: settings.role_claim,
            validation,
        }
    }

    /// Verifies tokens with this secret from now on, if they are verified with a secret at all.
    pub(super) fn replace_secret(&self, secret: &JwtSecret) {
        if let Keys::Secret(current) = &self.keys {
            *current.write().unwrap_or_else(PoisonError::into_inner) = decoding_key(secret);
        }
    }

    /// Reads the public keys again if they are in a file.
    ///
    /// # Errors
    /// [`JwksError`]; the keys read before stay in force then.
    pub(super) fn reload_jwks_file(&self, now: OffsetDateTime) -> Result<(), JwksError> {
        match &self.keys {
            Keys::Public(keys) => keys.reload_file(now),
            Keys::Secret(_) => Ok(()),
        }
    }

    /// The caller that the token names, if it is valid at `now`.
    ///
    /// # Errors
    /// [`AuthError::InvalidToken`], or [`AuthError::JwksUnavailable`] if it cannot be verified now.
    pub(super) async fn verify(
        &self,
        token: &str,
        now: OffsetDateTime,
    ) -> Result<Caller, AuthError> {
        let claims = self.verified_claims(token, now).await?;
        Ok(self.caller(&claims, now)?)
    }

    async fn verified_claims(&self, token: &str, now: OffsetDateTime) -> Result<Claims, AuthError> {
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        // It names extensions that must be understood; none are supported.
        if header.crit.is_some() {
            return Err(TokenError::Malformed.into());
        }
        let key = match (&self.keys, header.alg) {
            (Keys::Secret(key), Algorithm::HS256) => {
                Arc::clone(&key.read().unwrap_or_else(PoisonError::into_inner))
            }
            (Keys::Public(keys), Algorithm::RS256 | Algorithm::ES256) => {
                keys.key(header.kid.as_deref(), header.alg, now).await?
            }
            _ => return Err(TokenError::Malformed.into()),
        };
        let validation = Validation {
            algorithms: vec![header.alg],
            ..self.validation.clone()
        };
        decode(token, &key, &validation)
            .map(|data| data.claims)
            .map_err(|error| token_error(error.kind()).into())
    }

    fn caller(&self, claims: &Claims, now: OffsetDateTime) -> Result<Caller, TokenError> {
        check_times(claims, now)?;
        let user = claims
            .get("sub")
            .and_then(Value::as_str)
            .and_then(|text| UserId::new(text).ok())
            .ok_or(TokenError::Subject)?;
        Ok(Caller {
            credential: Credential::Token(user.clone()),
            user,
            role: role(claims.get(&self.role_claim))?,
        })
    }
}

fn decoding_key(secret: &JwtSecret) -> Arc<DecodingKey> {
    Arc::new(DecodingKey::from_secret(secret.as_bytes()))
}

/// Without checks of times, for which the library reads the system's clock; see [`check_times`].
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

fn check_times(claims: &Claims, now: OffsetDateTime) -> Result<(), TokenError> {
    let instant = |name| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(TokenError::Malformed),
    };
    let now = now - OffsetDateTime::UNIX_EPOCH;
    let expires = instant("exp")?.ok_or(TokenError::Malformed)?;
    if expires <= (now - LEEWAY).as_seconds_f64() {
        return Err(TokenError::Expired);
    }
    if instant("nbf")?.is_some_and(|begins| begins > (now + LEEWAY).as_seconds_f64()) {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

/// The claim is a name, or a list in which at most one name is a role of Dossier's: providers list a
/// user's roles in all programs. Without a role the caller is a user; an unknown role is an error.
fn role(claim: Option<&Value>) -> Result<Role, TokenError> {
    match claim {
        None | Some(Value::Null) => Ok(Role::User),
        Some(Value::String(name)) => name.parse().map_err(|_| TokenError::Role),
        Some(Value::Array(names)) => {
            let mut known = names
                .iter()
                .filter_map(Value::as_str)
                .filter_map(|name| name.parse().ok());
            match (known.next(), known.next()) {
                (None, _) => Ok(Role::User),
                (Some(role), None) => Ok(role),
                (Some(_), Some(_)) => Err(TokenError::Role),
            }
        }
        Some(_) => Err(TokenError::Role),
    }
}

fn token_error(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::MissingRequiredClaim(name) => match name.as_str() {
            "aud" => TokenError::Audience,
            "iss" => TokenError::Issuer,
            "sub" => TokenError::Subject,
            _ => TokenError::Malformed,
        },
        _ => TokenError::Malformed,
    }
}

#[cfg(test)]
mod tests;

//! Why a caller is not authenticated. Nothing here repeats a key or token.

use crate::model::key::Role;
use crate::store::StoreError;

/// Why a caller is not authenticated, or not authorized.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Neither a key nor a token was sent.
    #[error("no key or token was sent")]
    MissingCredentials,
    /// The key or token is not valid.
    #[error("invalid key or token: {0}")]
    InvalidToken(#[from] TokenError),
    /// The caller has none of these roles.
    #[error("the role does not allow this operation")]
    Forbidden(&'static [Role]),
    /// The public keys that verify tokens cannot be read, and those read before are too old.
    #[error("token verification keys are unavailable")]
    JwksUnavailable,
    /// The key could not be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a key or token is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Neither the form of a key nor, where tokens are accepted, of a token.
    #[error("not in the form dsk_…")]
    UnknownFormat,
    /// The header is there more than once.
    #[error("sent more than once")]
    Ambiguous,
    /// The response does not say which of the three.
    #[error("unknown, expired or revoked")]
    UnknownKey,
    /// Not a JSON Web Token, or one of a kind that is never accepted.
    #[error("not an accepted JSON Web Token")]
    Malformed,
    /// No key that the collector trusts has signed it.
    #[error("not signed with a trusted key")]
    Signature,
    /// `exp` is past.
    #[error("expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("not valid yet")]
    NotYetValid,
    /// `aud` is missing or is not a configured one.
    #[error("the audience (aud) does not match")]
    Audience,
    /// `iss` is missing or is not the configured one.
    #[error("the issuer (iss) does not match")]
    Issuer,
    /// `sub` is missing or no user id.
    #[error("the subject (sub) is not a valid user id")]
    Subject,
    /// The role claim is not one role.
    #[error("the role claim is not one of ingest, user, readonly, admin")]
    Role,
}

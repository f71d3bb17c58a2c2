//! Authentication: who sends a request, by a key or a token in `Authorization: Bearer`, or a key in
//! `X-API-Key`; and which roles may do what.
//!
//! - [`authenticator`](Authenticator): who holds a key or token.
//! - [`credentials`](Credentials): what a request's headers carry.
//! - `jwt`, `jwks`: tokens of an identity provider, and the public keys that verify them.
//! - `key_cache`: producers' keys, for while Postgres is unavailable.

mod authenticator;
mod credentials;
mod error;
mod jwks;
mod jwt;
mod key_cache;
mod last_used;
mod roles;
#[cfg(test)]
mod signer;

pub use self::authenticator::Authenticator;
pub use self::credentials::Credentials;
pub use self::error::{AuthError, TokenError};
pub use self::jwks::JwksError;
pub(crate) use self::roles::{ADMINS, READERS, WRITERS, require_role};

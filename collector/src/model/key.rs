//! API keys and what they allow.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ValueEnum;
use rand::TryRng;
use serde::Serialize;
use strum::{EnumString, IntoStaticStr};
use time::OffsetDateTime;

use super::ids::{KeyId, UserId};
use super::sha256::sha256;

const PREFIX: &str = "dsk_";
const RANDOM_BYTES: usize = 32;

/// What a key grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum, IntoStaticStr, EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Write batches, for any user; read nothing.
    Ingest,
    /// Read and manage one's own data.
    User,
    /// Read one's own data.
    Readonly,
    /// Everything, for all users.
    Admin,
}

/// A key as its owner holds it: `dsk_` and 32 random bytes in base64url. Shown once, never stored.
#[derive(Clone)]
pub struct ApiKey(String);

/// The SHA-256 of an [`ApiKey`], which is all that is stored.
///
/// Keys are looked up by their hash, in an index of Postgres or a map. The time that takes reveals at most
/// part of the hash, from which 32 random bytes cannot be recovered.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApiKeyHash([u8; 32]);

impl ApiKey {
    /// A new key from the operating system's random source.
    ///
    /// # Errors
    /// That source's error, if it fails.
    pub fn generate() -> Result<Self, rand::rngs::SysError> {
        let mut bytes = [0; RANDOM_BYTES];
        rand::rngs::SysRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// Accepts a text that has the form of a key; whether the key exists is another question.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(PREFIX)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        (bytes.len() == RANDOM_BYTES).then(|| Self(text.to_owned()))
    }

    /// The hash that is stored in its place.
    #[must_use]
    pub fn hash(&self) -> ApiKeyHash {
        ApiKeyHash(sha256([self.0.as_bytes()]))
    }

    /// The key in clear text, for the one time it is shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl ApiKeyHash {
    /// Takes bytes that are a hash already.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyHash(…)")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The authenticated sender of a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What authenticated them.
    pub credential: Credential,
    /// The owner of the key, or the subject of the token.
    pub user: UserId,
    /// What the credential grants.
    pub role: Role,
}

/// What a caller authenticated with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An API key, by its public id.
    Key(KeyId),
    /// A signed token, by its subject.
    Token(UserId),
}

/// Longest name of a key, in bytes.
pub const MAX_KEY_NAME_BYTES: usize = 256;

/// What is stored about a key; never the key itself.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// Its public id.
    pub id: KeyId,
    /// A label that its owner chose.
    pub name: String,
    /// Its owner.
    pub user: UserId,
    /// What it grants.
    pub role: Role,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When it stops working; `None`: never.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<OffsetDateTime>,
    /// When it was revoked; `None`: it was not.
    pub revoked_at: Option<OffsetDateTime>,
}

/// Whether a key is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum KeyState {
    /// It is.
    Valid,
    /// It was, until it expired.
    Expired,
    /// It was, until it was revoked.
    Revoked,
}

impl KeyRecord {
    /// Its state at `now`.
    #[must_use]
    pub fn state(&self, now: OffsetDateTime) -> KeyState {
        if self.revoked_at.is_some() {
            KeyState::Revoked
        } else if self.expires_at.is_some_and(|at| at <= now) {
            KeyState::Expired
        } else {
            KeyState::Valid
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_accepts_well_formed_keys_only() {
        let secret = ApiKey::generate().unwrap();
        assert_eq!(secret.reveal().len(), PREFIX.len() + 43);
        let parsed = ApiKey::parse(secret.reveal()).unwrap();
        assert_eq!(parsed.hash().as_bytes(), secret.hash().as_bytes());
        for text in [
            "",
            "dsk_",
            "dsk_short",
            &secret.reveal()[4..],
            &format!("{}A", secret.reveal()),
        ] {
            assert!(ApiKey::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn generated_keys_differ_and_debug_hides_them() {
        let (a, b) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        assert_ne!(a.hash().as_bytes(), b.hash().as_bytes());
        assert_eq!(format!("{a:?}"), "ApiKey(…)");
    }

    #[test]
    fn role_names_round_trip() {
        for role in Role::value_variants() {
            assert_eq!(<&str>::from(role).parse(), Ok(*role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}

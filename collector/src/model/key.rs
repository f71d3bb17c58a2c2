//! API keys and what they allow.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ValueEnum;
use rand::TryRng;
use serde::Serialize;
use time::OffsetDateTime;

use super::ids::{KeyId, UserId};
use super::sha256::sha256;

const PREFIX: &str = "dsk_";
const RANDOM_BYTES: usize = 32;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
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

impl Role {
    /// The name used in JSON and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::User => "user",
            Self::Readonly => "readonly",
            Self::Admin => "admin",
        }
    }

    /// The role of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::value_variants()
            .iter()
            .copied()
            .find(|role| role.as_str() == name)
    }
}

/// A key as its owner holds it: `dsk_` and 32 random bytes in base64url. Shown once, never stored.
#[derive(Clone)]
pub struct Secret(String);

/// The SHA-256 of a [`Secret`], which is all that is stored.
///
/// Keys are looked up by their hash, in an index of Postgres or a map. How long that takes tells at most
/// something of the hash, from which nobody gets to 32 random bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl Secret {
    /// A new key from the operating system's random source.
    ///
    /// # Errors
    /// That source's error, if it fails.
    pub fn generate() -> Result<Self, rand::rngs::SysError> {
        let mut bytes = [0; RANDOM_BYTES];
        rand::rngs::SysRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// A text that has the form of a key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(PREFIX)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        (bytes.len() == RANDOM_BYTES).then(|| Self(text.to_owned()))
    }

    /// What the database keeps of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(sha256([self.0.as_bytes()]))
    }

    /// The key itself, for the one time it is shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl SecretHash {
    /// The hash that these bytes are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Who sends a request, as their key or token says.
#[derive(Debug, Clone)]
pub struct Caller {
    /// By what they are known.
    pub credential: Credential,
    /// Whom it belongs to.
    pub user: UserId,
    /// What it allows.
    pub role: Role,
}

/// By what a caller is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A key of ours, by its public name.
    Key(KeyId),
    /// A token that somebody else has signed, for its subject.
    Token(UserId),
}

/// Most bytes of a key's name.
pub const MAX_KEY_NAME_BYTES: usize = 256;

/// What is known of a key; never the key itself.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// Its public name.
    pub id: KeyId,
    /// What its owner calls it.
    pub name: String,
    /// Whose it is.
    pub user: UserId,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it stops working; never, if absent.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<OffsetDateTime>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<OffsetDateTime>,
}

/// Whether a key works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It does.
    Valid,
    /// It has, until it expired.
    Expired,
    /// Somebody has put an end to it.
    Revoked,
}

impl KeyRecord {
    /// Whether the key works at `now`.
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

impl KeyState {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_by_its_form_alone() {
        let secret = Secret::generate().unwrap();
        assert_eq!(secret.reveal().len(), PREFIX.len() + 43);
        let parsed = Secret::parse(secret.reveal()).unwrap();
        assert_eq!(parsed.hash().as_bytes(), secret.hash().as_bytes());
        for text in [
            "",
            "dsk_",
            "dsk_short",
            &secret.reveal()[4..],
            &format!("{}A", secret.reveal()),
        ] {
            assert!(Secret::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn two_keys_differ_and_debug_hides_them() {
        let (a, b) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(a.hash().as_bytes(), b.hash().as_bytes());
        assert_eq!(format!("{a:?}"), "Secret(…)");
    }

    #[test]
    fn roles_have_names_both_ways() {
        for role in Role::value_variants() {
            assert_eq!(Role::from_name(role.as_str()), Some(*role));
        }
        assert_eq!(Role::from_name("root"), None);
    }
}

//! Names for things. Each is a type of its own, so that one cannot be taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Whose data something is: 1 to [`UserId::MAX_BYTES`] bytes without NUL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct UserId(String);

/// Why a text is not a user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user id has 1 to {} bytes and no NUL character", UserId::MAX_BYTES)]
pub struct InvalidUserId;

impl UserId {
    /// Longest user id, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// Checks a text.
    ///
    /// # Errors
    /// [`InvalidUserId`] if it is empty, too long, or holds a NUL, which Postgres cannot store.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidUserId> {
        let text = text.into();
        if text.is_empty() || text.len() > Self::MAX_BYTES || text.contains('\0') {
            return Err(InvalidUserId);
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for UserId {
    type Err = InvalidUserId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Number of an entry, from 1, unique in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(pub i64);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id! {
    /// What both halves of an exchange share.
    ExchangeId
}
uuid_id! {
    /// A session, made by the collector.
    SessionId
}
uuid_id! {
    /// A batch, made by its producer.
    BatchId
}
uuid_id! {
    /// An API key's public name; never the key itself.
    KeyId
}

//! Whose data a read may see. Every read of the store takes a scope, so none can forget it.

use super::ids::UserId;

/// The users whose data a read may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One user's own data.
    User(UserId),
    /// All users' data: for admins alone.
    Everyone,
}

impl Scope {
    /// The one user, unless everyone may be seen.
    #[must_use]
    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) => Some(user),
            Self::Everyone => None,
        }
    }
}

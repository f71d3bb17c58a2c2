//! Whose data a read may see. Every read of the store takes a scope, so that none can omit it.

use super::ids::UserId;

/// The users whose data a read may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The data of one user.
    User(UserId),
    /// The data of all users; for admins only.
    Everyone,
}

impl Scope {
    /// The one user; `None` for [`Scope::Everyone`].
    #[must_use]
    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) => Some(user),
            Self::Everyone => None,
        }
    }
}

//! Which roles may do what.

use super::error::AuthError;
use crate::model::key::{Caller, Role};

/// Roles that may do everything.
pub(crate) const ADMINS: &[Role] = &[Role::Admin];
/// Roles that may read.
pub(crate) const READERS: &[Role] = &[Role::User, Role::Readonly, Role::Admin];
/// Roles that may send batches.
pub(crate) const WRITERS: &[Role] = &[Role::Ingest, Role::Admin];

/// Checks that the caller has one of `roles`.
///
/// # Errors
/// [`AuthError::Forbidden`]
pub(crate) fn require_role(caller: &Caller, roles: &'static [Role]) -> Result<(), AuthError> {
    if roles.contains(&caller.role) {
        Ok(())
    } else {
        Err(AuthError::Forbidden(roles))
    }
}

//! Sessions: which one an entry belongs to, and pages of them.
//!
//! - [`by_name`]: sessions that clients named.
//! - [`by_time`]: sessions that are found by time.
//! - [`page`]: reads pages of sessions.

mod by_name;
mod by_time;
mod page;

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::StoreError;
use crate::model::entry::NewEntry;
use crate::model::ids::{SessionId, UserId};
use crate::model::session::SessionRequest;

pub use page::{FoundSession, SessionCursor, SessionEntries, SessionPage, SessionPageRequest};

/// An exchange whose session is to be found or created. Both halves have the same lookup, perhaps in different
/// batches: repeated, it finds the same session.
#[derive(Debug)]
pub(super) struct SessionLookup {
    user: UserId,
    request: SessionRequest,
    at: OffsetDateTime,
}

impl SessionLookup {
    /// None: the entry asks for no session.
    pub(super) fn of(entry: &NewEntry<'_>) -> Option<Self> {
        entry.session.as_ref().map(|request| Self {
            user: entry.user.clone(),
            request: request.clone(),
            at: entry.started_at,
        })
    }
}

/// Finds or creates the sessions of all lookups, and returns them in the same order.
pub(super) async fn assign(
    connection: &mut PgConnection,
    lookups: &[&SessionLookup],
) -> Result<Vec<Option<SessionId>>, StoreError> {
    let mut sessions = vec![None; lookups.len()];
    // By time first: that locks users, and nobody may wait for a lock while holding rows.
    by_time::assign(connection, lookups, &mut sessions).await?;
    by_name::assign(connection, lookups, &mut sessions).await?;
    Ok(sessions)
}

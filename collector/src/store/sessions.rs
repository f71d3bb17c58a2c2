//! Sessions. This file finds or opens those of a batch's entries, for all its users at once.
//!
//! - [`named`]: sessions that clients named.
//! - [`timed`]: sessions that are found by time.
//! - [`page`]: reads pages of sessions.

mod named;
mod page;
mod timed;

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::StoreError;
use crate::model::entry::NewEntry;
use crate::model::ids::{SessionId, UserId};
use crate::model::session::SessionRequest;

pub use page::{FoundSession, SessionCursor, SessionEntries, SessionPage, SessionPageRequest};

/// One exchange that looks for its session. Both halves ask the same, and may come in different
/// batches: what is placed again finds the same session.
#[derive(Debug)]
pub(super) struct Seeker {
    user: UserId,
    request: SessionRequest,
    at: OffsetDateTime,
}

impl Seeker {
    /// Of the entry's exchange, if it asks for a session.
    pub(super) fn of(entry: &NewEntry<'_>) -> Option<Self> {
        entry.session.as_ref().map(|request| Self {
            user: entry.user.clone(),
            request: request.clone(),
            at: entry.started_at,
        })
    }
}

/// Places every exchange. Returns their sessions, in their order.
pub(super) async fn place(
    connection: &mut PgConnection,
    seekers: &[&Seeker],
) -> Result<Vec<Option<SessionId>>, StoreError> {
    let mut placed = vec![None; seekers.len()];
    // The timed ones lock their users first, so that nobody waits for a lock while holding rows.
    timed::place(connection, seekers, &mut placed).await?;
    named::place(connection, seekers, &mut placed).await?;
    Ok(placed)
}

pub(super) fn user_id(text: String) -> Result<UserId, StoreError> {
    UserId::new(text).map_err(|_| StoreError::Unknown { column: "user_id" })
}

//! Sessions. This file finds or opens those of a batch's entries, for all its users at once.
//!
//! - [`named`]: sessions that clients named.
//! - [`timed`]: sessions that are found by time.
//! - [`page`]: reads pages of sessions.

mod named;
mod page;
mod timed;

use std::collections::HashMap;

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::StoreError;
use crate::model::entry::NewEntry;
use crate::model::ids::{ExchangeId, SessionId, UserId};
use crate::model::session::SessionRequest;

pub use page::{FoundSession, SessionCursor, SessionEntries, SessionPage, SessionPageRequest};

/// The session of each exchange that belongs to one.
pub(super) type Placed = HashMap<(UserId, ExchangeId), SessionId>;

/// One exchange that looks for its session. Both halves ask the same, and may come in different
/// batches: what is placed again finds the same session.
struct Seeker<'a> {
    user: &'a UserId,
    exchange: ExchangeId,
    request: &'a SessionRequest,
    at: OffsetDateTime,
}

/// Places every entry that asks for a session.
pub(super) async fn place(
    connection: &mut PgConnection,
    entries: &[NewEntry<'_>],
) -> Result<Placed, StoreError> {
    let seekers = seekers(entries);
    let mut placed = Placed::new();
    // The timed ones lock their users first, so that nobody waits for a lock while holding rows.
    timed::place(connection, &seekers, &mut placed).await?;
    named::place(connection, &seekers, &mut placed).await?;
    Ok(placed)
}

/// The exchanges of a batch, each once.
fn seekers<'a>(entries: &'a [NewEntry<'_>]) -> Vec<Seeker<'a>> {
    let mut exchanges = HashMap::new();
    for entry in entries {
        if let Some(request) = &entry.session {
            exchanges
                .entry((&entry.user, entry.exchange))
                .or_insert(Seeker {
                    user: &entry.user,
                    exchange: entry.exchange,
                    request,
                    at: entry.started_at,
                });
        }
    }
    exchanges.into_values().collect()
}

pub(super) fn user_id(text: String) -> Result<UserId, StoreError> {
    UserId::new(text).map_err(|_| StoreError::Unknown { column: "user_id" })
}

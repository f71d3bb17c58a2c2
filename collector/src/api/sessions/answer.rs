//! What a query for sessions is answered.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{SessionQuery, cursor};
use crate::api::query::answer::Item;
use crate::http::error::ApiError;
use crate::model::ids::{SessionId, UserId};
use crate::store::{FoundSession, SessionCursor, SessionEntries, SessionPage, Total};
use dossier_body::RenderBudget;

/// A page of sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionPage)]
pub(in crate::api) struct Page {
    sessions: Vec<Session>,
    /// How many sessions pass the filters.
    total: i64,
    /// False if there are more than `total` says.
    total_exact: bool,
    #[serde(rename = "page")]
    number: i64,
    #[serde(rename = "page_size")]
    size: u8,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Exchanges of a user that belong together.
#[derive(Serialize, ToSchema)]
struct Session {
    #[serde(rename = "session_id")]
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    #[schema(value_type = String)]
    user_id: UserId,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    last_activity: OffsetDateTime,
    endpoints: Vec<String>,
    /// How many of its entries pass the filters.
    total_entries: i64,
    entries_shown: i64,
    has_more_entries: bool,
    /// The newest first; left out of the list of sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<Item>>,
}

impl Page {
    /// Shows what was found.
    pub(super) fn of(page: SessionPage, asked: &SessionQuery) -> Result<Self, ApiError> {
        let last = page.sessions.last().map(|session| SessionCursor {
            last_activity: session.last_activity,
            id: session.id,
        });
        let (total, total_exact) = match page.total {
            Total::Exact(total) => (total, true),
            Total::AtLeast(total) => (total, false),
        };
        let mut budget = RenderBudget::default();
        let entries = asked.wanted.entries;
        Ok(Self {
            sessions: page
                .sessions
                .into_iter()
                .map(|session| Session::of(session, entries, &mut budget))
                .collect::<Result<_, _>>()?,
            total,
            total_exact,
            number: asked.page_number,
            size: asked.wanted.limit,
            has_more: page.has_more,
            next_cursor: last.filter(|_| page.has_more).map(cursor::encode),
        })
    }
}

impl Session {
    fn of(
        session: FoundSession,
        wanted: Option<SessionEntries>,
        budget: &mut RenderBudget,
    ) -> Result<Self, ApiError> {
        let entries_shown = i64::try_from(session.entries.len()).unwrap_or(i64::MAX);
        let entries = wanted
            .map(|wanted| {
                let entries = session.entries.into_iter();
                entries
                    .map(|entry| Item::of(entry, wanted.parts, budget))
                    .collect::<Result<_, _>>()
            })
            .transpose()?;
        Ok(Self {
            id: session.id,
            user_id: session.user,
            created_at: session.created_at,
            last_activity: session.last_activity,
            endpoints: session.endpoints,
            total_entries: session.total_entries,
            entries_shown,
            has_more_entries: session.total_entries > entries_shown,
            entries,
        })
    }
}

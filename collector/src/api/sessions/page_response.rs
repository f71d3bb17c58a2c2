//! A page of sessions as JSON.

use dossier_body::RenderBudget;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::session_cursor;
use crate::api::entry_response::EntryResponse;
use crate::api::query::common::CommonQuery;
use crate::http::error::ApiError;
use crate::model::ids::{SessionId, UserId};
use crate::model::instant::UtcInstant;
use crate::store::{FoundSession, SessionCursor, SessionEntries, SessionPage, Total};

/// A page of sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionPage)]
pub(in crate::api) struct SessionPageResponse {
    sessions: Vec<SessionResponse>,
    /// How many sessions match.
    total: i64,
    /// False if there are more than `total` says.
    total_exact: bool,
    page: i64,
    page_size: u8,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Exchanges of a user that belong together.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct SessionResponse {
    #[serde(rename = "session_id")]
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    /// The name that clients gave it.
    #[schema(required)]
    external_id: Option<String>,
    #[schema(value_type = String)]
    user_id: UserId,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    last_activity: OffsetDateTime,
    endpoints: Vec<String>,
    /// How many of its entries match.
    total_entries: i64,
    entries_shown: i64,
    has_more_entries: bool,
    /// The newest first; absent from the list of sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<EntryResponse>>,
}

impl SessionPageResponse {
    pub(super) fn new(
        page: SessionPage,
        query: &CommonQuery,
        entries: Option<SessionEntries>,
    ) -> Result<Self, ApiError> {
        let last = page.sessions.last().and_then(|session| {
            Some(SessionCursor {
                last_activity: UtcInstant::new(session.last_activity)?,
                id: session.id,
            })
        });
        let (total, total_exact) = match page.total {
            Total::Exact(total) => (total, true),
            Total::AtLeast(total) => (total, false),
        };
        let mut budget = RenderBudget::default();
        let sessions = page.sessions.into_iter();
        Ok(Self {
            sessions: sessions
                .map(|session| SessionResponse::new(session, entries, &mut budget))
                .collect::<Result<_, _>>()?,
            total,
            total_exact,
            page: query.page,
            page_size: query.page_size,
            has_more: page.has_more,
            next_cursor: last.filter(|_| page.has_more).map(session_cursor::encode),
        })
    }
}

impl SessionResponse {
    fn new(
        session: FoundSession,
        shown: Option<SessionEntries>,
        budget: &mut RenderBudget,
    ) -> Result<Self, ApiError> {
        let entries_shown = i64::try_from(session.entries.len()).unwrap_or(i64::MAX);
        let entries = shown
            .map(|shown| {
                let entries = session.entries.into_iter();
                entries
                    .map(|entry| EntryResponse::new(entry, shown.parts, budget))
                    .collect::<Result<_, _>>()
            })
            .transpose()?;
        Ok(Self {
            id: session.id,
            external_id: session.external_id,
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

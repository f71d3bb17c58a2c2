//! A page of entries as JSON.

use dossier_body::RenderBudget;
use serde::Serialize;
use utoipa::ToSchema;

use super::common::CommonQuery;
use super::page_token::PageToken;
use crate::api::entry_response::EntryResponse;
use crate::http::error::ApiError;
use crate::model::instant::UtcInstant;
use crate::store::{EntryCursor, EntryPage, EntryParts, Total};

/// A page of entries.
#[derive(Serialize, ToSchema)]
#[schema(as = EntryPage)]
pub(in crate::api) struct EntryPageResponse {
    items: Vec<EntryResponse>,
    /// How many entries match.
    total: i64,
    /// False if there are more than `total` says.
    total_exact: bool,
    page: i64,
    page_size: u8,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

impl EntryPageResponse {
    pub(super) fn new(
        page: EntryPage,
        query: &CommonQuery,
        parts: EntryParts,
        query_fingerprint: u64,
    ) -> Result<Self, ApiError> {
        let last = page.entries.last().and_then(|entry| {
            let position = EntryCursor {
                created_at: UtcInstant::new(entry.created_at)?,
                id: entry.id,
            };
            Some(PageToken {
                position,
                total: page.total,
                query_fingerprint,
            })
        });
        let (total, total_exact) = match page.total {
            Total::Exact(total) => (total, true),
            Total::AtLeast(total) => (total, false),
        };
        let mut budget = RenderBudget::default();
        let entries = page.entries.into_iter();
        Ok(Self {
            items: entries
                .map(|entry| EntryResponse::new(entry, parts, &mut budget))
                .collect::<Result<_, _>>()?,
            total,
            total_exact,
            page: query.page,
            page_size: query.page_size,
            has_more: page.has_more,
            next_cursor: last.filter(|_| page.has_more).map(PageToken::encode),
        })
    }
}

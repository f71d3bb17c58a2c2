//! The read path: pages of entries, single entries and exchanges. Every read takes a [`Scope`], and sees no expired
//! entry.
//!
//! - [`filter`]: the conditions of a query, as SQL. A new query field is added here.
//! - [`select`]: the statements that read entries and their parts.
//! - [`row`]: decodes rows.
//! - [`endpoints`]: lists endpoints.
//! - [`empty_result`]: explains why a filter matches nothing.
//! - [`patterns`]: checks regular expressions.

mod empty_result;
mod endpoints;
mod filter;
mod patterns;
mod row;
mod select;

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, QueryBuilder};
use time::OffsetDateTime;
use tracing::instrument;

use super::{Store, StoreError};
use crate::model::entry::Entry;
use crate::model::ids::{EntryId, ExchangeId};
use crate::model::instant::UtcInstant;
use crate::model::scope::Scope;

pub use empty_result::{EmptyResult, ResultKind};
pub use endpoints::EndpointList;
pub use filter::{EntryFilter, FilterCondition, SessionChoice};
pub(super) use filter::{push_session, push_where};
pub use patterns::PatternError;
pub(super) use select::{push_inner_end, push_limit, push_outer, push_select};

/// Totals above this are not counted exactly.
pub(super) const EXACT_TOTAL: i64 = 10_000;
/// An exchange has two halves. A producer that sends more must not exhaust memory.
const MAX_HALVES: i64 = 16;
/// Stored bytes after which no further body is read for a page.
const MAX_PAGE_BODY_BYTES: i64 = 16 << 20;

/// By `created_at`, ties by id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Latest first.
    #[default]
    Descending,
    /// Earliest first.
    Ascending,
}

/// A position in an ordered list: after this entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryCursor {
    /// Of the entry.
    pub created_at: UtcInstant,
    /// Of the entry; breaks ties.
    pub id: EntryId,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageStart<C> {
    /// After that many items. Costs as much as reading them: for the first pages.
    Offset(i64),
    /// After this item, at the same cost for any depth.
    After(C),
}

impl<C> PageStart<C> {
    /// An offset is part of the statement's text, so each has a plan of its own.
    pub(super) const fn is_plan_cacheable(&self) -> bool {
        matches!(self, Self::After(_) | Self::Offset(0))
    }
}

/// A query for a page of entries.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Entries of which users.
    pub scope: Scope,
    /// Which of them match.
    pub filter: EntryFilter,
    /// By time.
    pub order: Order,
    /// Where the page begins.
    pub start: PageStart<EntryCursor>,
    /// Maximum number of entries.
    pub limit: u8,
    /// To be read besides the metadata.
    pub parts: EntryParts,
    /// The total that was counted for an earlier page. If this page is empty, it is counted again.
    pub known_total: Option<Total>,
}

/// Parts of an entry that cost extra to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryParts {
    /// Bodies.
    pub bodies: bool,
    /// Headers and trailers.
    pub headers: bool,
}

impl EntryParts {
    /// All parts.
    pub const ALL: Self = Self {
        bodies: true,
        headers: true,
    };
}

/// How many items match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Counted.
    Exact(i64),
    /// Counted up to a bound, which was reached.
    AtLeast(i64),
}

/// A page of entries.
#[derive(Debug)]
pub struct EntryPage {
    /// In the requested order.
    pub entries: Vec<Entry>,
    /// Of all pages.
    pub total: Total,
    /// There is another page.
    pub has_more: bool,
}

impl Store {
    /// A page of entries that have not expired at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.find_entries", skip_all, err(level = "debug"))]
    pub async fn find_entries(
        &self,
        request: &PageRequest,
        now: OffsetDateTime,
    ) -> Result<EntryPage, StoreError> {
        let read = self.read_page(request, now);
        read.await.map_err(StoreError::for_read)
    }

    async fn read_page(
        &self,
        request: &PageRequest,
        now: OffsetDateTime,
    ) -> Result<EntryPage, StoreError> {
        let limit = usize::from(request.limit);
        let mut transaction = self.begin_read(&request.scope).await?;
        let rows = select::page(request, now)
            .build()
            .persistent(request.start.is_plan_cacheable())
            .fetch_all(&mut *transaction)
            .await?;
        let has_more = rows.len() > limit;
        let shown = rows.get(..limit).unwrap_or(&rows);
        let total = match known_total(request, shown.len(), has_more) {
            Some(total) => total,
            None => count(&mut transaction, request, now).await?,
        };
        // Releases the connection before the dictionaries need one.
        drop(transaction);
        Ok(EntryPage {
            entries: self.decode_entries(shown, request.parts).await?,
            total,
            has_more,
        })
    }

    /// The entry with this id and all its parts, unless it has expired at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.entry", skip_all, err(level = "debug"))]
    pub async fn entry(
        &self,
        scope: &Scope,
        id: EntryId,
        now: OffsetDateTime,
    ) -> Result<Option<Entry>, StoreError> {
        let read = async {
            let mut transaction = self.begin_read(scope).await?;
            let rows = select::one(scope, id, now)
                .build()
                .fetch_all(&mut *transaction)
                .await?;
            drop(transaction);
            Ok(self.decode_entries(&rows, EntryParts::ALL).await?.pop())
        };
        read.await.map_err(StoreError::for_read)
    }

    /// The entries of an exchange that have not expired at `now`, with all their parts, the earliest first. If several
    /// users of the scope have an exchange with this id, it is the one that was stored first.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.exchange", skip_all, err(level = "debug"))]
    pub async fn exchange(
        &self,
        scope: &Scope,
        id: ExchangeId,
        now: OffsetDateTime,
    ) -> Result<Vec<Entry>, StoreError> {
        let read = async {
            let mut transaction = self.begin_read(scope).await?;
            let rows = select::exchange(scope, id, now)
                .build()
                .fetch_all(&mut *transaction)
                .await?;
            drop(transaction);
            let mut entries = self.decode_entries(&rows, EntryParts::ALL).await?;
            let first = entries.iter().min_by_key(|entry| entry.id);
            let user = first.map(|entry| entry.user.clone());
            entries.retain(|entry| Some(&entry.user) == user.as_ref());
            Ok(entries)
        };
        read.await.map_err(StoreError::for_read)
    }
}

impl Store {
    /// Decodes rows that were selected with these parts.
    pub(super) async fn decode_entries(
        &self,
        rows: &[PgRow],
        parts: EntryParts,
    ) -> Result<Vec<Entry>, StoreError> {
        let dictionaries = if parts.bodies {
            self.dictionaries_of(rows).await?
        } else {
            HashMap::new()
        };
        let entries = rows
            .iter()
            .map(|row| row::decode(row, parts, &dictionaries));
        entries.collect()
    }
}

/// The total, if it is known without counting.
fn known_total(request: &PageRequest, found: usize, has_more: bool) -> Option<Total> {
    match request.start {
        PageStart::After(_) if found > 0 => request.known_total,
        // This is the last page.
        PageStart::Offset(offset) if !has_more && (found > 0 || offset == 0) => {
            let total = offset.saturating_add(i64::try_from(found).ok()?);
            Some(Total::from_count(total))
        }
        _ => None,
    }
}

impl Total {
    pub(super) const fn from_count(count: i64) -> Self {
        if count > EXACT_TOTAL {
            Self::AtLeast(EXACT_TOTAL)
        } else {
            Self::Exact(count)
        }
    }
}

async fn count(
    connection: &mut PgConnection,
    request: &PageRequest,
    now: OffsetDateTime,
) -> Result<Total, StoreError> {
    let mut query = QueryBuilder::new("select count(*) from (select 1 from entries e");
    push_where(&mut query, &request.scope, &request.filter, now);
    push_limit(&mut query, EXACT_TOTAL + 1);
    query.push(") matching");
    Ok(Total::from_count(
        query.build_query_scalar().fetch_one(connection).await?,
    ))
}

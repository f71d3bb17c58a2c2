//! The read path: entries, by page or by name. Every read takes a [`Scope`], and sees no expired entry.
//!
//! - [`filter`]: what is wanted, as SQL.
//! - [`select`]: reads entries and their parts.
//! - [`endpoints`]: the endpoints that there are.
//! - [`empty_result`]: why nothing was found.
//! - [`patterns`]: checks regular expressions.
//! - [`row`]: turns rows into entries.

mod empty_result;
mod endpoints;
mod filter;
mod patterns;
pub(super) mod row;
mod select;

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, QueryBuilder};
use time::OffsetDateTime;

use super::{Store, StoreError};
use crate::model::entry::Entry;
use crate::model::ids::{EntryId, ExchangeId};
use crate::model::scope::Scope;

pub use empty_result::{EmptyResult, ResultKind};
pub use endpoints::EndpointList;
pub(super) use filter::push_where;
pub use filter::{EntryFilter, FilterCondition};
pub use patterns::PatternError;
pub(super) use select::{push_inner_end, push_limit, push_outer, push_select};

/// Totals are counted exactly up to here.
pub(super) const EXACT_TOTAL: i64 = 10_000;
/// An exchange has two halves. A producer that sends more of them must not fill the memory.
const MAX_HALVES: i64 = 16;
/// Bodies are read for a page until so many bytes of them, as they are stored, are there: the one that
/// reaches the bound is the last.
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

/// A place in an ordered list: behind this entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryCursor {
    /// Its time.
    pub created_at: OffsetDateTime,
    /// Its number.
    pub id: EntryId,
}

/// Where a page begins, in a list whose places are told by such cursors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageStart<C> {
    /// Behind so many. Costs as much as they do: for the first pages.
    Offset(i64),
    /// Behind this one, at any depth for the same price.
    After(C),
}

impl<C> PageStart<C> {
    /// Whether it is worth to keep the plan: an offset stands in the statement, and each makes another.
    pub(super) const fn is_plan_cacheable(&self) -> bool {
        matches!(self, Self::After(_) | Self::Offset(0))
    }
}

/// What is asked of the store.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Whose entries may be seen.
    pub scope: Scope,
    /// Which of them are wanted.
    pub filter: EntryFilter,
    /// In which order.
    pub order: Order,
    /// From where.
    pub start: PageStart<EntryCursor>,
    /// At most so many.
    pub limit: u8,
    /// What is wanted of each beside its metadata.
    pub parts: EntryParts,
    /// All that match, if that was counted for an earlier page. A page that is empty is counted again.
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
    /// Everything.
    pub const ALL: Self = Self {
        bodies: true,
        headers: true,
    };
}

/// How many entries there are in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Exactly so many.
    Exact(i64),
    /// At least so many.
    AtLeast(i64),
}

/// A page of entries.
#[derive(Debug)]
pub struct EntryPage {
    /// In the order asked for.
    pub entries: Vec<Entry>,
    /// All that match, on whatever page.
    pub total: Total,
    /// There are more behind this page.
    pub has_more: bool,
}

impl Store {
    /// A page of entries that are alive at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn find_entries(
        &self,
        request: &PageRequest,
        now: OffsetDateTime,
    ) -> Result<EntryPage, StoreError> {
        let reading = self.read_page(request, now);
        reading.await.map_err(StoreError::for_read)
    }

    async fn read_page(
        &self,
        request: &PageRequest,
        now: OffsetDateTime,
    ) -> Result<EntryPage, StoreError> {
        let limit = usize::from(request.limit);
        let mut reading = self.begin_read(&request.scope).await?;
        let rows = select::page(request, now)
            .build()
            .persistent(request.start.is_plan_cacheable())
            .fetch_all(&mut *reading)
            .await?;
        let has_more = rows.len() > limit;
        let shown = rows.get(..limit).unwrap_or(&rows);
        let total = match total_seen(request, shown.len(), has_more) {
            Some(total) => total,
            None => count(&mut reading, request, now).await?,
        };
        // Before others wait for connections, this one is given back.
        drop(reading);
        Ok(EntryPage {
            entries: self.entries(shown, request.parts).await?,
            total,
            has_more,
        })
    }

    /// The entry of this number, with all its parts, if it is alive at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn entry(
        &self,
        scope: &Scope,
        id: EntryId,
        now: OffsetDateTime,
    ) -> Result<Option<Entry>, StoreError> {
        let reading = async {
            let mut reading = self.begin_read(scope).await?;
            let rows = select::one(scope, id, now)
                .build()
                .fetch_all(&mut *reading)
                .await?;
            drop(reading);
            Ok(self.entries(&rows, EntryParts::ALL).await?.pop())
        };
        reading.await.map_err(StoreError::for_read)
    }

    /// The entries of one user's exchange, with all their parts, that are alive at `now`, the earliest
    /// first. If everyone may be seen and several users have an exchange of this id, it is the one that
    /// was stored first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn exchange(
        &self,
        scope: &Scope,
        id: ExchangeId,
        now: OffsetDateTime,
    ) -> Result<Vec<Entry>, StoreError> {
        let reading = async {
            let mut reading = self.begin_read(scope).await?;
            let rows = select::exchange(scope, id, now)
                .build()
                .fetch_all(&mut *reading)
                .await?;
            drop(reading);
            let mut entries = self.entries(&rows, EntryParts::ALL).await?;
            let first = entries.iter().min_by_key(|entry| entry.id);
            let user = first.map(|entry| entry.user.clone());
            entries.retain(|entry| Some(&entry.user) == user.as_ref());
            Ok(entries)
        };
        reading.await.map_err(StoreError::for_read)
    }
}

impl Store {
    /// Turns rows that were selected with these parts into entries.
    pub(super) async fn entries(
        &self,
        rows: &[PgRow],
        parts: EntryParts,
    ) -> Result<Vec<Entry>, StoreError> {
        let dictionaries = if parts.bodies {
            self.dictionaries_of(rows).await?
        } else {
            HashMap::new()
        };
        let entries = rows.iter().map(|row| row::read(row, parts, &dictionaries));
        entries.collect()
    }
}

/// The total, if a page tells it without counting.
fn total_seen(request: &PageRequest, found: usize, has_more: bool) -> Option<Total> {
    match request.start {
        PageStart::After(_) if found > 0 => request.known_total,
        // It is the last page, so all that matches was seen or passed over.
        PageStart::Offset(offset) if !has_more && (found > 0 || offset == 0) => {
            let total = offset.saturating_add(i64::try_from(found).ok()?);
            Some(Total::of(total))
        }
        _ => None,
    }
}

impl Total {
    pub(super) const fn of(count: i64) -> Self {
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
    Ok(Total::of(
        query.build_query_scalar().fetch_one(connection).await?,
    ))
}

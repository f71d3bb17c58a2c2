//! The read path: pages of entries. Every read takes a [`Scope`], and sees no expired entry.

pub(super) mod row;

use dossier_wire::Half;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use time::OffsetDateTime;

use super::{Store, StoreError};
use crate::model::entry::Entry;
use crate::model::ids::{EntryId, ExchangeId, SessionId};
use crate::model::scope::Scope;

/// Totals are counted exactly up to here.
pub(super) const EXACT_TOTAL: i64 = 10_000;

/// Which entries are wanted; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct EntryFilter {
    /// One half only.
    pub half: Option<Half>,
    /// In normal form.
    pub endpoint: Option<String>,
    /// `created_at` not before.
    pub from: Option<OffsetDateTime>,
    /// `created_at` not after.
    pub to: Option<OffsetDateTime>,
    /// Of this session.
    pub session: Option<SessionId>,
    /// Of this exchange.
    pub exchange: Option<ExchangeId>,
    /// With this response status.
    pub status: Option<i16>,
    /// With this HTTP method.
    pub method: Option<String>,
}

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
pub struct Cursor {
    /// Its time.
    pub created_at: OffsetDateTime,
    /// Its number.
    pub id: EntryId,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Behind so many entries. Costs as much as they do: for the first pages.
    Offset(i64),
    /// Behind this entry, at any depth for the same price.
    After(Cursor),
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
    pub start: Start,
    /// At most so many.
    pub limit: u8,
    /// What is wanted of each beside its metadata.
    pub parts: Parts,
}

/// Parts of entries that cost extra to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Bodies.
    pub bodies: bool,
    /// Headers and trailers.
    pub headers: bool,
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
        let limit = usize::from(request.limit);
        let mut reading = self.reading(&request.scope).await?;
        let rows = page_query(request, now)
            .build()
            .fetch_all(&mut *reading)
            .await?;
        let entries = rows
            .iter()
            .take(limit)
            .map(|row| row::read(row, request.parts))
            .collect::<Result<Vec<_>, _>>()?;
        let total = count(&mut reading, &request.scope, &request.filter, now).await?;
        Ok(EntryPage {
            entries,
            total,
            has_more: rows.len() > limit,
        })
    }
}

async fn count(
    connection: &mut PgConnection,
    scope: &Scope,
    filter: &EntryFilter,
    now: OffsetDateTime,
) -> Result<Total, StoreError> {
    let mut query = QueryBuilder::new("select count(*) from (select 1 from entries e");
    push_where(&mut query, scope, filter, now);
    query
        .push(" limit ")
        .push_bind(EXACT_TOTAL + 1)
        .push(") matching");
    let count: i64 = query.build_query_scalar().fetch_one(connection).await?;
    Ok(if count > EXACT_TOTAL {
        Total::AtLeast(EXACT_TOTAL)
    } else {
        Total::Exact(count)
    })
}

fn page_query(request: &PageRequest, now: OffsetDateTime) -> QueryBuilder<Postgres> {
    let (direction, beyond) = match request.order {
        Order::Descending => (" desc", "<"),
        Order::Ascending => (" asc", ">"),
    };
    // The page is cut before bodies are joined, so that only its own bodies are read.
    let mut query = QueryBuilder::new("select p.*");
    if request.parts.bodies {
        query.push(", b.codec::text as codec, b.data");
    }
    query.push(" from (");
    push_select(&mut query, request.parts);
    push_where(&mut query, &request.scope, &request.filter, now);
    if let Start::After(cursor) = request.start {
        query
            .push(" and (e.created_at, e.id) ")
            .push(beyond)
            .push(" (")
            .push_bind(cursor.created_at);
        query.push(", ").push_bind(cursor.id.0).push(")");
    }
    query
        .push(" order by e.created_at")
        .push(direction)
        .push(", e.id")
        .push(direction);
    query
        .push(" limit ")
        .push_bind(i64::from(request.limit) + 1);
    if let Start::Offset(offset) = request.start {
        query.push(" offset ").push_bind(offset);
    }
    query.push(") p");
    if request.parts.bodies {
        // A body may go before its entry, and its partition may outlive it for a while.
        query
            .push(" left join bodies b on b.user_id = p.user_id and b.entry_id = p.id and b.expires_at = p.body_expires_at and b.expires_at > ")
            .push_bind(now);
    }
    query
        .push(" order by p.created_at")
        .push(direction)
        .push(", p.id")
        .push(direction);
    query
}

/// The columns of `entries e` that [`row::read`] reads, without bodies.
pub(super) fn push_select(query: &mut QueryBuilder<Postgres>, parts: Parts) {
    query.push(
        "select id, user_id, exchange_id, session_id, half::text as half, endpoint, method, path, status, metadata, \
         created_at, expires_at, nullif(expires_at, 'infinity') as ttl, body_size, stored_size, \
         body_state::text as body_state, content_type, content_encoding, truncated, completion::text as completion, \
         coalesce(body_expires_at, expires_at) as body_expires_at, body_decoded, redactions, response_flags, \
         response_details, upstream_host, workload",
    );
    if parts.headers {
        query.push(", headers, trailers");
    }
    query.push(" from entries e");
}

/// All that is asked of `entries e`.
pub(super) fn push_where(
    query: &mut QueryBuilder<Postgres>,
    scope: &Scope,
    filter: &EntryFilter,
    now: OffsetDateTime,
) {
    query.push(" where e.expires_at > ").push_bind(now);
    if let Some(user) = scope.user() {
        query
            .push(" and e.user_id = ")
            .push_bind(user.as_str().to_owned());
    }
    if let Some(half) = filter.half {
        query
            .push(" and e.half = ")
            .push_bind(half.as_str())
            .push("::half");
    }
    if let Some(endpoint) = &filter.endpoint {
        query.push(" and e.endpoint = ").push_bind(endpoint.clone());
    }
    if let Some(from) = filter.from {
        query.push(" and e.created_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        query.push(" and e.created_at <= ").push_bind(to);
    }
    if let Some(session) = filter.session {
        query.push(" and e.session_id = ").push_bind(session.0);
    }
    if let Some(exchange) = filter.exchange {
        query.push(" and e.exchange_id = ").push_bind(exchange.0);
    }
    if let Some(status) = filter.status {
        query.push(" and e.status = ").push_bind(status);
    }
    if let Some(method) = &filter.method {
        query.push(" and e.method = ").push_bind(method.clone());
    }
}

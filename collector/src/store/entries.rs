//! The read path: pages of entries. Every read takes a [`Scope`], and sees no expired entry.

use dossier_wire::{Completion, Half};
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::sessions::user_id;
use super::{Store, StoreError};
use crate::model::body::Codec;
use crate::model::entry::{BodyState, Entry, Expiry, StoredBody};
use crate::model::ids::{EntryId, ExchangeId, SessionId};
use crate::model::scope::Scope;

/// Totals are counted exactly up to here.
const EXACT_TOTAL: i64 = 10_000;

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
    /// Their bodies too.
    pub with_bodies: bool,
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
        let rows = page_query(request, now)
            .build()
            .fetch_all(&self.pool)
            .await?;
        let entries = rows
            .iter()
            .take(limit)
            .map(|row| read(row, request.with_bodies))
            .collect::<Result<Vec<_>, _>>()?;
        let total = self.count(&request.scope, &request.filter, now).await?;
        Ok(EntryPage {
            entries,
            total,
            has_more: rows.len() > limit,
        })
    }

    async fn count(
        &self,
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
        let count: i64 = query.build_query_scalar().fetch_one(&self.pool).await?;
        Ok(if count > EXACT_TOTAL {
            Total::AtLeast(EXACT_TOTAL)
        } else {
            Total::Exact(count)
        })
    }
}

fn page_query(request: &PageRequest, now: OffsetDateTime) -> QueryBuilder<Postgres> {
    let with_bodies = request.with_bodies;
    let (direction, beyond) = match request.order {
        Order::Descending => (" desc", "<"),
        Order::Ascending => (" asc", ">"),
    };
    // The page is cut before bodies are joined, so that only its own bodies are read.
    let mut query = QueryBuilder::new("select p.*");
    if with_bodies {
        query.push(", b.codec::text as codec, b.data");
    }
    query.push(
        " from (select id, user_id, exchange_id, session_id, half::text as half, endpoint, method, path, status, metadata, \
         created_at, expires_at, nullif(expires_at, 'infinity') as ttl, body_size, stored_size, \
         body_state::text as body_state, content_type, content_encoding, truncated, completion::text as completion \
         from entries e",
    );
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
    if with_bodies {
        query.push(" left join bodies b on b.user_id = p.user_id and b.entry_id = p.id and b.expires_at = p.expires_at");
    }
    query
        .push(" order by p.created_at")
        .push(direction)
        .push(", p.id")
        .push(direction);
    query
}

fn push_where(
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

fn read(row: &PgRow, with_bodies: bool) -> Result<Entry, StoreError> {
    let Json(metadata): Json<Map<String, Value>> = row.try_get("metadata")?;
    let ttl: Option<OffsetDateTime> = row.try_get("ttl")?;
    let session: Option<Uuid> = row.try_get("session_id")?;
    Ok(Entry {
        id: EntryId(row.try_get("id")?),
        user: user_id(row.try_get("user_id")?)?,
        exchange: ExchangeId(row.try_get("exchange_id")?),
        session: session.map(SessionId),
        half: half(row.try_get("half")?)?,
        endpoint: row.try_get("endpoint")?,
        method: row.try_get("method")?,
        path: row.try_get("path")?,
        status: row.try_get("status")?,
        metadata,
        created_at: row.try_get("created_at")?,
        expires: ttl.map_or(Expiry::Never, Expiry::At),
        body_size: row.try_get("body_size")?,
        stored_size: row.try_get("stored_size")?,
        body_state: body_state(row.try_get("body_state")?)?,
        content_type: row.try_get("content_type")?,
        content_encoding: row.try_get("content_encoding")?,
        truncated: row.try_get("truncated")?,
        completion: completion(row.try_get("completion")?)?,
        body: if with_bodies { stored_body(row)? } else { None },
    })
}

fn stored_body(row: &PgRow) -> Result<Option<StoredBody>, StoreError> {
    let (codec, data): (Option<&str>, Option<Vec<u8>>) =
        (row.try_get("codec")?, row.try_get("data")?);
    let (Some(codec), Some(data)) = (codec, data) else {
        return Ok(None);
    };
    let codec = [Codec::Identity, Codec::Zstd]
        .into_iter()
        .find(|known| known.as_str() == codec)
        .ok_or(StoreError::Unknown {
            column: "bodies.codec",
        })?;
    Ok(Some(StoredBody { codec, data }))
}

fn half(label: &str) -> Result<Half, StoreError> {
    [Half::Request, Half::Response]
        .into_iter()
        .find(|half| half.as_str() == label)
        .ok_or(StoreError::Unknown {
            column: "entries.half",
        })
}

fn body_state(label: &str) -> Result<BodyState, StoreError> {
    [BodyState::Stored, BodyState::Empty, BodyState::Dropped]
        .into_iter()
        .find(|state| state.as_str() == label)
        .ok_or(StoreError::Unknown {
            column: "entries.body_state",
        })
}

fn completion(label: &str) -> Result<Completion, StoreError> {
    Completion::ALL
        .into_iter()
        .find(|completion| completion.as_str() == label)
        .ok_or(StoreError::Unknown {
            column: "entries.completion",
        })
}

//! Reads pages of sessions, each with what it holds. Every read takes a [`Scope`], and sees no expired
//! entry: a session all of whose entries have expired is not there.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};
use time::OffsetDateTime;

use super::user_id;
use crate::model::entry::Entry;
use crate::model::ids::{SessionId, UserId};
use crate::model::scope::Scope;
use crate::store::entries::{
    EXACT_TOTAL, EntryFilter, EntryParts, Order, PageStart, Total, push_inner_end, push_limit,
    push_outer, push_select, push_where,
};
use crate::store::{Store, StoreError};

/// Most endpoints of one session that are named.
const MAX_ENDPOINTS: i32 = 100;

/// A place in the list of sessions: behind this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCursor {
    /// Its last activity.
    pub last_activity: OffsetDateTime,
    /// Its id.
    pub id: SessionId,
}

/// Which entries are wanted with each session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionEntries {
    /// At most so many of each.
    pub limit: u8,
    /// What is wanted of them beside their metadata.
    pub parts: EntryParts,
}

/// What is asked of the store.
#[derive(Debug, Clone)]
pub struct SessionPageRequest {
    /// Whose sessions may be seen.
    pub scope: Scope,
    /// Only sessions with such entries, and of them only those entries.
    pub filter: EntryFilter,
    /// By last activity of the sessions; of their entries, by `created_at`.
    pub order: Order,
    /// From where.
    pub start: PageStart<SessionCursor>,
    /// At most so many sessions.
    pub limit: u8,
    /// None: sessions alone.
    pub entries: Option<SessionEntries>,
}

/// A session that has at least one entry of those that are wanted.
#[derive(Debug)]
pub struct FoundSession {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// Start of its first exchange.
    pub created_at: OffsetDateTime,
    /// Start of its last exchange.
    pub last_activity: OffsetDateTime,
    /// What the entries that are wanted are filed under, in order; the first hundred.
    pub endpoints: Vec<String>,
    /// How many entries are wanted.
    pub total_entries: i64,
    /// The first of them, if they were asked for.
    pub entries: Vec<Entry>,
}

/// A page of sessions.
#[derive(Debug)]
pub struct SessionPage {
    /// In the order asked for.
    pub sessions: Vec<FoundSession>,
    /// All that match, on whatever page.
    pub total: Total,
    /// There are more behind this page.
    pub has_more: bool,
}

impl Store {
    /// A page of sessions with entries that are alive at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn find_sessions(
        &self,
        request: &SessionPageRequest,
        now: OffsetDateTime,
    ) -> Result<SessionPage, StoreError> {
        let reading = self.read_sessions(request, now);
        reading.await.map_err(StoreError::for_read)
    }

    async fn read_sessions(
        &self,
        request: &SessionPageRequest,
        now: OffsetDateTime,
    ) -> Result<SessionPage, StoreError> {
        let limit = usize::from(request.limit);
        let mut reading = self.begin_read(&request.scope).await?;
        let rows = page_query(request, now)
            .build()
            .persistent(request.start.is_plan_cacheable())
            .fetch_all(&mut *reading)
            .await?;
        let mut sessions = rows
            .iter()
            .take(limit)
            .map(session)
            .collect::<Result<Vec<_>, _>>()?;
        let entries = match request.entries {
            Some(wanted) => {
                entries_query(request, wanted, &sessions, now)
                    .build()
                    .fetch_all(&mut *reading)
                    .await?
            }
            None => Vec::new(),
        };
        let total = count(&mut reading, request, now).await?;
        // Before others wait for connections, this one is given back.
        drop(reading);
        if let Some(wanted) = request.entries {
            let entries = self.entries(&entries, wanted.parts).await?;
            add_entries(&mut sessions, entries);
        }
        Ok(SessionPage {
            sessions,
            total,
            has_more: rows.len() > limit,
        })
    }
}

fn session(row: &PgRow) -> Result<FoundSession, StoreError> {
    Ok(FoundSession {
        id: SessionId(row.try_get("session_id")?),
        user: user_id(row.try_get("user_id")?)?,
        created_at: row.try_get("created_at")?,
        last_activity: row.try_get("last_activity")?,
        endpoints: row.try_get("endpoints")?,
        total_entries: row.try_get("total_entries")?,
        entries: Vec::new(),
    })
}

/// The page is cut before entries are counted, so that only those of its own sessions are.
fn page_query(request: &SessionPageRequest, now: OffsetDateTime) -> QueryBuilder<Postgres> {
    let (direction, beyond) = directions(request.order);
    let mut query = QueryBuilder::new(
        "select p.*, c.total_entries, c.endpoints
         from (select s.user_id, s.session_id, s.created_at, s.last_activity",
    );
    push_matching(&mut query, request, now);
    if let PageStart::After(cursor) = request.start {
        query
            .push(" and (s.last_activity, s.session_id) ")
            .push(beyond)
            .push(" (")
            .push_bind(cursor.last_activity)
            .push(", ")
            .push_bind(cursor.id.0)
            .push(")");
    }
    push_order(&mut query, "s", direction);
    push_limit(&mut query, i64::from(request.limit) + 1);
    if let PageStart::Offset(offset) = request.start {
        query.push(format_args!(" offset {offset}"));
    }
    query
        .push(
            ") p cross join lateral (
                 select coalesce(sum(g.entries), 0)::bigint as total_entries,
                        coalesce((array_agg(g.endpoint order by g.endpoint))[:",
        )
        .push_bind(MAX_ENDPOINTS)
        .push("], '{}') as endpoints from (select e.endpoint, count(*) as entries from entries e");
    push_where(&mut query, &request.scope, &request.filter, now);
    query.push(
        " and e.user_id = p.user_id and e.session_id = p.session_id group by e.endpoint) g) c",
    );
    push_order(&mut query, "p", direction);
    query
}

async fn count(
    connection: &mut PgConnection,
    request: &SessionPageRequest,
    now: OffsetDateTime,
) -> Result<Total, StoreError> {
    let mut query = QueryBuilder::new("select count(*) from (select 1");
    push_matching(&mut query, request, now);
    push_limit(&mut query, EXACT_TOTAL + 1);
    query.push(") matching");
    let count: i64 = query.build_query_scalar().fetch_one(connection).await?;
    Ok(Total::of(count))
}

/// `sessions s` with at least one entry that is wanted. The lateral join makes Postgres ask session by
/// session, in their order, and stop when the page is full.
fn push_matching(
    query: &mut QueryBuilder<Postgres>,
    request: &SessionPageRequest,
    now: OffsetDateTime,
) {
    query.push(" from sessions s cross join lateral (select 1 from entries e");
    push_where(query, &request.scope, &request.filter, now);
    query.push(
        " and e.user_id = s.user_id and e.session_id = s.session_id limit 1) found where true",
    );
    if let Some(user) = request.scope.user() {
        query
            .push(" and s.user_id = ")
            .push_bind(user.as_str().to_owned());
    }
    if let Some(session) = request.filter.session {
        query.push(" and s.session_id = ").push_bind(session.0);
    }
}

const fn directions(order: Order) -> (&'static str, &'static str) {
    match order {
        Order::Descending => (" desc", "<"),
        Order::Ascending => (" asc", ">"),
    }
}

fn push_order(query: &mut QueryBuilder<Postgres>, table: &str, direction: &str) {
    query
        .push(" order by ")
        .push(table)
        .push(".last_activity")
        .push(direction)
        .push(", ")
        .push(table)
        .push(".session_id")
        .push(direction);
}

fn add_entries(sessions: &mut [FoundSession], entries: Vec<Entry>) {
    let mut places: HashMap<_, _> = sessions
        .iter_mut()
        .map(|session| (session.id, &mut session.entries))
        .collect();
    for entry in entries {
        let place = entry.session.and_then(|session| places.get_mut(&session));
        if let Some(place) = place {
            place.push(entry);
        }
    }
}

/// The first entries of each session, in the order of the sessions.
fn entries_query(
    request: &SessionPageRequest,
    wanted: SessionEntries,
    sessions: &[FoundSession],
    now: OffsetDateTime,
) -> QueryBuilder<Postgres> {
    let (direction, _) = directions(request.order);
    let order = format!(" order by p.place, p.created_at{direction}, p.id{direction}");
    let mut query = QueryBuilder::new("");
    push_outer(&mut query, wanted.parts, &order);
    query
        .push("select e.*, want.place from unnest(")
        .push_bind(
            sessions
                .iter()
                .map(|it| it.user.as_str().to_owned())
                .collect::<Vec<_>>(),
        )
        .push("::text[], ")
        .push_bind(sessions.iter().map(|it| it.id.0).collect::<Vec<_>>())
        .push("::uuid[]) with ordinality as want(user_id, session_id, place) cross join lateral (");
    push_select(&mut query, wanted.parts);
    push_where(&mut query, &request.scope, &request.filter, now);
    query
        .push(" and e.user_id = want.user_id and e.session_id = want.session_id order by e.created_at")
        .push(direction)
        .push(", e.id")
        .push(direction);
    push_limit(&mut query, i64::from(wanted.limit));
    query.push(") e");
    push_inner_end(&mut query, wanted.parts, &order, now);
    query
}

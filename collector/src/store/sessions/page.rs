//! Reads pages of sessions, with a summary of their entries. Every read takes a [`Scope`], and sees no expired entry:
//! a session all of whose entries have expired does not exist.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};
use time::OffsetDateTime;
use tracing::instrument;

use crate::model::entry::Entry;
use crate::model::ids::{SessionId, UserId};
use crate::model::instant::UtcInstant;
use crate::model::scope::Scope;
use crate::store::columns::user_id;
use crate::store::entries::{
    EXACT_TOTAL, EntryFilter, EntryParts, Order, PageStart, Total, push_inner_end, push_limit,
    push_outer, push_select, push_session, push_where,
};
use crate::store::{Store, StoreError};

/// Listed endpoints of a session.
const MAX_ENDPOINTS: i32 = 100;

/// A position in the list of sessions: after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCursor {
    /// Of the session.
    pub last_activity: UtcInstant,
    /// Of the session; breaks ties.
    pub id: SessionId,
}

/// Which entries to return with each session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionEntries {
    /// Maximum number for each session.
    pub limit: u8,
    /// To be read besides the metadata.
    pub parts: EntryParts,
}

/// A query for a page of sessions.
#[derive(Debug, Clone)]
pub struct SessionPageRequest {
    /// Sessions of which users.
    pub scope: Scope,
    /// Only sessions with matching entries, and of them only those entries.
    pub filter: EntryFilter,
    /// Of sessions, by last activity; of their entries, by `created_at`.
    pub order: Order,
    /// Where the page begins.
    pub start: PageStart<SessionCursor>,
    /// Maximum number of sessions.
    pub limit: u8,
    /// None: return no entries.
    pub entries: Option<SessionEntries>,
}

/// A session with at least one matching entry.
#[derive(Debug)]
pub struct FoundSession {
    /// Its id.
    pub id: SessionId,
    /// The name that clients gave it.
    pub external_id: Option<String>,
    /// Its user.
    pub user: UserId,
    /// Start of its first exchange.
    pub created_at: OffsetDateTime,
    /// Start of its last exchange.
    pub last_activity: OffsetDateTime,
    /// Of the matching entries, sorted; the first hundred.
    pub endpoints: Vec<String>,
    /// How many entries match.
    pub total_entries: i64,
    /// The first of them, if requested.
    pub entries: Vec<Entry>,
}

/// A page of sessions.
#[derive(Debug)]
pub struct SessionPage {
    /// In the requested order.
    pub sessions: Vec<FoundSession>,
    /// Of all pages.
    pub total: Total,
    /// There is another page.
    pub has_more: bool,
}

/// Of a name, in the scope of all users.
const MAX_NAMED: i64 = 1000;

impl Store {
    /// The sessions that clients gave this name: one of each user of the scope, the first thousand.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.sessions_named", skip_all, err(level = "debug"))]
    pub async fn sessions_named(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<Vec<SessionId>, StoreError> {
        let read = async {
            let mut transaction = self.begin_read(scope).await?;
            let mut query =
                QueryBuilder::new("select session_id from sessions where external_id = ");
            query.push_bind(name.to_owned());
            if let Some(user) = scope.user() {
                query
                    .push(" and user_id = ")
                    .push_bind(user.as_str().to_owned());
            }
            query.push(" order by user_id");
            push_limit(&mut query, MAX_NAMED);
            let ids: Vec<uuid::Uuid> = query
                .build_query_scalar()
                .fetch_all(&mut *transaction)
                .await?;
            Ok(ids.into_iter().map(SessionId).collect())
        };
        read.await.map_err(StoreError::for_read)
    }
    /// A page of sessions, with entries that have not expired at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.find_sessions", skip_all, err(level = "debug"))]
    pub async fn find_sessions(
        &self,
        request: &SessionPageRequest,
        now: OffsetDateTime,
    ) -> Result<SessionPage, StoreError> {
        let read = self.read_sessions(request, now);
        read.await.map_err(StoreError::for_read)
    }

    async fn read_sessions(
        &self,
        request: &SessionPageRequest,
        now: OffsetDateTime,
    ) -> Result<SessionPage, StoreError> {
        let limit = usize::from(request.limit);
        let mut transaction = self.begin_read(&request.scope).await?;
        let rows = page_query(request, now)
            .build()
            .persistent(request.start.is_plan_cacheable())
            .fetch_all(&mut *transaction)
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
                    .fetch_all(&mut *transaction)
                    .await?
            }
            None => Vec::new(),
        };
        let total = count(&mut transaction, request, now).await?;
        // Releases the connection before the dictionaries need one.
        drop(transaction);
        if let Some(wanted) = request.entries {
            let entries = self.decode_entries(&entries, wanted.parts).await?;
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
        external_id: row.try_get("external_id")?,
        user: user_id(row.try_get("user_id")?)?,
        created_at: row.try_get("created_at")?,
        last_activity: row.try_get("last_activity")?,
        endpoints: row.try_get("endpoints")?,
        total_entries: row.try_get("total_entries")?,
        entries: Vec::new(),
    })
}

/// The page is limited before entries are counted, so that only those of its sessions are.
fn page_query(request: &SessionPageRequest, now: OffsetDateTime) -> QueryBuilder<Postgres> {
    let (direction, comparison) = directions(request.order);
    let mut query = QueryBuilder::new(
        "select p.*, c.total_entries, c.endpoints
         from (select s.user_id, s.session_id, s.external_id, s.created_at, s.last_activity",
    );
    push_matching(&mut query, request, now);
    if let PageStart::After(cursor) = request.start {
        query
            .push(" and (s.last_activity, s.session_id) ")
            .push(comparison)
            .push(" (")
            .push_bind(cursor.last_activity.get())
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
    Ok(Total::from_count(count))
}

/// `sessions s` with at least one matching entry. The lateral join makes Postgres go session by session, in
/// their order, and stop when the page is full.
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
    if let Some(choice) = &request.filter.session {
        query.push(" and ");
        push_session(query, "s", choice);
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
    let mut by_session: HashMap<_, _> = sessions
        .iter_mut()
        .map(|session| (session.id, &mut session.entries))
        .collect();
    for entry in entries {
        let entries = entry
            .session
            .and_then(|session| by_session.get_mut(&session));
        if let Some(entries) = entries {
            entries.push(entry);
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

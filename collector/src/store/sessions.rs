//! Finds or opens the sessions of a batch's entries, for all its users at once.
//!
//! Users are locked in a fixed order until the transaction ends, so that several collectors agree on
//! a user's sessions without ever waiting for each other in a circle.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::StoreError;
use crate::model::entry::{Expiry, NewEntry};
use crate::model::ids::{ExchangeId, SessionId, UserId};
use crate::model::session::{Session, SessionRequest, UserSessions};

/// The session of each exchange that belongs to one.
pub(super) type Placed = HashMap<(UserId, ExchangeId), SessionId>;

/// One exchange that looks for its session. Both halves ask the same.
struct Seeker<'a> {
    user: &'a UserId,
    exchange: ExchangeId,
    request: &'a SessionRequest,
    at: OffsetDateTime,
    expires: Expiry,
    both_halves: bool,
}

/// Places every entry that asks for a session.
pub(super) async fn place(
    connection: &mut PgConnection,
    entries: &[NewEntry<'_>],
) -> Result<Placed, StoreError> {
    let mut seekers = seekers(entries);
    if seekers.is_empty() {
        return Ok(Placed::new());
    }
    lock_users(connection, &seekers).await?;
    let mut placed = placed_before(connection, &seekers).await?;
    seekers.retain(|seeker| !placed.contains_key(&(seeker.user.clone(), seeker.exchange)));
    let mut users = load(connection, &seekers).await?;
    for seeker in &seekers {
        let session = users
            .entry(seeker.user.clone())
            .or_default()
            .place(seeker.request, seeker.at);
        placed.insert((seeker.user.clone(), seeker.exchange), session);
    }
    save(connection, &users).await?;
    Ok(placed)
}

/// The exchanges of a batch, each once, in the order in which they happened.
fn seekers<'a>(entries: &'a [NewEntry<'_>]) -> Vec<Seeker<'a>> {
    let mut exchanges: HashMap<(&UserId, ExchangeId), Seeker<'a>> = HashMap::new();
    for entry in entries {
        let Some(request) = &entry.session else {
            continue;
        };
        exchanges
            .entry((&entry.user, entry.exchange))
            .and_modify(|seeker| seeker.both_halves = true)
            .or_insert_with(|| Seeker {
                user: &entry.user,
                exchange: entry.exchange,
                request,
                at: entry.started_at,
                expires: entry.expires,
                both_halves: false,
            });
    }
    let mut seekers: Vec<_> = exchanges.into_values().collect();
    seekers.sort_by_key(|seeker| (seeker.at, seeker.exchange));
    seekers
}

async fn lock_users(
    connection: &mut PgConnection,
    seekers: &[Seeker<'_>],
) -> Result<(), StoreError> {
    let users = distinct_users(seekers);
    sqlx::query(
        "select pg_advisory_xact_lock(k) from
         (select distinct hashtextextended(u, 7) as k from unnest($1::text[]) u order by k) keys",
    )
    .bind(&users)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sessions of exchanges whose other half came in an earlier batch.
async fn placed_before(
    connection: &mut PgConnection,
    seekers: &[Seeker<'_>],
) -> Result<Placed, StoreError> {
    let halves: Vec<_> = seekers
        .iter()
        .filter(|seeker| !seeker.both_halves)
        .collect();
    let mut placed = Placed::new();
    if halves.is_empty() {
        return Ok(placed);
    }
    let users: Vec<&str> = halves.iter().map(|seeker| seeker.user.as_str()).collect();
    let exchanges: Vec<Uuid> = halves.iter().map(|seeker| seeker.exchange.0).collect();
    // Both halves expire together, and the expiry leads to the one partition to look in.
    let expiries: Vec<Option<OffsetDateTime>> = halves
        .iter()
        .map(|seeker| match seeker.expires {
            Expiry::At(at) => Some(at),
            Expiry::Never => None,
        })
        .collect();
    let rows = sqlx::query(
        "select e.user_id, e.exchange_id, e.session_id
         from unnest($1::text[], $2::uuid[], $3::timestamptz[]) as want(user_id, exchange_id, expires_at)
         join entries e on e.user_id = want.user_id and e.exchange_id = want.exchange_id
              and e.expires_at = coalesce(want.expires_at, 'infinity')
         where e.session_id is not null",
    )
    .bind(&users)
    .bind(&exchanges)
    .bind(&expiries)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let user = user_id(row.try_get("user_id")?)?;
        placed.insert(
            (user, ExchangeId(row.try_get("exchange_id")?)),
            SessionId(row.try_get("session_id")?),
        );
    }
    Ok(placed)
}

/// The stored sessions that any of the seekers could join.
async fn load(
    connection: &mut PgConnection,
    seekers: &[Seeker<'_>],
) -> Result<BTreeMap<UserId, UserSessions>, StoreError> {
    let mut users = BTreeMap::new();
    let Some(reach) = Reach::of(seekers) else {
        return Ok(users);
    };
    let names: Vec<&str> = seekers
        .iter()
        .filter_map(|seeker| match seeker.request {
            SessionRequest::Named(name) => Some(name.as_str()),
            SessionRequest::Within(_) => None,
        })
        .collect();
    let rows = sqlx::query(
        "select user_id, session_id, external_id, created_at, last_activity from sessions
         where user_id = any($1)
           and (external_id = any($2)
                or (external_id is null and last_activity >= $3 and created_at <= $4))",
    )
    .bind(distinct_users(seekers))
    .bind(&names)
    .bind(reach.from)
    .bind(reach.to)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let sessions: &mut UserSessions =
            users.entry(user_id(row.try_get("user_id")?)?).or_default();
        sessions.add(Session {
            id: SessionId(row.try_get("session_id")?),
            name: row.try_get("external_id")?,
            created_at: row.try_get("created_at")?,
            last_activity: row.try_get("last_activity")?,
        });
    }
    Ok(users)
}

async fn save(
    connection: &mut PgConnection,
    users: &BTreeMap<UserId, UserSessions>,
) -> Result<(), StoreError> {
    let all: Vec<(&UserId, &Session)> = users
        .iter()
        .flat_map(|(user, sessions)| sessions.sessions().iter().map(move |s| (user, s)))
        .collect();
    sqlx::query(
        "insert into sessions as s (user_id, session_id, external_id, created_at, last_activity)
         select * from unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[])
         on conflict (user_id, session_id) do update
         set created_at = excluded.created_at, last_activity = excluded.last_activity
         where (s.created_at, s.last_activity) is distinct from (excluded.created_at, excluded.last_activity)",
    )
    .bind(all.iter().map(|(user, _)| user.as_str()).collect::<Vec<_>>())
    .bind(all.iter().map(|(_, session)| session.id.0).collect::<Vec<_>>())
    .bind(all.iter().map(|(_, session)| session.name.as_deref()).collect::<Vec<_>>())
    .bind(all.iter().map(|(_, session)| session.created_at).collect::<Vec<_>>())
    .bind(all.iter().map(|(_, session)| session.last_activity).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// The span of time in which a session must have been active to matter to a batch.
struct Reach {
    from: OffsetDateTime,
    to: OffsetDateTime,
}

impl Reach {
    fn of(seekers: &[Seeker<'_>]) -> Option<Self> {
        let timeout = |seeker: &Seeker<'_>| match seeker.request {
            SessionRequest::Within(timeout) => *timeout,
            SessionRequest::Named(_) => Duration::ZERO,
        };
        let from = seekers
            .iter()
            .map(|seeker| seeker.at - timeout(seeker))
            .min()?;
        let to = seekers
            .iter()
            .map(|seeker| seeker.at + timeout(seeker))
            .max()?;
        Some(Self { from, to })
    }
}

fn distinct_users(seekers: &[Seeker<'_>]) -> Vec<String> {
    let mut users: Vec<_> = seekers
        .iter()
        .map(|seeker| seeker.user.as_str().to_owned())
        .collect();
    users.sort_unstable();
    users.dedup();
    users
}

pub(super) fn user_id(text: String) -> Result<UserId, StoreError> {
    UserId::new(text).map_err(|_| StoreError::Unknown { column: "user_id" })
}

//! Sessions that are found by time: the store's side of [`timeline`].
//!
//! Users are locked in a fixed order until the transaction ends, so that several collectors agree on
//! a user's sessions without ever waiting for each other in a circle.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::{PgConnection, Row};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{SessionLookup, user_id};
use crate::model::ids::{SessionId, UserId};
use crate::model::session::timeline::{self, Event, Move};
use crate::model::session::{SessionRequest, TimedSession};
use crate::store::StoreError;

/// The advisory locks of users, apart from others: "doss".
const USER_LOCKS: i32 = 0x646f_7373;
/// Users share so many locks, a power of two: a lock for each would soon fill Postgres's table of them. By
/// default that has 64 for each connection that is allowed.
const LOCKS: i64 = 1024;

/// What divides sessions: the user and the group.
type Key = (UserId, String);

/// What a batch knows of the exchanges of one user and group.
#[derive(Debug, Default)]
struct Group {
    /// The stored sessions that can matter, in order of time.
    stored: Vec<TimedSession>,
    events: Vec<Event>,
    /// The sessions once the events are placed.
    merged: Vec<TimedSession>,
}

impl Group {
    /// The sessions that are new or not as they were.
    fn changed(&self) -> impl Iterator<Item = &TimedSession> {
        let before: HashMap<_, _> = self.stored.iter().map(|it| (it.id, it)).collect();
        let merged = self.merged.iter();
        merged.filter(move |session| before.get(&session.id) != Some(session))
    }

    /// The sessions that have become part of others.
    fn gone(&self) -> impl Iterator<Item = SessionId> {
        let kept: HashSet<_> = self.merged.iter().map(|it| it.id).collect();
        let stored = self.stored.iter().map(|session| session.id);
        stored.filter(move |id| !kept.contains(id))
    }
}

/// Places the exchanges that look for their session by time.
pub(super) async fn assign(
    connection: &mut PgConnection,
    lookups: &[&SessionLookup],
    assigned: &mut [Option<SessionId>],
) -> Result<(), StoreError> {
    let mut groups = groups(lookups);
    if groups.is_empty() {
        return Ok(());
    }
    lock_users(connection, &groups).await?;
    load(connection, &mut groups).await?;
    look(connection, &mut groups).await?;
    for group in groups.values_mut() {
        group.merged = timeline::merge_sessions(&group.stored, &group.events);
    }
    save(connection, &groups).await?;
    for (lookup, assigned) in lookups.iter().zip(assigned) {
        if let SessionRequest::Within { group, .. } = &lookup.request {
            let group = groups.get(&(lookup.user.clone(), group.clone()));
            let session = group.and_then(|group| timeline::session_at(&group.merged, lookup.at));
            *assigned = session.map(|session| session.id).or(*assigned);
        }
    }
    Ok(())
}

fn groups(lookups: &[&SessionLookup]) -> BTreeMap<Key, Group> {
    let mut groups = BTreeMap::<Key, Group>::new();
    for lookup in lookups {
        if let SessionRequest::Within { timeout, group } = &lookup.request {
            let key = (lookup.user.clone(), group.clone());
            groups.entry(key).or_default().events.push(Event {
                at: lookup.at,
                timeout: *timeout,
                previous: None,
            });
        }
    }
    groups
}

async fn lock_users(
    connection: &mut PgConnection,
    groups: &BTreeMap<Key, Group>,
) -> Result<(), StoreError> {
    sqlx::query(
        "select pg_advisory_xact_lock($2, k) from
         (select distinct (hashtextextended(u, 7) & $3)::int as k from unnest($1::text[]) u order by k) keys",
    )
    .bind(users(groups))
    .bind(USER_LOCKS)
    .bind(LOCKS - 1)
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads the stored sessions that the events can join, and the next ones, which can join theirs. Of two
/// sessions that end after the last event, the first may contain it, and the second be the next.
async fn load(
    connection: &mut PgConnection,
    groups: &mut BTreeMap<Key, Group>,
) -> Result<(), StoreError> {
    let reaches = groups.values().filter_map(|group| {
        let since = group.events.iter().map(|it| it.at - it.timeout).min()?;
        Some((since, group.events.iter().map(|it| it.at).max()?))
    });
    let (since, until): (Vec<_>, Vec<_>) = reaches.unzip();
    let rows = sqlx::query(
        "select want.user_id, want.group_key, s.*
         from unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
              as want(user_id, group_key, since, until)
         cross join lateral (
             (select session_id, created_at, last_activity, opening_timeout, widest_gap from sessions
              where user_id = want.user_id and group_key = want.group_key and external_id is null
                and last_activity between want.since and want.until)
             union all
             (select session_id, created_at, last_activity, opening_timeout, widest_gap from sessions
              where user_id = want.user_id and group_key = want.group_key and external_id is null
                and last_activity > want.until
              order by last_activity limit 2)
         ) s
         order by s.created_at",
    )
    .bind(users(groups))
    .bind(groups.keys().map(|(_, group)| group.as_str()).collect::<Vec<_>>())
    .bind(&since)
    .bind(&until)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let key = (user_id(row.try_get("user_id")?)?, row.try_get("group_key")?);
        groups.entry(key).or_default().stored.push(TimedSession {
            id: SessionId(row.try_get("session_id")?),
            created_at: row.try_get("created_at")?,
            last_activity: row.try_get("last_activity")?,
            opening_timeout: Duration::microseconds(row.try_get("opening_timeout")?),
            longest_pause: Duration::microseconds(row.try_get("widest_gap")?),
        });
    }
    Ok(())
}

fn users(groups: &BTreeMap<Key, Group>) -> Vec<&str> {
    groups.keys().map(|(user, _)| user.as_str()).collect()
}

/// Where a event falls into a pause that may be longer than its timeout, asks the entries. That is
/// rare: the timeouts of a group must differ, and the event be late.
async fn look(
    connection: &mut PgConnection,
    groups: &mut BTreeMap<Key, Group>,
) -> Result<(), StoreError> {
    let mut looking = Vec::new();
    let (mut users, mut sessions, mut instants) = (Vec::new(), Vec::new(), Vec::new());
    for ((user, _), group) in groups {
        for event in &mut group.events {
            let session = timeline::session_at(&group.stored, event.at);
            if let Some(session) = session.filter(|it| timeline::needs_lookup(it, event)) {
                users.push(user.as_str());
                sessions.push(session.id.0);
                instants.push(event.at);
                looking.push(event);
            }
        }
    }
    if looking.is_empty() {
        return Ok(());
    }
    let previous: Vec<Option<OffsetDateTime>> = sqlx::query_scalar(
        "select (select max(e.started_at) from entries e
                 where e.user_id = want.user_id and e.session_id = want.session_id
                   and e.started_at <= want.at)
         from unnest($1::text[], $2::uuid[], $3::timestamptz[])
              with ordinality as want(user_id, session_id, at, place)
         order by want.place",
    )
    .bind(&users)
    .bind(&sessions)
    .bind(&instants)
    .fetch_all(connection)
    .await?;
    for (event, previous) in looking.into_iter().zip(previous) {
        event.previous = previous;
    }
    Ok(())
}

async fn save(
    connection: &mut PgConnection,
    groups: &BTreeMap<Key, Group>,
) -> Result<(), StoreError> {
    save_sessions(connection, groups).await?;
    let moves: Vec<_> = groups
        .iter()
        .flat_map(|((user, _), group)| {
            let moves = timeline::moves(&group.stored, &group.merged);
            moves.into_iter().map(move |it| (user, it))
        })
        .collect();
    if !moves.is_empty() {
        move_entries(connection, &moves).await?;
        drop_sessions(connection, groups).await?;
    }
    Ok(())
}

async fn save_sessions(
    connection: &mut PgConnection,
    groups: &BTreeMap<Key, Group>,
) -> Result<(), StoreError> {
    let changed: Vec<_> = groups
        .iter()
        .flat_map(|(key, group)| group.changed().map(move |session| (key, session)))
        .collect();
    let each = |of: fn(&TimedSession) -> OffsetDateTime| {
        changed.iter().map(|(_, it)| of(it)).collect::<Vec<_>>()
    };
    sqlx::query(
        "insert into sessions (user_id, group_key, session_id, created_at, last_activity, opening_timeout, widest_gap)
         select * from unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::bigint[],
                              $7::bigint[])
         on conflict (user_id, session_id) do update
         set created_at = excluded.created_at, last_activity = excluded.last_activity,
             opening_timeout = excluded.opening_timeout, widest_gap = excluded.widest_gap",
    )
    .bind(changed.iter().map(|((user, _), _)| user.as_str()).collect::<Vec<_>>())
    .bind(changed.iter().map(|((_, group), _)| group.as_str()).collect::<Vec<_>>())
    .bind(changed.iter().map(|(_, it)| it.id.0).collect::<Vec<_>>())
    .bind(each(|it| it.created_at))
    .bind(each(|it| it.last_activity))
    .bind(changed.iter().map(|(_, it)| micros(it.opening_timeout)).collect::<Vec<_>>())
    .bind(changed.iter().map(|(_, it)| micros(it.longest_pause)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// No span of the calendar has more microseconds than fit.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.whole_microseconds()).unwrap_or(i64::MAX)
}

async fn move_entries(
    connection: &mut PgConnection,
    moves: &[(&UserId, Move)],
) -> Result<(), StoreError> {
    sqlx::query(
        "update entries e set session_id = m.new_id
         from unnest($1::text[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
              as m(user_id, old_id, new_id, since, until)
         where e.user_id = m.user_id and e.session_id = m.old_id and e.started_at between m.since and m.until",
    )
    .bind(moves.iter().map(|(user, _)| user.as_str()).collect::<Vec<_>>())
    .bind(moves.iter().map(|(_, it)| it.from.0).collect::<Vec<_>>())
    .bind(moves.iter().map(|(_, it)| it.to.0).collect::<Vec<_>>())
    .bind(moves.iter().map(|(_, it)| it.since).collect::<Vec<_>>())
    .bind(moves.iter().map(|(_, it)| it.until).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn drop_sessions(
    connection: &mut PgConnection,
    groups: &BTreeMap<Key, Group>,
) -> Result<(), StoreError> {
    let gone: Vec<(&str, Uuid)> = groups
        .iter()
        .flat_map(|((user, _), group)| group.gone().map(move |id| (user.as_str(), id.0)))
        .collect();
    sqlx::query(
        "delete from sessions s using unnest($1::text[], $2::uuid[]) as gone(user_id, session_id)
         where s.user_id = gone.user_id and s.session_id = gone.session_id",
    )
    .bind(gone.iter().map(|(user, _)| *user).collect::<Vec<_>>())
    .bind(gone.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::Connection;

    use super::*;
    use crate::store::testing::Database;

    #[tokio::test]
    async fn users_take_few_locks_however_many_they_are() {
        let database = Database::start().await;
        let mut connection = database.owner.acquire().await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let user = |number| UserId::new(format!("user-{number}")).unwrap();
        let groups = (0..16_000).map(|number| ((user(number), String::new()), Group::default()));
        lock_users(&mut transaction, &groups.collect())
            .await
            .unwrap();
        let held: i64 =
            sqlx::query_scalar("select count(*) from pg_locks where locktype = 'advisory'")
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
        assert_eq!(held, LOCKS);
        transaction.rollback().await.unwrap();
        drop(connection);
        database.stop([]).await;
    }
}

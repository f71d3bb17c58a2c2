//! Sessions that are found by time: stores what [`timeline`] computes.
//!
//! # How it works
//!
//! [`timeline`] defines the sessions of a user and group by the times of its exchanges alone, so that the order of arrival
//! does not matter. For a group of batches, [`assign`] does incrementally what recomputing all sessions would do:
//!
//! 1. Lock the users until the transaction ends, in a fixed order: collectors agree on a user's sessions, and cannot
//!    deadlock.
//! 2. Load only the stored sessions that can change: those within a timeout before the first event, up to the two
//!    that end after the last one.
//! 3. Rarely, look up in `entries` when the exchange before an event began, which the stored sessions do not tell.
//! 4. Merge the events into the sessions, in memory.
//! 5. Save the sessions that changed, move entries whose session changed, and delete sessions that became part of others.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::{PgConnection, Row};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::SessionLookup;
use crate::model::ids::{SessionId, UserId};
use crate::model::session::timeline::{self, Event, Move};
use crate::model::session::{SessionRequest, TimedSession};
use crate::store::StoreError;
use crate::store::columns::user_id;

/// The class of the users' advisory locks: "doss".
const USER_LOCK_CLASS: i32 = 0x646f_7373;
/// Users share locks: one lock for each would soon fill Postgres's lock table, which by default has room for 64 for
/// each allowed connection. A power of two.
const USER_LOCKS: i64 = 1024;

/// Sessions are separate for each user and group.
type TimelineKey = (UserId, String);

/// A section of the timeline of one user and group.
#[derive(Debug, Default)]
struct Section {
    /// The stored sessions that can change, in order of time.
    stored: Vec<TimedSession>,
    events: Vec<Event>,
    /// The sessions with the events.
    merged: Vec<TimedSession>,
}

impl Section {
    /// The sessions that are new or have changed.
    fn changed(&self) -> impl Iterator<Item = &TimedSession> {
        let before: HashMap<_, _> = self.stored.iter().map(|it| (it.id, it)).collect();
        let merged = self.merged.iter();
        merged.filter(move |session| before.get(&session.id) != Some(session))
    }

    /// The stored sessions that became part of others.
    fn absorbed(&self) -> impl Iterator<Item = SessionId> {
        let remaining: HashSet<_> = self.merged.iter().map(|it| it.id).collect();
        let stored = self.stored.iter().map(|session| session.id);
        stored.filter(move |id| !remaining.contains(id))
    }
}

/// Assigns the exchanges whose session is found by time.
pub(super) async fn assign(
    connection: &mut PgConnection,
    lookups: &[&SessionLookup],
    assigned: &mut [Option<SessionId>],
) -> Result<(), StoreError> {
    let mut sections = sections(lookups);
    if sections.is_empty() {
        return Ok(());
    }
    lock_users(connection, &sections).await?;
    load(connection, &mut sections).await?;
    look_up_previous(connection, &mut sections).await?;
    for section in sections.values_mut() {
        section.merged = timeline::merge_sessions(&section.stored, &section.events);
    }
    save(connection, &sections).await?;
    for (lookup, assigned) in lookups.iter().zip(assigned) {
        if let SessionRequest::Within { group, .. } = &lookup.request {
            let section = sections.get(&(lookup.user.clone(), group.clone()));
            let session = section.and_then(|it| timeline::session_at(&it.merged, lookup.at));
            *assigned = session.map(|session| session.id).or(*assigned);
        }
    }
    Ok(())
}

fn sections(lookups: &[&SessionLookup]) -> BTreeMap<TimelineKey, Section> {
    let mut sections = BTreeMap::<TimelineKey, Section>::new();
    for lookup in lookups {
        if let SessionRequest::Within { timeout, group } = &lookup.request {
            let key = (lookup.user.clone(), group.clone());
            sections.entry(key).or_default().events.push(Event {
                at: lookup.at,
                timeout: *timeout,
                previous: None,
            });
        }
    }
    sections
}

async fn lock_users(
    connection: &mut PgConnection,
    sections: &BTreeMap<TimelineKey, Section>,
) -> Result<(), StoreError> {
    sqlx::query(
        "select pg_advisory_xact_lock($2, k) from
         (select distinct (hashtextextended(u, 7) & $3)::int as k from unnest($1::text[]) u order by k) keys",
    )
    .bind(users(sections))
    .bind(USER_LOCK_CLASS)
    .bind(USER_LOCKS - 1)
    .execute(connection)
    .await?;
    Ok(())
}

/// Loads the stored sessions that the events can join, and the next ones, which can join those. Of the two
/// sessions that end after the last event, the first may contain it, and the second may be the next.
async fn load(
    connection: &mut PgConnection,
    sections: &mut BTreeMap<TimelineKey, Section>,
) -> Result<(), StoreError> {
    let ranges = sections.values().filter_map(|section| {
        let since = section.events.iter().map(|it| it.at - it.timeout).min()?;
        Some((since, section.events.iter().map(|it| it.at).max()?))
    });
    let (since, until): (Vec<_>, Vec<_>) = ranges.unzip();
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
    .bind(users(sections))
    .bind(sections.keys().map(|(_, group)| group.as_str()).collect::<Vec<_>>())
    .bind(&since)
    .bind(&until)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let key = (user_id(row.try_get("user_id")?)?, row.try_get("group_key")?);
        sections.entry(key).or_default().stored.push(TimedSession {
            id: SessionId(row.try_get("session_id")?),
            created_at: row.try_get("created_at")?,
            last_activity: row.try_get("last_activity")?,
            opening_timeout: Duration::microseconds(row.try_get("opening_timeout")?),
            longest_pause: Duration::microseconds(row.try_get("widest_gap")?),
        });
    }
    Ok(())
}

fn users(sections: &BTreeMap<TimelineKey, Section>) -> Vec<&str> {
    sections.keys().map(|(user, _)| user.as_str()).collect()
}

/// Looks up the previous exchange of events that need it. That is rare: the timeouts of a group must differ, and
/// the event be late.
async fn look_up_previous(
    connection: &mut PgConnection,
    sections: &mut BTreeMap<TimelineKey, Section>,
) -> Result<(), StoreError> {
    let mut looked_up = Vec::new();
    let (mut users, mut sessions, mut instants) = (Vec::new(), Vec::new(), Vec::new());
    for ((user, _), section) in sections {
        for event in &mut section.events {
            let session = timeline::session_at(&section.stored, event.at);
            if let Some(session) = session.filter(|it| timeline::needs_lookup(it, event)) {
                users.push(user.as_str());
                sessions.push(session.id.0);
                instants.push(event.at);
                looked_up.push(event);
            }
        }
    }
    if looked_up.is_empty() {
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
    for (event, previous) in looked_up.into_iter().zip(previous) {
        event.previous = previous;
    }
    Ok(())
}

async fn save(
    connection: &mut PgConnection,
    sections: &BTreeMap<TimelineKey, Section>,
) -> Result<(), StoreError> {
    save_sessions(connection, sections).await?;
    let moves: Vec<_> = sections
        .iter()
        .flat_map(|((user, _), section)| {
            let moves = timeline::moves(&section.stored, &section.merged);
            moves.into_iter().map(move |it| (user, it))
        })
        .collect();
    if !moves.is_empty() {
        move_entries(connection, &moves).await?;
        delete_sessions(connection, sections).await?;
    }
    Ok(())
}

async fn save_sessions(
    connection: &mut PgConnection,
    sections: &BTreeMap<TimelineKey, Section>,
) -> Result<(), StoreError> {
    let changed: Vec<_> = sections
        .iter()
        .flat_map(|(key, section)| section.changed().map(move |session| (key, session)))
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

/// All of the calendar has fewer microseconds than fit.
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

async fn delete_sessions(
    connection: &mut PgConnection,
    sections: &BTreeMap<TimelineKey, Section>,
) -> Result<(), StoreError> {
    let absorbed: Vec<(&str, Uuid)> = sections
        .iter()
        .flat_map(|((user, _), section)| section.absorbed().map(move |id| (user.as_str(), id.0)))
        .collect();
    sqlx::query(
        "delete from sessions s using unnest($1::text[], $2::uuid[]) as absorbed(user_id, session_id)
         where s.user_id = absorbed.user_id and s.session_id = absorbed.session_id",
    )
    .bind(absorbed.iter().map(|(user, _)| *user).collect::<Vec<_>>())
    .bind(absorbed.iter().map(|(_, id)| *id).collect::<Vec<_>>())
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
    async fn many_users_share_few_locks() {
        let database = Database::start().await;
        let mut connection = database.owner.acquire().await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let user = |number| UserId::new(format!("user-{number}")).unwrap();
        let sections =
            (0..16_000).map(|number| ((user(number), String::new()), Section::default()));
        lock_users(&mut transaction, &sections.collect())
            .await
            .unwrap();
        let held: i64 =
            sqlx::query_scalar("select count(*) from pg_locks where locktype = 'advisory'")
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
        assert_eq!(held, USER_LOCKS);
        transaction.rollback().await.unwrap();
        drop(connection);
        database.stop([]).await;
    }
}

//! Sessions that clients named: one for each user and name.

use std::collections::{BTreeMap, HashMap};

use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::SessionLookup;
use crate::model::ids::{SessionId, UserId};
use crate::model::session::SessionRequest;
use crate::store::StoreError;
use crate::store::columns::user_id;

/// When the first and the last exchange of a session began, of those in a group of batches.
struct TimeRange {
    first: OffsetDateTime,
    last: OffsetDateTime,
}

/// Assigns the exchanges that name their session.
pub(super) async fn assign(
    connection: &mut PgConnection,
    lookups: &[&SessionLookup],
    assigned: &mut [Option<SessionId>],
) -> Result<(), StoreError> {
    // Sorted, so that transactions lock rows in the same order and cannot deadlock.
    let mut ranges = BTreeMap::<(&UserId, &str), TimeRange>::new();
    for (_, lookup, name) in by_name(lookups) {
        let (first, last) = (lookup.at, lookup.at);
        ranges
            .entry((&lookup.user, name))
            .and_modify(|range| {
                range.first = range.first.min(lookup.at);
                range.last = range.last.max(lookup.at);
            })
            .or_insert(TimeRange { first, last });
    }
    if ranges.is_empty() {
        return Ok(());
    }
    let sessions = upsert(connection, &ranges).await?;
    for (index, lookup, name) in by_name(lookups) {
        let session = sessions
            .get(&(lookup.user.clone(), name.to_owned()))
            .ok_or(StoreError::UnknownValue {
                column: "sessions.external_id",
            })?;
        if let Some(assigned) = assigned.get_mut(index) {
            *assigned = Some(*session);
        }
    }
    Ok(())
}

/// The lookups that have a name, with their indices.
fn by_name<'s>(
    lookups: &'s [&SessionLookup],
) -> impl Iterator<Item = (usize, &'s SessionLookup, &'s str)> {
    let all = lookups.iter().enumerate();
    all.filter_map(|(index, lookup)| match &lookup.request {
        SessionRequest::Named(name) => Some((index, *lookup, name.as_str())),
        SessionRequest::Within { .. } => None,
    })
}

/// Creates the sessions, or extends their time range.
async fn upsert(
    connection: &mut PgConnection,
    ranges: &BTreeMap<(&UserId, &str), TimeRange>,
) -> Result<HashMap<(UserId, String), SessionId>, StoreError> {
    let users: Vec<&str> = ranges.keys().map(|(user, _)| user.as_str()).collect();
    let names: Vec<&str> = ranges.keys().map(|(_, name)| *name).collect();
    let ids: Vec<Uuid> = ranges.keys().map(|_| Uuid::new_v4()).collect();
    let firsts: Vec<_> = ranges.values().map(|range| range.first).collect();
    let lasts: Vec<_> = ranges.values().map(|range| range.last).collect();
    let rows = sqlx::query(
        "insert into sessions as s (user_id, external_id, session_id, created_at, last_activity)
         select * from unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
         on conflict (user_id, external_id) where external_id is not null do update
         set created_at = least(s.created_at, excluded.created_at),
             last_activity = greatest(s.last_activity, excluded.last_activity)
         returning user_id, external_id, session_id",
    )
    .bind(&users)
    .bind(&names)
    .bind(&ids)
    .bind(&firsts)
    .bind(&lasts)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let key = (
                user_id(row.try_get("user_id")?)?,
                row.try_get("external_id")?,
            );
            Ok((key, SessionId(row.try_get("session_id")?)))
        })
        .collect()
}

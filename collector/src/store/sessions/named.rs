//! Sessions that clients named: one for each name of a user.

use std::collections::{BTreeMap, HashMap};

use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Seeker, user_id};
use crate::model::ids::{SessionId, UserId};
use crate::model::session::SessionRequest;
use crate::store::StoreError;

/// When the exchanges of a batch began that name a session.
struct Span {
    first: OffsetDateTime,
    last: OffsetDateTime,
}

/// Places the exchanges that name their session.
pub(super) async fn place(
    connection: &mut PgConnection,
    seekers: &[&Seeker],
    placed: &mut [Option<SessionId>],
) -> Result<(), StoreError> {
    // In order, so that two batches never wait for each other's rows in a circle.
    let mut spans = BTreeMap::<(&UserId, &str), Span>::new();
    for (_, seeker, name) in named(seekers) {
        let (first, last) = (seeker.at, seeker.at);
        spans
            .entry((&seeker.user, name))
            .and_modify(|span| {
                span.first = span.first.min(seeker.at);
                span.last = span.last.max(seeker.at);
            })
            .or_insert(Span { first, last });
    }
    if spans.is_empty() {
        return Ok(());
    }
    let sessions = save(connection, &spans).await?;
    for (place, seeker, name) in named(seekers) {
        let session = sessions
            .get(&(seeker.user.clone(), name.to_owned()))
            .ok_or(StoreError::Unknown {
                column: "sessions.external_id",
            })?;
        if let Some(placed) = placed.get_mut(place) {
            *placed = Some(*session);
        }
    }
    Ok(())
}

/// Those that name their session, with their places.
fn named<'s>(seekers: &'s [&Seeker]) -> impl Iterator<Item = (usize, &'s Seeker, &'s str)> {
    let all = seekers.iter().enumerate();
    all.filter_map(|(place, seeker)| match &seeker.request {
        SessionRequest::Named(name) => Some((place, *seeker, name.as_str())),
        SessionRequest::Within { .. } => None,
    })
}

/// Opens the sessions, or marks them active.
async fn save(
    connection: &mut PgConnection,
    spans: &BTreeMap<(&UserId, &str), Span>,
) -> Result<HashMap<(UserId, String), SessionId>, StoreError> {
    let users: Vec<&str> = spans.keys().map(|(user, _)| user.as_str()).collect();
    let names: Vec<&str> = spans.keys().map(|(_, name)| *name).collect();
    let ids: Vec<Uuid> = spans.keys().map(|_| Uuid::new_v4()).collect();
    let firsts: Vec<_> = spans.values().map(|span| span.first).collect();
    let lasts: Vec<_> = spans.values().map(|span| span.last).collect();
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

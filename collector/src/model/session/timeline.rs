//! Sessions by time, for the exchanges of one user and group.
//!
//! # Definition
//!
//! In order of time, an exchange opens a session if the exchange before it began longer ago than its own timeout; else
//! it joins that one's session. Of exchanges at the same instant the longest timeout counts. So the sessions depend on
//! what happened, not on the order of arrival: a late exchange can merge two sessions, or split one.
//!
//! # Incremental merge
//!
//! The exchanges of a stored session are not kept here: only its first and last time, the timeout of the first
//! exchange, and an upper bound for its longest pause. [`merge_sessions`] sweeps over the boundaries at which a session may
//! open, which are the starts of stored sessions and the new events. Within a stored session, no session opens at an
//! event whose timeout covers the longest pause; otherwise the caller has to look up the previous exchange, see
//! [`needs_lookup`].

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::TimedSession;
use crate::model::ids::SessionId;

/// An exchange whose session is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When it began.
    pub at: OffsetDateTime,
    /// How long before that its session must have been active.
    pub timeout: Duration,
    /// When the last stored exchange no later than this one began. Only looked up if it is [needed](needs_lookup).
    pub previous: Option<OffsetDateTime>,
}

/// A range of entries whose session changes because of a late exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The session before.
    pub from: SessionId,
    /// The session after.
    pub to: SessionId,
    /// Start of the first exchange.
    pub since: OffsetDateTime,
    /// Start of the last exchange, inclusive.
    pub until: OffsetDateTime,
}

/// Whether an event needs [`Event::previous`]: it falls into a stored session, perhaps into a pause that is longer
/// than its timeout.
#[must_use]
pub fn needs_lookup(session: &TimedSession, event: &Event) -> bool {
    session.created_at < event.at
        && event.at < session.last_activity
        && event.timeout < session.longest_pause
        && event.timeout < event.at - session.created_at
}

/// The sessions with some more exchanges, in order of time. `stored` are those without them, in order of time and
/// complete from the first that can change to the last.
#[must_use]
pub fn merge_sessions(stored: &[TimedSession], events: &[Event]) -> Vec<TimedSession> {
    let mut sweep = Sweep::default();
    let mut current: Option<&TimedSession> = None;
    for (at, boundary) in boundaries(stored, events) {
        if let Some(ended) = current.filter(|session| session.last_activity <= at) {
            sweep.extend(ended.last_activity);
        }
        let inside = current.filter(|session| at <= session.last_activity);
        sweep.pass(at, &boundary, inside);
        if let Some(session) = boundary.opens {
            sweep.adopt(session);
            current = Some(session);
        }
    }
    if let Some(session) = current {
        sweep.extend(session.last_activity);
    }
    sweep.finish()
}

/// The session that was active at an instant. `sessions` are in order of time.
#[must_use]
pub fn session_at(sessions: &[TimedSession], at: OffsetDateTime) -> Option<&TimedSession> {
    let place = sessions.partition_point(|session| session.last_activity < at);
    sessions
        .get(place)
        .filter(|session| session.created_at <= at)
}

/// The entries whose session changes from `stored` to `merged`.
#[must_use]
pub fn moves(stored: &[TimedSession], merged: &[TimedSession]) -> Vec<Move> {
    let of = |from: &TimedSession| {
        let first = merged.partition_point(|to| to.last_activity < from.created_at);
        let from = from.clone();
        let overlapping = merged.iter().skip(first);
        overlapping
            .take_while(move |to| to.created_at <= from.last_activity)
            .filter(move |to| to.id != from.id)
            .map(move |to| Move {
                from: from.id,
                to: to.id,
                since: to.created_at.max(from.created_at),
                until: to.last_activity.min(from.last_activity),
            })
    };
    stored.iter().flat_map(of).collect()
}

/// An instant at which a session may open.
#[derive(Debug, Default)]
struct Boundary<'s> {
    timeout: Duration,
    previous: Option<OffsetDateTime>,
    /// The stored session that begins here.
    opens: Option<&'s TimedSession>,
}

fn boundaries<'s>(
    stored: &'s [TimedSession],
    events: &[Event],
) -> BTreeMap<OffsetDateTime, Boundary<'s>> {
    let mut boundaries = BTreeMap::<_, Boundary<'_>>::new();
    for session in stored {
        let boundary = boundaries.entry(session.created_at).or_default();
        boundary.timeout = boundary.timeout.max(session.opening_timeout);
        boundary.opens = Some(session);
    }
    for event in events {
        let boundary = boundaries.entry(event.at).or_default();
        boundary.timeout = boundary.timeout.max(event.timeout);
        boundary.previous = boundary.previous.max(event.previous);
    }
    boundaries
}

/// Sweeps over the boundaries in order of time.
#[derive(Debug, Default)]
struct Sweep {
    closed: Vec<TimedSession>,
    open: Option<OpenSession>,
}

/// The session that the sweep is in.
#[derive(Debug)]
struct OpenSession {
    id: Option<SessionId>,
    created_at: OffsetDateTime,
    latest: OffsetDateTime,
    opening_timeout: Duration,
    longest_pause: Duration,
}

impl Sweep {
    /// The open session has an exchange at this instant.
    fn extend(&mut self, at: OffsetDateTime) {
        if let Some(open) = &mut self.open {
            open.latest = open.latest.max(at);
        }
    }

    /// Decides whether a session opens at a boundary. `inside` is the stored session into which it falls.
    fn pass(&mut self, at: OffsetDateTime, boundary: &Boundary<'_>, inside: Option<&TimedSession>) {
        if let Some(before) = boundary.previous {
            self.extend(before);
        }
        let no_pause = inside.is_some_and(|session| session.longest_pause <= boundary.timeout);
        if let Some(open) = &mut self.open {
            let pause = at - open.latest;
            if no_pause || pause <= boundary.timeout {
                if inside.is_none() {
                    open.longest_pause = open.longest_pause.max(pause);
                }
                open.latest = at;
                return;
            }
        }
        self.close();
        self.open = Some(OpenSession {
            id: None,
            created_at: at,
            latest: at,
            opening_timeout: boundary.timeout,
            longest_pause: inside.map_or(Duration::ZERO, |session| session.longest_pause),
        });
    }

    /// The open session includes a stored one, and takes its id, unless it has that of an earlier one.
    fn adopt(&mut self, session: &TimedSession) {
        if let Some(open) = &mut self.open {
            open.id.get_or_insert(session.id);
            open.longest_pause = open.longest_pause.max(session.longest_pause);
        }
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.closed.push(TimedSession {
                id: open.id.unwrap_or_else(|| SessionId(Uuid::new_v4())),
                created_at: open.created_at,
                last_activity: open.latest,
                opening_timeout: open.opening_timeout,
                longest_pause: open.longest_pause,
            });
        }
    }

    fn finish(mut self) -> Vec<TimedSession> {
        self.close();
        self.closed
    }
}

#[cfg(test)]
mod tests;

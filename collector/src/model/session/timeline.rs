//! Sessions by time: exchanges of one user and group, in the order in which they happened.
//!
//! An exchange opens a session if the one before it is longer ago than the timeout of the exchange
//! itself; else it joins the session of the one before it. Of exchanges at the same instant the longest
//! timeout counts. So the sessions depend on what happened, not on the order in which it became known: a
//! late exchange can make two sessions one, or one two.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::TimedSession;
use crate::model::ids::SessionId;

/// An exchange to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When it began.
    pub at: OffsetDateTime,
    /// How long before that its session must have been active.
    pub timeout: Duration,
    /// The last stored exchange that began no later, if [`needs_lookup`] says that it matters.
    pub previous: Option<OffsetDateTime>,
}

/// Entries to be given to another session, because a late exchange showed that they belong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Their session until now.
    pub from: SessionId,
    /// Their session from now on.
    pub to: SessionId,
    /// Start of the first exchange that moves.
    pub since: OffsetDateTime,
    /// Start of the last exchange that moves.
    pub until: OffsetDateTime,
}

/// Whether it takes [`Event::previous`] to place an exchange: it falls into a stored session, perhaps into
/// a pause that is longer than its timeout.
#[must_use]
pub fn needs_lookup(session: &TimedSession, event: &Event) -> bool {
    session.created_at < event.at
        && event.at < session.last_activity
        && event.timeout < session.longest_pause
        && event.timeout < event.at - session.created_at
}

/// The sessions after some more exchanges, in order of time. `stored` are those before, in order of
/// time and without a pause from the first that matters to the last.
#[must_use]
pub fn merge_sessions(stored: &[TimedSession], events: &[Event]) -> Vec<TimedSession> {
    let mut sweep = Sweep::default();
    let mut current: Option<&TimedSession> = None;
    for (at, boundary) in boundaries(stored, events) {
        if let Some(ended) = current.filter(|session| session.last_activity <= at) {
            sweep.reach(ended.last_activity);
        }
        let inside = current.filter(|session| at <= session.last_activity);
        sweep.boundary(at, &boundary, inside);
        if let Some(session) = boundary.opens {
            sweep.adopt(session);
            current = Some(session);
        }
    }
    if let Some(session) = current {
        sweep.reach(session.last_activity);
    }
    sweep.finish()
}

/// The session, of some in order of time, that was active at an instant.
#[must_use]
pub fn session_at(sessions: &[TimedSession], at: OffsetDateTime) -> Option<&TimedSession> {
    let place = sessions.partition_point(|session| session.last_activity < at);
    sessions
        .get(place)
        .filter(|session| session.created_at <= at)
}

/// What must move so that the entries of the sessions `stored` belong to those that are `merged`.
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

/// An instant at which an exchange began that may open a session.
#[derive(Debug, Default)]
struct Boundary<'s> {
    timeout: Duration,
    previous: Option<OffsetDateTime>,
    /// The stored session whose first exchange this is.
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

/// Goes through time and divides it into sessions.
#[derive(Debug, Default)]
struct Sweep {
    done: Vec<TimedSession>,
    open: Option<Open>,
}

/// The session that time has come to.
#[derive(Debug)]
struct Open {
    id: Option<SessionId>,
    created_at: OffsetDateTime,
    /// The last exchange so far.
    latest: OffsetDateTime,
    opening_timeout: Duration,
    longest_pause: Duration,
}

impl Sweep {
    /// There was an exchange at an instant, in the open session.
    fn reach(&mut self, at: OffsetDateTime) {
        if let Some(open) = &mut self.open {
            open.latest = open.latest.max(at);
        }
    }

    /// Decides whether a session opens at a boundary. `inside` is the stored session into which it falls.
    fn boundary(
        &mut self,
        at: OffsetDateTime,
        boundary: &Boundary<'_>,
        inside: Option<&TimedSession>,
    ) {
        if let Some(before) = boundary.previous {
            self.reach(before);
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
        self.open = Some(Open {
            id: None,
            created_at: at,
            latest: at,
            opening_timeout: boundary.timeout,
            longest_pause: inside.map_or(Duration::ZERO, |session| session.longest_pause),
        });
    }

    /// A stored session begins here. The open one takes its id, unless it has that of an earlier one.
    fn adopt(&mut self, session: &TimedSession) {
        if let Some(open) = &mut self.open {
            open.id.get_or_insert(session.id);
            open.longest_pause = open.longest_pause.max(session.longest_pause);
        }
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.done.push(TimedSession {
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
        self.done
    }
}

#[cfg(test)]
mod tests;

//! How exchanges find their sessions.
//!
//! An exchange that names a session joins that one. Any other joins the user's most recent session
//! if that session was active within this exchange's timeout, else it opens one. Time is the
//! exchange's own, never that of its arrival.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::ids::SessionId;

/// How an exchange asks for its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionRequest {
    /// The one that the client named.
    Named(String),
    /// The latest that was active within this time.
    Within(Duration),
}

/// A session of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// What the client called it, if it did.
    pub name: Option<String>,
    /// Start of its first exchange.
    pub created_at: OffsetDateTime,
    /// Start of its last exchange.
    pub last_activity: OffsetDateTime,
}

/// The sessions of one user, as far as a batch can touch them.
#[derive(Debug, Default)]
pub struct UserSessions {
    sessions: Vec<Session>,
}

impl UserSessions {
    /// Adds a session that is stored already.
    pub fn add(&mut self, session: Session) {
        self.sessions.push(session);
    }

    /// Finds or opens the session of an exchange that began at `at`, and marks it active then.
    pub fn place(&mut self, request: &SessionRequest, at: OffsetDateTime) -> SessionId {
        let found = self
            .sessions
            .iter_mut()
            .filter(|s| s.takes(request, at))
            .max_by_key(|s| s.last_activity);
        if let Some(session) = found {
            session.created_at = session.created_at.min(at);
            session.last_activity = session.last_activity.max(at);
            return session.id;
        }
        let session = Session {
            id: SessionId(Uuid::new_v4()),
            name: match request {
                SessionRequest::Named(name) => Some(name.clone()),
                SessionRequest::Within(_) => None,
            },
            created_at: at,
            last_activity: at,
        };
        let id = session.id;
        self.sessions.push(session);
        id
    }

    /// All sessions, as they are now.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }
}

impl Session {
    fn takes(&self, request: &SessionRequest, at: OffsetDateTime) -> bool {
        match request {
            SessionRequest::Named(name) => self.name.as_ref() == Some(name),
            SessionRequest::Within(timeout) => {
                self.name.is_none()
                    && at - self.last_activity <= *timeout
                    && self.created_at - at <= *timeout
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const START: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

    fn minutes(n: u64) -> SessionRequest {
        SessionRequest::Within(Duration::from_mins(n))
    }

    fn after(n: u64) -> OffsetDateTime {
        START + Duration::from_mins(n)
    }

    #[test]
    fn exchanges_within_the_timeout_share_a_session() {
        let mut user = UserSessions::default();
        let first = user.place(&minutes(30), START);
        assert_eq!(user.place(&minutes(30), after(30)), first);
        assert_eq!(user.place(&minutes(30), after(60)), first);
        assert_ne!(user.place(&minutes(30), after(91)), first);
    }

    #[test]
    fn the_timeout_is_that_of_the_exchange_itself() {
        let mut user = UserSessions::default();
        let first = user.place(&minutes(5), START);
        assert_eq!(user.place(&minutes(60), after(40)), first);
        assert_ne!(user.place(&minutes(5), after(50)), first);
    }

    #[test]
    fn a_named_session_is_joined_at_any_distance_and_only_by_name() {
        let mut user = UserSessions::default();
        let named = user.place(&SessionRequest::Named("chat".into()), START);
        assert_eq!(
            user.place(&SessionRequest::Named("chat".into()), after(10_000)),
            named
        );
        assert_ne!(
            user.place(&SessionRequest::Named("other".into()), START),
            named
        );
        assert_ne!(user.place(&minutes(30), START), named);
    }

    #[test]
    fn a_late_arrival_joins_the_session_of_its_own_time() {
        let mut user = UserSessions::default();
        let morning = user.place(&minutes(30), START);
        let noon = user.place(&minutes(30), after(120));
        assert_ne!(morning, noon);
        assert_eq!(user.place(&minutes(30), after(10)), morning);
        assert_eq!(user.place(&minutes(30), after(100)), noon);
        assert_eq!(user.sessions().len(), 2);
    }
}

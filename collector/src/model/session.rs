//! How exchanges find their sessions.
//!
//! An exchange that names a session joins that one of its user. Any other is placed by time, among the
//! exchanges of its user and group: see [`timeline`]. Time is the exchange's own, never that of its
//! arrival.

pub mod timeline;

use time::{Duration, OffsetDateTime};

use super::ids::SessionId;

/// How an exchange asks for its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionRequest {
    /// The one that the client named.
    Named(String),
    /// The latest of this group that was active within this time.
    Within {
        /// At most so long before the exchange began.
        timeout: Duration,
        /// Empty unless the configuration divides a user's sessions into groups.
        group: String,
    },
}

/// A session that was found by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedSession {
    /// Its id.
    pub id: SessionId,
    /// Start of its first exchange.
    pub created_at: OffsetDateTime,
    /// Start of its last exchange.
    pub last_activity: OffsetDateTime,
    /// Timeout of its first exchange: an earlier exchange within this time would have kept it from
    /// opening the session.
    pub opening_timeout: Duration,
    /// At least the longest pause between two of its exchanges.
    pub longest_pause: Duration,
}

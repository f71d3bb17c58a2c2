//! Which session an exchange belongs to.
//!
//! An exchange that names a session belongs to the user's session of that name. For any other, time decides, among the
//! exchanges of its user and group: see [`timeline`]. That is the time at which the exchange began, not its arrival.

pub mod timeline;

use time::{Duration, OffsetDateTime};

use super::ids::SessionId;

/// How the session of an exchange is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionRequest {
    /// By the name that the client gave.
    Named(String),
    /// By time.
    Within {
        /// The session must have been active at most this long before the exchange began.
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
    /// Timeout of its first exchange. If another exchange began at most this long before, the two would be one
    /// session.
    pub opening_timeout: Duration,
    /// An upper bound for the longest pause between two consecutive exchanges.
    pub longest_pause: Duration,
}

//! How much a record may hold: what producers keep to, and what the collector checks.
//!
//! Lengths are bytes of UTF-8. A producer cuts what is longer and names the field in
//! [`Record::truncated_fields`](crate::Record::truncated_fields); identities are never cut.

/// Of [`Record::user_id`](crate::Record::user_id).
pub const MAX_USER_BYTES: usize = 256;
/// Of [`Record::endpoint`](crate::Record::endpoint). With a user's id it is a row of an index, which Postgres limits to
/// 2,704 bytes.
pub const MAX_ENDPOINT_BYTES: usize = 1024;
/// Of [`SessionRule::Id`](crate::SessionRule::Id), which is indexed, too.
pub const MAX_SESSION_ID_BYTES: usize = 1024;
/// Of [`Record::session_group`](crate::Record::session_group).
pub const MAX_SESSION_GROUP_BYTES: usize = 256;
/// Of any other text, and of the value of a header.
pub const MAX_TEXT_BYTES: usize = 16 << 10;
/// Headers of a half, and trailers.
pub const MAX_HEADERS: usize = 128;
/// Of the name of a header or of a redaction rule.
pub const MAX_NAME_BYTES: usize = 256;
/// Redaction rules that are counted.
pub const MAX_REDACTION_RULES: usize = 256;
/// Each day of expiry is a partition of the store, so the TTL is limited to ten years; an entry that must be kept longer
/// has none.
pub const MAX_TTL_DAYS: u32 = 3650;
/// Longest session timeout: a year.
pub const MAX_SESSION_MINUTES: u32 = 525_600;

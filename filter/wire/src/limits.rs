//! How much a record may hold: what producers keep to, and what the collector checks.
//!
//! Lengths are bytes of UTF-8. A producer cuts what is longer and names the field in
//! [`Record::truncated_fields`](crate::Record::truncated_fields); identities are never cut.
//! [`filter`] has what Dossier's filter keeps, which is less.

use std::ops::RangeInclusive;

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
/// Statuses of responses: HTTP allows any three digits, and some servers answer 999.
pub const STATUSES: RangeInclusive<u16> = 100..=999;
/// Of the name of a header or of a redaction rule.
pub const MAX_NAME_BYTES: usize = 256;
/// Of [`Record::metadata_paths`](crate::Record::metadata_paths); their names have [`MAX_NAME_BYTES`].
pub const MAX_METADATA_PATHS: usize = 32;
/// Redaction rules that are counted.
pub const MAX_REDACTION_RULES: usize = 256;
/// Each day of expiry is a partition of the store, so the TTL is limited to ten years; an entry that must be kept longer
/// has none.
pub const MAX_TTL_DAYS: u32 = 3650;
/// Longest session timeout: a year.
pub const MAX_SESSION_MINUTES: u32 = 525_600;

/// What Dossier's filter keeps of each field at most.
pub mod filter {
    use super::MAX_TEXT_BYTES;

    /// Longer than any registered method.
    pub const MAX_METHOD_BYTES: usize = 32;
    /// As much as any producer may send, so that a question for a longer path is cut at one place only.
    pub const MAX_PATH_BYTES: usize = MAX_TEXT_BYTES;
    /// Without its question mark.
    pub const MAX_QUERY_BYTES: usize = 8 << 10;
    /// Of `:authority` or `Host`.
    pub const MAX_HOST_BYTES: usize = 256;
    /// Of the name of Envoy's route.
    pub const MAX_ROUTE_BYTES: usize = 256;
    /// Of `x-request-id` and `traceparent`.
    pub const MAX_REQUEST_ID_BYTES: usize = 128;
    /// Of `content-type`, `content-encoding` and `grpc-status`.
    pub const MAX_CONTENT_TYPE_BYTES: usize = 256;
    /// Of Envoy's reason for the response.
    pub const MAX_RESPONSE_DETAILS_BYTES: usize = 256;
    /// Of an address.
    pub const MAX_UPSTREAM_HOST_BYTES: usize = 256;
    /// A longer name is not used.
    pub const MAX_WORKLOAD_BYTES: usize = 256;
    /// Of the value of a header or trailer.
    pub const MAX_HEADER_VALUE_BYTES: usize = 4 << 10;
    /// Of the names and values of a half's headers, and of its trailers.
    pub const MAX_HEADERS_BYTES: usize = 16 << 10;
    /// Of a text in the metadata.
    pub const MAX_METADATA_VALUE_BYTES: usize = 1 << 10;
    /// Of all metadata as JSON. A record with every field at its bound and each byte escaped then still fits into
    /// [`frame::MAX_HEADER_BYTES`](crate::frame::MAX_HEADER_BYTES).
    pub const MAX_METADATA_BYTES: usize = 64 << 10;
}

//! The store: all SQL of the collector. It knows nothing of HTTP.
//!
//! Connections and errors:
//! - [`pool`]: the [`Store`] itself, its connections and their timeouts.
//! - [`error`]: [`StoreError`], and which SQLSTATEs are transient.
//! - [`readiness`]: keeps requests away until the database is migrated and checked.
//! - [`migration`]: migrates the schema, or compares it with the expected one.
//! - [`isolation`]: row-level security; the transaction in which every read runs.
//! - [`diagnostics`]: what `dossier doctor` checks.
//!
//! Data:
//! - [`write`]: the write path. A batch becomes durable in `write/commit.rs`.
//! - [`partitions`]: creates the daily partitions that rows need.
//! - [`sessions`]: assigns entries to sessions, and reads pages of sessions.
//! - [`entries`]: the read path.
//! - [`rejected`]: records that could not be stored.
//! - [`gaps`]: losses that producers reported.
//! - [`deletion`]: deletes entries, and records it in the audit table.
//! - [`retention`]: drops expired partitions and old rows.
//! - [`dictionaries`]: compression dictionaries, and the samples to train them.
//! - [`keys`]: API keys.
//! - [`columns`]: decodes columns that several of these read.
//!
//! [`Store`] holds what its parts cache, and each part adds methods to it: so `pool` and the parts refer to each
//! other. Apart from that, folders of the store do not refer to each other in circles.

mod columns;
mod deletion;
mod diagnostics;
mod dictionaries;
mod entries;
mod error;
mod gaps;
mod isolation;
mod keys;
mod migration;
mod partitions;
mod pool;
mod readiness;
mod rejected;
mod retention;
mod sessions;
#[cfg(test)]
mod testing;
mod write;

pub use deletion::{Deletion, DeletionOutcome, SkipReason};
pub use diagnostics::{PartitionState, Server};
pub use dictionaries::{DictionaryRecord, TrainingLock, TrainingTarget};
pub use entries::{
    EmptyResult, EndpointList, EntryCursor, EntryFilter, EntryPage, EntryParts, FilterCondition,
    Order, PageRequest, PageStart, PatternError, ResultKind, SessionChoice, Total,
};
pub use error::StoreError;
pub use gaps::StoredGap;
pub use isolation::IsolationError;
pub use keys::{KeyList, KeySelection, KeyUse, NewKey, ValidKey};
pub use migration::{MigrationName, Schema};
pub use pool::{Store, check_connection};
pub use rejected::{RejectedCursor, RejectedSummary, StoredRejected};
pub use retention::{
    AgedTable, DropOutcome, DropReport, Partition, PartitionKind, RetentionLock, RowCount,
    SessionPruneCursor,
};
pub use sessions::{FoundSession, SessionCursor, SessionEntries, SessionPage, SessionPageRequest};
pub use write::{Fingerprint, InsertOutcome, RefusedRecord};

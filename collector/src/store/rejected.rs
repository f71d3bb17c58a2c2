//! Reads and deletes rejected records. The write path inserts them: see [`write`](super::write).
//!
//! They belong to no user, because the user may be just what is wrong: only admins see them.

use sqlx::Row;
use sqlx::postgres::PgRow;
use time::{Duration, OffsetDateTime};
use tracing::instrument;

use super::{Store, StoreError};
use crate::model::ids::{BatchId, RejectedId};
use crate::model::instant::UtcInstant;

/// In the table. The oldest are deleted first.
const MAX_ROWS: i64 = 10_000;
/// Of headers and bodies in the table. The oldest are deleted first.
const MAX_BYTES: i64 = 256 << 20;
const RETENTION: Duration = Duration::days(30);

/// What is listed of a rejected record.
#[derive(Debug, Clone)]
pub struct RejectedSummary {
    /// Its id.
    pub id: RejectedId,
    /// When its batch was received.
    pub received_at: OffsetDateTime,
    /// Why it was rejected.
    pub reason: String,
    /// Bytes that are stored of its header.
    pub header_bytes: i32,
    /// Bytes that are stored of its body.
    pub body_bytes: i32,
    /// Only the beginning of its header or body is stored.
    pub truncated: bool,
}

impl RejectedSummary {
    /// The position of a list after it; every time that Postgres holds here is one of UTC's.
    #[must_use]
    pub fn cursor(&self) -> Option<RejectedCursor> {
        Some(RejectedCursor {
            received_at: UtcInstant::new(self.received_at)?,
            id: self.id,
        })
    }
}

/// A rejected record with its content.
#[derive(Debug, Clone)]
pub struct StoredRejected {
    /// What is listed of it.
    pub summary: RejectedSummary,
    /// Its header; of a line of JSON, the whole line.
    pub header: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

/// The last record of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectedCursor {
    /// When its batch was received.
    pub received_at: UtcInstant,
    /// Its id.
    pub id: RejectedId,
}

impl Store {
    /// Rejected records, the latest first, after this one: at most `limit`, and one more if there are more.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.list_rejected", skip_all, err(level = "debug"))]
    pub async fn list_rejected(
        &self,
        after: Option<RejectedCursor>,
        limit: u8,
    ) -> Result<Vec<RejectedSummary>, StoreError> {
        let rows = sqlx::query(
            "select batch_id, position, received_at, reason, octet_length(header) as header_bytes,
                    octet_length(body) as body_bytes, cut
             from rejected_records
             where $1::timestamptz is null or (received_at, batch_id, position) < ($1, $2, $3)
             order by received_at desc, batch_id desc, position desc limit $4",
        )
        .bind(after.map(|after| after.received_at.get()))
        .bind(after.map(|after| after.id.batch.0))
        .bind(after.map(|after| after.id.position))
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(summary).collect()
    }

    /// A rejected record, if it is there.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.rejected", skip_all, err(level = "debug"))]
    pub async fn rejected(&self, id: RejectedId) -> Result<Option<StoredRejected>, StoreError> {
        let row = sqlx::query(
            "select batch_id, position, received_at, reason, octet_length(header) as header_bytes,
                    octet_length(body) as body_bytes, cut, header, body
             from rejected_records where batch_id = $1 and position = $2",
        )
        .bind(id.batch.0)
        .bind(id.position)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(StoredRejected {
            summary: summary(&row)?,
            header: row.try_get("header")?,
            body: row.try_get("body")?,
        }))
    }

    /// Deletes a rejected record. Returns whether it was there.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.delete_rejected", skip_all, err(level = "debug"))]
    pub async fn delete_rejected(&self, id: RejectedId) -> Result<bool, StoreError> {
        let statement = "delete from rejected_records where batch_id = $1 and position = $2";
        let deleted = sqlx::query(statement)
            .bind(id.batch.0)
            .bind(id.position)
            .execute(&self.pool)
            .await?;
        Ok(deleted.rows_affected() > 0)
    }

    /// Deletes rejected records that are too old, or too many. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.prune_rejected", skip_all, err(level = "debug"))]
    pub async fn prune_rejected(&self, now: OffsetDateTime) -> Result<u64, StoreError> {
        let pruned = sqlx::query(
            "delete from rejected_records where received_at < $1 or (batch_id, position) in (
                 select batch_id, position from (
                     select batch_id, position, row_number() over latest as rows,
                            sum(octet_length(header) + octet_length(body)) over latest as bytes
                     from rejected_records
                     window latest as (order by received_at desc, batch_id desc, position desc)) as ranked
                 where rows > $2 or bytes > $3)",
        )
        .bind(now - RETENTION)
        .bind(MAX_ROWS)
        .bind(MAX_BYTES)
        .execute(&self.pool)
        .await?;
        Ok(pruned.rows_affected())
    }
}

fn summary(row: &PgRow) -> Result<RejectedSummary, StoreError> {
    Ok(RejectedSummary {
        id: RejectedId {
            batch: BatchId(row.try_get("batch_id")?),
            position: row.try_get("position")?,
        },
        received_at: row.try_get("received_at")?,
        reason: row.try_get("reason")?,
        header_bytes: row.try_get("header_bytes")?,
        body_bytes: row.try_get("body_bytes")?,
        truncated: row.try_get("cut")?,
    })
}

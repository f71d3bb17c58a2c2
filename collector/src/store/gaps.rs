//! Reads the losses that producers reported.

use dossier_wire::GapReason;
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use tracing::instrument;

use super::{Store, StoreError};
use crate::model::ids::BatchId;

/// A reported loss as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGap {
    /// Numbers grow with the time of receipt.
    pub id: i64,
    /// The batch that reported it.
    pub batch: BatchId,
    /// When the batch was received.
    pub received_at: OffsetDateTime,
    /// Why records were lost.
    pub reason: GapReason,
    /// Lost records.
    pub records: i64,
    /// Lost bytes of bodies.
    pub bytes: i64,
    /// When the first loss occurred.
    pub first_at: OffsetDateTime,
    /// When the last loss occurred.
    pub last_at: OffsetDateTime,
}

impl Store {
    /// Reported losses, the latest first, from before this number: at most `limit`, and one more if there are more.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.list_gaps", skip_all, err(level = "debug"))]
    pub async fn list_gaps(
        &self,
        before: Option<i64>,
        limit: u8,
    ) -> Result<Vec<StoredGap>, StoreError> {
        let rows = sqlx::query(
            "select id, batch_id, received_at, reason, records, bytes, first_at, last_at from gaps
             where id < $1 order by id desc limit $2",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(gap).collect()
    }
}

fn gap(row: &PgRow) -> Result<StoredGap, StoreError> {
    let reason: &str = row.try_get("reason")?;
    Ok(StoredGap {
        id: row.try_get("id")?,
        batch: BatchId(row.try_get("batch_id")?),
        received_at: row.try_get("received_at")?,
        reason: reason.parse().map_err(|_| StoreError::UnknownValue {
            column: "gaps.reason",
        })?,
        records: row.try_get("records")?,
        bytes: row.try_get("bytes")?,
        first_at: row.try_get("first_at")?,
        last_at: row.try_get("last_at")?,
    })
}

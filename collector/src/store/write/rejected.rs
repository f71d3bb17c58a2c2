//! Rejected records, stored for a while so that an operator can find out what is wrong with them.
//!
//! They belong to no user, because the user may be just what is wrong: no read of the API can see them.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use tracing::instrument;

use crate::model::entry::RejectedRecord;
use crate::model::ids::BatchId;
use crate::store::{Store, StoreError};

/// Of a batch. The others are only counted.
const MAX_PER_BATCH: usize = 1000;
/// Of a record's header, and of its body.
const MAX_FIELD_BYTES: usize = 16 * 1024;
/// In the table. The oldest are deleted first.
const MAX_ROWS: i64 = 10_000;
const RETENTION: Duration = Duration::days(30);

/// The rejected records of a batch, by column.
#[derive(Debug, Default)]
pub(super) struct RejectedRows {
    positions: Vec<i32>,
    reasons: Vec<String>,
    headers: Vec<Vec<u8>>,
    bodies: Vec<Vec<u8>>,
    truncated: Vec<bool>,
}

impl RejectedRows {
    pub(super) fn new(rejected: &[RejectedRecord<'_>]) -> Self {
        let mut rows = Self::default();
        for record in rejected.iter().take(MAX_PER_BATCH) {
            let position = i32::try_from(record.position).unwrap_or(i32::MAX);
            rows.positions.push(position);
            rows.reasons.push(record.reason.clone());
            rows.headers.push(truncate(record.header));
            rows.bodies.push(truncate(record.body));
            let longest = record.header.len().max(record.body.len());
            rows.truncated.push(longest > MAX_FIELD_BYTES);
        }
        rows
    }

    pub(super) async fn insert(
        &self,
        connection: &mut PgConnection,
        batch: BatchId,
        received_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        if self.positions.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into rejected_records (batch_id, received_at, position, reason, header, body, cut)
             select $1, $2, * from unnest($3::int[], $4::text[], $5::bytea[], $6::bytea[], $7::bool[])",
        )
        .bind(batch.0)
        .bind(received_at)
        .bind(&self.positions)
        .bind(&self.reasons)
        .bind(&self.headers)
        .bind(&self.bodies)
        .bind(&self.truncated)
        .execute(connection)
        .await?;
        Ok(())
    }
}

impl Store {
    /// Deletes rejected records that are too old or too many. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.prune_rejected", skip_all, err(level = "debug"))]
    pub async fn prune_rejected(&self, now: OffsetDateTime) -> Result<u64, StoreError> {
        let pruned = sqlx::query(
            "delete from rejected_records where received_at < $1
             or received_at < (select received_at from rejected_records order by received_at desc offset $2 limit 1)",
        )
        .bind(now - RETENTION)
        .bind(MAX_ROWS - 1)
        .execute(&self.pool)
        .await?;
        Ok(pruned.rows_affected())
    }
}

fn truncate(bytes: &[u8]) -> Vec<u8> {
    bytes.get(..MAX_FIELD_BYTES).unwrap_or(bytes).to_vec()
}

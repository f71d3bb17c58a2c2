//! Records that could not be stored, kept aside for a while so that people can find out why.
//!
//! They belong to no user, because what is wrong may be just that: no read of the API can see them.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

use super::{Store, StoreError};
use crate::model::entry::NewBatch;

/// Of one batch. The others are counted only.
const MOST_OF_A_BATCH: usize = 1000;
/// Of one record's header, and of its body.
const MOST_BYTES_KEPT: usize = 16 * 1024;
/// Of all. The oldest go first.
const MOST_ROWS: i64 = 10_000;
const KEPT_FOR: Duration = Duration::days(30);

/// Keeps the bad records of a batch.
pub(super) async fn store(
    connection: &mut PgConnection,
    batch: &NewBatch<'_>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let (mut positions, mut reasons) = (Vec::new(), Vec::new());
    let (mut headers, mut bodies, mut cut) = (Vec::new(), Vec::new(), Vec::new());
    for record in batch.rejected.iter().take(MOST_OF_A_BATCH) {
        positions.push(i32::try_from(record.position).unwrap_or(i32::MAX));
        reasons.push(record.reason.as_str());
        headers.push(beginning(record.header));
        bodies.push(beginning(record.body));
        cut.push(record.header.len().max(record.body.len()) > MOST_BYTES_KEPT);
    }
    if positions.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into rejected_records (batch_id, received_at, position, reason, header, body, cut)
         select $1, $2, * from unnest($3::int[], $4::text[], $5::bytea[], $6::bytea[], $7::bool[])",
    )
    .bind(batch.id.0)
    .bind(now)
    .bind(positions)
    .bind(reasons)
    .bind(headers)
    .bind(bodies)
    .bind(cut)
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Lets rejected records go that are too old or too many. Returns how many went.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn prune_rejected(&self, now: OffsetDateTime) -> Result<u64, StoreError> {
        let pruned = sqlx::query(
            "delete from rejected_records where received_at < $1
             or received_at < (select received_at from rejected_records order by received_at desc offset $2 limit 1)",
        )
        .bind(now - KEPT_FOR)
        .bind(MOST_ROWS - 1)
        .execute(&self.pool)
        .await?;
        Ok(pruned.rows_affected())
    }
}

fn beginning(bytes: &[u8]) -> &[u8] {
    bytes.get(..MOST_BYTES_KEPT).unwrap_or(bytes)
}

//! Records that could not be stored, kept aside for a while so that people can find out why.
//!
//! They belong to no user, because what is wrong may be just that: no read of the API can see them.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

use super::{Store, StoreError};
use crate::model::entry::RejectedRecord;
use crate::model::ids::BatchId;

/// Of one batch. The others are counted only.
const MOST_OF_A_BATCH: usize = 1000;
/// Of one record's header, and of its body.
const MOST_BYTES_KEPT: usize = 16 * 1024;
/// Of all. The oldest go first.
const MOST_ROWS: i64 = 10_000;
const KEPT_FOR: Duration = Duration::days(30);

/// What is kept of the bad records of a batch.
#[derive(Debug, Default)]
pub(super) struct Aside {
    positions: Vec<i32>,
    reasons: Vec<String>,
    headers: Vec<Vec<u8>>,
    bodies: Vec<Vec<u8>>,
    cut: Vec<bool>,
}

impl Aside {
    /// Of these.
    pub(super) fn of(rejected: &[RejectedRecord<'_>]) -> Self {
        let mut aside = Self::default();
        for record in rejected.iter().take(MOST_OF_A_BATCH) {
            let position = i32::try_from(record.position).unwrap_or(i32::MAX);
            aside.positions.push(position);
            aside.reasons.push(record.reason.clone());
            aside.headers.push(beginning(record.header));
            aside.bodies.push(beginning(record.body));
            let longest = record.header.len().max(record.body.len());
            aside.cut.push(longest > MOST_BYTES_KEPT);
        }
        aside
    }

    /// Keeps them.
    pub(super) async fn store(
        &self,
        connection: &mut PgConnection,
        batch: BatchId,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        if self.positions.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into rejected_records (batch_id, received_at, position, reason, header, body, cut)
             select $1, $2, * from unnest($3::int[], $4::text[], $5::bytea[], $6::bytea[], $7::bool[])",
        )
        .bind(batch.0)
        .bind(now)
        .bind(&self.positions)
        .bind(&self.reasons)
        .bind(&self.headers)
        .bind(&self.bodies)
        .bind(&self.cut)
        .execute(connection)
        .await?;
        Ok(())
    }
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

fn beginning(bytes: &[u8]) -> Vec<u8> {
    bytes.get(..MOST_BYTES_KEPT).unwrap_or(bytes).to_vec()
}

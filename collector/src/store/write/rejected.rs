//! Rejected records, stored for a while so that an operator can find out what is wrong with them, and store them once it
//! is mended.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::model::entry::RejectedRecord;
use crate::model::ids::BatchId;
use crate::store::StoreError;

/// Of a batch. The others are only counted.
const MAX_PER_BATCH: usize = 1000;
/// Of a record's header, and of its body.
const MAX_FIELD_BYTES: usize = 1 << 20;
/// The same, once the batch has reached [`WHOLE_BATCH_BYTES`].
const MAX_FURTHER_FIELD_BYTES: usize = 16 << 10;
const WHOLE_BATCH_BYTES: usize = 8 << 20;

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
        let (mut rows, mut bytes) = (Self::default(), 0);
        for record in rejected.iter().take(MAX_PER_BATCH) {
            let position = i32::try_from(record.position).unwrap_or(i32::MAX);
            rows.positions.push(position);
            rows.reasons.push(record.reason.clone());
            let max = if bytes < WHOLE_BATCH_BYTES {
                MAX_FIELD_BYTES
            } else {
                MAX_FURTHER_FIELD_BYTES
            };
            let (header, body) = (truncate(record.header, max), truncate(record.body, max));
            bytes += header.len() + body.len();
            rows.headers.push(header);
            rows.bodies.push(body);
            rows.truncated
                .push(record.header.len().max(record.body.len()) > max);
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

fn truncate(bytes: &[u8], max: usize) -> Vec<u8> {
    bytes.get(..max).unwrap_or(bytes).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_whole_until_their_batch_has_many_bytes() {
        let body = vec![b'x'; MAX_FIELD_BYTES + 1];
        let record = |position, bytes: usize| RejectedRecord {
            position,
            reason: String::new(),
            header: b"{}",
            body: &body[..bytes],
        };
        let records: Vec<_> = (0..10).map(|at| record(at, MAX_FIELD_BYTES)).collect();
        let rows = RejectedRows::new(&records);
        let whole = rows.truncated.iter().filter(|truncated| !**truncated);
        assert_eq!(whole.count(), 8);
        assert_eq!(rows.bodies[9].len(), MAX_FURTHER_FIELD_BYTES);
        let rows = RejectedRows::new(&[record(0, MAX_FIELD_BYTES + 1)]);
        assert_eq!(
            (rows.bodies[0].len(), rows.truncated[0]),
            (MAX_FIELD_BYTES, true)
        );
        let many: Vec<_> = (0..=MAX_PER_BATCH).map(|at| record(at, 0)).collect();
        assert_eq!(RejectedRows::new(&many).positions.len(), MAX_PER_BATCH);
    }
}

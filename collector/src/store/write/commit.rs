//! The transaction that makes a group of batches durable. See the [design](super).

use std::collections::{BTreeSet, HashSet};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::copy_format::{SIGNATURE, TRAILER};
use super::prepared_batch::{COPY_BODIES, COPY_ENTRIES, PreparedBatch};
use crate::model::clock::from_micros;
use crate::model::entry::NewGap;
use crate::model::ids::BatchId;
use crate::store::sessions::{self, SessionLookup};
use crate::store::{Store, StoreError};

/// Sent at a time. sqlx copies each chunk once more.
const COPY_CHUNK_BYTES: usize = 128 * 1024;

/// The transaction holds locks that others wait for. If its collector is gone without closing the connection,
/// as with its machine, Postgres ends it.
pub(super) const BEGIN: &str = "begin; set local idle_in_transaction_session_timeout = '30s'";

/// What a batch was stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertOutcome {
    /// It is committed.
    Inserted,
    /// It had been committed before; nothing was written.
    Duplicate,
}

impl Store {
    /// Commits the batches that are not stored yet. Returns an outcome for each.
    pub(super) async fn commit_group(
        &self,
        connection: &mut PgConnection,
        batches: &mut [PreparedBatch],
    ) -> Result<Vec<InsertOutcome>, StoreError> {
        self.ensure_dependencies(connection, batches).await?;
        let mut transaction = connection.begin_with(BEGIN).await?;
        let (inserted, ids) = insert_into_ledger(&mut transaction, batches).await?;
        let outcomes = outcomes(batches, inserted);
        let mut new: Vec<_> = batches
            .iter_mut()
            .zip(&outcomes)
            .filter(|(_, outcome)| **outcome == InsertOutcome::Inserted)
            .map(|(batch, _)| batch)
            .collect();
        if new.is_empty() {
            transaction.rollback().await?;
            return Ok(outcomes);
        }
        patch_rows(&mut transaction, &mut new, &ids).await?;
        insert_rows(&mut transaction, &new).await?;
        transaction.commit().await?;
        Ok(outcomes)
    }

    /// Creates the partitions, and extends the lifetime of the dictionaries, that the rows need. Both are
    /// transactions of their own.
    pub(super) async fn ensure_dependencies(
        &self,
        connection: &mut PgConnection,
        batches: &[PreparedBatch],
    ) -> Result<(), StoreError> {
        let days: BTreeSet<_> = batches.iter().flat_map(|it| &it.days).copied().collect();
        self.partitions.ensure(connection, &days).await?;
        for batch in batches {
            self.dictionaries
                .ensure(connection, &batch.dictionaries)
                .await?;
        }
        Ok(())
    }
}

/// Of two batches with the same id, the first counts as inserted.
fn outcomes(batches: &[PreparedBatch], mut inserted: HashSet<BatchId>) -> Vec<InsertOutcome> {
    let outcome = |batch: &PreparedBatch| {
        if inserted.remove(&batch.id) {
            InsertOutcome::Inserted
        } else {
            InsertOutcome::Duplicate
        }
    };
    batches.iter().map(outcome).collect()
}

/// Returns the batches that were not in the ledger, and ids for the entries of all batches. Waits for transactions
/// that are storing one of them; in order of batch id, so that transactions cannot deadlock.
///
/// Later records of a batch get higher ids, so that ids can break ties of time. All ids come in one row, which is
/// cheaper than a row for each. Those of duplicates stay unused.
async fn insert_into_ledger(
    connection: &mut PgConnection,
    batches: &[PreparedBatch],
) -> Result<(HashSet<BatchId>, Vec<i64>), StoreError> {
    let records = |batch: &PreparedBatch| i32::try_from(batch.records).unwrap_or(i32::MAX);
    let entries: usize = batches.iter().map(PreparedBatch::entry_count).sum();
    let (inserted, ids): (Vec<Uuid>, Vec<i64>) = sqlx::query_as(
        "with inserted as (
             insert into ingest_ledger (batch_id, received_at, records)
             select * from unnest($1::uuid[], $2::timestamptz[], $3::int[]) as new(batch_id, received_at, records)
             order by batch_id
             on conflict do nothing returning batch_id)
         select array(select batch_id from inserted),
                array(select nextval('entry_ids') from generate_series(1, $4))",
    )
    .bind(batches.iter().map(|it| it.id.0).collect::<Vec<_>>())
    .bind(batches.iter().map(|it| it.received_at).collect::<Vec<_>>())
    .bind(batches.iter().map(records).collect::<Vec<_>>())
    .bind(i64::try_from(entries).unwrap_or(i64::MAX))
    .fetch_one(connection)
    .await?;
    Ok((inserted.into_iter().map(BatchId).collect(), ids))
}

/// Assigns sessions, and patches them and the ids into the rows.
async fn patch_rows(
    connection: &mut PgConnection,
    batches: &mut [&mut PreparedBatch],
    ids: &[i64],
) -> Result<(), StoreError> {
    let lookups: Vec<&SessionLookup> = batches.iter().flat_map(|it| &it.lookups).collect();
    let sessions = sessions::assign(connection, &lookups).await?;
    let (mut ids, mut sessions) = (ids, sessions.as_slice());
    for batch in batches {
        let (batch_ids, other_ids) = split(ids, batch.entry_count());
        let (batch_sessions, other_sessions) = split(sessions, batch.lookups.len());
        let session_of = |lookup: usize| batch_sessions.get(lookup).copied().flatten();
        batch.patch(0..batch_ids.len(), batch_ids, session_of)?;
        (ids, sessions) = (other_ids, other_sessions);
    }
    Ok(())
}

fn split<T>(all: &[T], at: usize) -> (&[T], &[T]) {
    all.split_at_checked(at).unwrap_or((all, &[]))
}

async fn insert_rows(
    connection: &mut PgConnection,
    batches: &[&mut PreparedBatch],
) -> Result<(), StoreError> {
    let entries = batches.iter().map(|batch| batch.entries.as_bytes());
    copy(connection, COPY_ENTRIES, entries).await?;
    let bodies = batches.iter().map(|batch| batch.bodies.as_bytes());
    copy(connection, COPY_BODIES, bodies).await?;
    for batch in batches {
        insert_gaps(connection, batch, &batch.gaps).await?;
        let rejected = &batch.rejected;
        rejected
            .insert(connection, batch.id, batch.received_at)
            .await?;
    }
    Ok(())
}

/// Copies the rows of several buffers.
pub(super) async fn copy<'b>(
    connection: &mut PgConnection,
    statement: &'static str,
    buffers: impl Iterator<Item = &'b [u8]> + Clone,
) -> Result<(), StoreError> {
    if buffers.clone().all(<[u8]>::is_empty) {
        return Ok(());
    }
    let mut copy = connection.copy_in_raw(statement).await?;
    copy.send(SIGNATURE).await?;
    for chunk in buffers.flat_map(|buffer| buffer.chunks(COPY_CHUNK_BYTES)) {
        copy.send(chunk).await?;
    }
    copy.send(TRAILER.as_slice()).await?;
    copy.finish().await?;
    Ok(())
}

/// Inserts losses that a batch reports.
pub(super) async fn insert_gaps(
    connection: &mut PgConnection,
    batch: &PreparedBatch,
    gaps: &[NewGap],
) -> Result<(), StoreError> {
    if gaps.is_empty() {
        return Ok(());
    }
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let time = |micros| from_micros(micros).unwrap_or(batch.received_at);
    sqlx::query(
        "insert into gaps (batch_id, received_at, reason, records, bytes, first_at, last_at)
         select $1, $2, * from unnest($3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])",
    )
    .bind(batch.id.0)
    .bind(batch.received_at)
    .bind(gaps.iter().map(|it| <&str>::from(it.gap.reason)).collect::<Vec<_>>())
    .bind(gaps.iter().map(|it| number(it.gap.records)).collect::<Vec<_>>())
    .bind(gaps.iter().map(|it| number(it.gap.bytes)).collect::<Vec<_>>())
    .bind(gaps.iter().map(|it| time(it.gap.from)).collect::<Vec<_>>())
    .bind(gaps.iter().map(|it| time(it.gap.to)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Database;

    /// That Postgres enforces the setting is tested by Postgres.
    #[tokio::test]
    async fn transaction_has_idle_timeout() {
        let database = Database::start().await;
        let store = database.store();
        let mut connection = store.pool.acquire().await.unwrap();
        let show = "show idle_in_transaction_session_timeout";
        let mut transaction = connection.begin_with(BEGIN).await.unwrap();
        let within: String = sqlx::query_scalar(show)
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        transaction.rollback().await.unwrap();
        let after: String = sqlx::query_scalar(show)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert_eq!([within.as_str(), after.as_str()], ["30s", "0"]);
        drop(connection);
        database.stop([store]).await;
    }
}

//! The write path: batches are stored whole, once, several in one transaction.

use std::collections::{BTreeSet, HashSet};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::copy::{SIGNATURE, TRAILER};
use super::prepared::{COPY_BODIES, COPY_ENTRIES, Prepared};
use super::sessions::{self, Seeker};
use super::{Store, StoreError};
use crate::model::clock::from_micros;
use crate::model::ids::BatchId;

/// Sent at a time: what is copied once more on the way stays small.
const PIECE_BYTES: usize = 128 * 1024;

/// A transaction of a batch holds locks that others wait for. If its collector is gone without a word, with
/// its machine for example, Postgres ends it.
pub(super) const BEGIN: &str = "begin; set local idle_in_transaction_session_timeout = '30s'";

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is committed.
    Now,
    /// It was committed before: nothing was stored again.
    Before,
}

impl Store {
    /// Stores batches, except those that are stored already. When this returns, they are committed. Tells
    /// what became of each.
    pub(super) async fn store_together(
        &self,
        connection: &mut PgConnection,
        batches: &mut [Prepared],
    ) -> Result<Vec<Stored>, StoreError> {
        let days: BTreeSet<_> = batches.iter().flat_map(|it| &it.days).copied().collect();
        self.partitions.ensure(connection, &days).await?;
        for batch in &*batches {
            self.dictionaries
                .ensure(connection, &batch.dictionaries)
                .await?;
        }
        let mut transaction = connection.begin_with(BEGIN).await?;
        let (mut entered, ids) = enter_in_ledger(&mut transaction, batches).await?;
        // A batch that is here twice is new once.
        let stored: Vec<_> = batches
            .iter()
            .map(|batch| {
                if entered.remove(&batch.id) {
                    Stored::Now
                } else {
                    Stored::Before
                }
            })
            .collect();
        let new = batches.iter_mut().zip(&stored);
        let mut new: Vec<_> = new
            .filter(|(_, stored)| **stored == Stored::Now)
            .map(|(batch, _)| batch)
            .collect();
        if new.is_empty() {
            transaction.rollback().await?;
            return Ok(stored);
        }
        fill(&mut transaction, &mut new, &ids).await?;
        copy(&mut transaction, COPY_ENTRIES, &new, |batch| {
            batch.entries.as_bytes()
        })
        .await?;
        copy(&mut transaction, COPY_BODIES, &new, |batch| {
            batch.bodies.as_bytes()
        })
        .await?;
        for batch in new {
            store_losses(&mut transaction, batch).await?;
            let aside = batch.aside.store(&mut transaction, batch.id, batch.now);
            aside.await?;
        }
        transaction.commit().await?;
        Ok(stored)
    }
}

/// Returns the batches that were not in the ledger, and numbers for the entries of all. Waits for other
/// transactions that are just storing one of them; in order, so that none of them waits for this one.
///
/// Later records of a batch get higher ids, so that ids can break ties of time. They come in one row: a row for
/// each would have to be written and read. Those of batches that were stored before are lost.
async fn enter_in_ledger(
    connection: &mut PgConnection,
    batches: &[Prepared],
) -> Result<(HashSet<BatchId>, Vec<i64>), StoreError> {
    let records = |batch: &Prepared| i32::try_from(batch.records).unwrap_or(i32::MAX);
    let written: usize = batches.iter().map(Prepared::written).sum();
    let (entered, ids): (Vec<Uuid>, Vec<i64>) = sqlx::query_as(
        "with entered as (
             insert into ingest_ledger (batch_id, received_at, records)
             select * from unnest($1::uuid[], $2::timestamptz[], $3::int[]) as new(batch_id, received_at, records)
             order by batch_id
             on conflict do nothing returning batch_id)
         select array(select batch_id from entered),
                array(select nextval('entry_ids') from generate_series(1, $4))",
    )
    .bind(batches.iter().map(|it| it.id.0).collect::<Vec<_>>())
    .bind(batches.iter().map(|it| it.now).collect::<Vec<_>>())
    .bind(batches.iter().map(records).collect::<Vec<_>>())
    .bind(i64::try_from(written).unwrap_or(i64::MAX))
    .fetch_one(connection)
    .await?;
    Ok((entered.into_iter().map(BatchId).collect(), ids))
}

/// Finds the sessions of all, and fills them in, and the numbers of their entries.
async fn fill(
    connection: &mut PgConnection,
    batches: &mut [&mut Prepared],
    ids: &[i64],
) -> Result<(), StoreError> {
    let seekers: Vec<&Seeker> = batches.iter().flat_map(|it| &it.seekers).collect();
    let sessions = sessions::place(connection, &seekers).await?;
    let (mut ids, mut sessions) = (ids, sessions.as_slice());
    for batch in batches {
        let (of_batch, behind) = split(ids, batch.written());
        ids = behind;
        let (seekers, behind) = split(sessions, batch.seekers.len());
        sessions = behind;
        batch.fill(of_batch, seekers)?;
    }
    Ok(())
}

fn split<T>(all: &[T], at: usize) -> (&[T], &[T]) {
    all.split_at_checked(at).unwrap_or((all, &[]))
}

async fn copy(
    connection: &mut PgConnection,
    statement: &'static str,
    batches: &[&mut Prepared],
    rows: impl for<'b> Fn(&'b Prepared) -> &'b [u8],
) -> Result<(), StoreError> {
    if batches.iter().all(|batch| rows(batch).is_empty()) {
        return Ok(());
    }
    let mut copy = connection.copy_in_raw(statement).await?;
    copy.send(SIGNATURE).await?;
    for batch in batches {
        for piece in rows(batch).chunks(PIECE_BYTES) {
            copy.send(piece).await?;
        }
    }
    copy.send(TRAILER.as_slice()).await?;
    copy.finish().await?;
    Ok(())
}

async fn store_losses(connection: &mut PgConnection, batch: &Prepared) -> Result<(), StoreError> {
    let losses = &batch.losses;
    if losses.is_empty() {
        return Ok(());
    }
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let time = |micros| from_micros(micros).unwrap_or(batch.now);
    sqlx::query(
        "insert into gaps (batch_id, received_at, reason, records, bytes, first_at, last_at)
         select $1, $2, * from unnest($3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])",
    )
    .bind(batch.id.0)
    .bind(batch.now)
    .bind(losses.iter().map(|it| it.reason.as_str()).collect::<Vec<_>>())
    .bind(losses.iter().map(|it| number(it.records)).collect::<Vec<_>>())
    .bind(losses.iter().map(|it| number(it.bytes)).collect::<Vec<_>>())
    .bind(losses.iter().map(|it| time(it.from)).collect::<Vec<_>>())
    .bind(losses.iter().map(|it| time(it.to)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

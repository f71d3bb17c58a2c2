//! Finds the records of a batch that Postgres refuses for what is in them, as by a constraint. A transaction fails as a
//! whole, so that one such record would keep the others of its batch out, however often the batch is sent.
//!
//! Nothing is stored here: parts of the batch are tried and rolled back. A part that is refused is halved, until a
//! single record is left. Whoever asked rejects the records found and stores the batch without them.
//!
//! Each chunk is tried in a transaction of its own, since a transaction that assigns sessions makes others of the
//! same users wait.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};
use tracing::instrument;

use super::commit::{BEGIN, copy, insert_gaps};
use super::prepared_batch::{COPY_BODIES, COPY_ENTRIES, PreparedBatch};
use crate::model::entry::NewBatch;
use crate::store::pool::discard;
use crate::store::{Store, StoreError, sessions};

/// Entries of a transaction.
const CHUNK_ENTRIES: usize = 256;

/// A record that Postgres refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Its position in the batch.
    pub position: usize,
    /// Why, without any value of it.
    pub reason: String,
}

impl Store {
    /// The records and reported losses of a batch that Postgres refuses for their content. The batch itself is not
    /// needed after the call.
    ///
    /// # Errors
    /// [`StoreError`] if something else failed, or it took longer than `timeout`.
    pub fn find_refused(
        &self,
        batch: &NewBatch<'_>,
        now: OffsetDateTime,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<RefusedRecord>, StoreError>> + Send + use<> {
        let (store, batch) = (self.clone(), PreparedBatch::new(batch, now));
        async move { store.find_refused_within(batch, timeout).await }
    }

    #[instrument(name = "store.find_refused", skip_all, err(level = "debug"))]
    async fn find_refused_within(
        &self,
        mut batch: PreparedBatch,
        timeout: Duration,
    ) -> Result<Vec<RefusedRecord>, StoreError> {
        let deadline = Instant::now() + timeout;
        let mut connection = self.acquire(timeout).await?;
        let trying = self.try_batch(&mut connection, &mut batch);
        match timeout_at(deadline, trying).await {
            Ok(refused) => refused,
            Err(_) => Err(discard(connection, timeout)),
        }
    }

    async fn try_batch(
        &self,
        connection: &mut PgConnection,
        batch: &mut PreparedBatch,
    ) -> Result<Vec<RefusedRecord>, StoreError> {
        self.ensure_dependencies(connection, std::slice::from_ref(batch))
            .await?;
        let mut refused = try_gaps(connection, batch).await?;
        let entries = batch.entry_count();
        for start in (0..entries).step_by(CHUNK_ENTRIES) {
            let chunk = start..entries.min(start + CHUNK_ENTRIES);
            refused.extend(try_chunk(connection, batch, chunk).await?);
        }
        Ok(refused)
    }
}

async fn try_gaps(
    connection: &mut PgConnection,
    batch: &PreparedBatch,
) -> Result<Vec<RefusedRecord>, StoreError> {
    let mut refused = Vec::new();
    for gap in &batch.gaps {
        let mut transaction = connection.begin_with(BEGIN).await?;
        let inserted = insert_gaps(&mut transaction, batch, std::slice::from_ref(gap)).await;
        transaction.rollback().await?;
        if let Some(reason) = refusal(inserted)? {
            refused.push(RefusedRecord {
                position: gap.position,
                reason,
            });
        }
    }
    Ok(refused)
}

async fn try_chunk(
    connection: &mut PgConnection,
    batch: &mut PreparedBatch,
    chunk: Range<usize>,
) -> Result<Vec<RefusedRecord>, StoreError> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let mut refused = Vec::new();
    let mut untried = vec![chunk];
    while let Some(range) = untried.pop() {
        let mut savepoint = transaction.begin().await?;
        let inserted = insert_range(&mut savepoint, batch, range.clone()).await;
        savepoint.rollback().await?;
        let Some(reason) = refusal(inserted)? else {
            continue;
        };
        let middle = range.start.midpoint(range.end);
        if middle > range.start {
            untried.extend([middle..range.end, range.start..middle]);
        } else if let Some(position) = batch.position(range.start) {
            refused.push(RefusedRecord { position, reason });
        }
    }
    transaction.rollback().await?;
    Ok(refused)
}

async fn insert_range(
    connection: &mut PgConnection,
    batch: &mut PreparedBatch,
    range: Range<usize>,
) -> Result<(), StoreError> {
    let ids: Vec<i64> =
        sqlx::query_scalar("select nextval('entry_ids') from generate_series(1, $1)")
            .bind(i64::try_from(range.len()).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
    let (indexes, lookups): (Vec<_>, Vec<_>) = batch.lookups_of(&range).into_iter().unzip();
    let found = sessions::assign(connection, &lookups).await?;
    let found: HashMap<_, _> = indexes.into_iter().zip(found).collect();
    batch.patch(range.clone(), &ids, |lookup| {
        found.get(&lookup).copied().flatten()
    })?;
    let (entries, bodies) = batch.rows(&range);
    copy(connection, COPY_ENTRIES, [entries].into_iter()).await?;
    copy(connection, COPY_BODIES, [bodies].into_iter()).await
}

/// Why Postgres refused it; `None`: it did not.
fn refusal(inserted: Result<(), StoreError>) -> Result<Option<String>, StoreError> {
    match inserted {
        Ok(()) => Ok(None),
        Err(error) => error.refusal().map(Some).ok_or(error),
    }
}

//! Recognizes a batch by its content, for when the ledger may have dropped its id: a batch that waited in a spool
//! for as long as the ledger keeps ids.

use sqlx::Row;
use time::OffsetDateTime;
use tracing::instrument;
use uuid::Uuid;

use crate::model::entry::NewBatch;
use crate::model::ids::BatchId;
use crate::store::{Store, StoreError};

/// A batch is stored as a whole, so a sample of its entries is enough. Each of them may be in other batches too, so
/// all of the sample must be stored.
const MAX_ENTRIES: usize = 100;

/// What identifies a batch by its content.
#[derive(Debug)]
pub struct Fingerprint {
    id: BatchId,
    exchanges: Vec<Uuid>,
    users: Vec<String>,
    halves: Vec<&'static str>,
}

impl Fingerprint {
    /// Of this batch, without entries that have expired: they may not have been written, or be deleted.
    #[must_use]
    pub fn of(batch: &NewBatch<'_>, now: OffsetDateTime) -> Self {
        let mut fingerprint = Self {
            id: batch.id,
            exchanges: Vec::new(),
            users: Vec::new(),
            halves: Vec::new(),
        };
        let entries = batch.entries.iter();
        let retained = entries.filter(|entry| !entry.expires.has_passed(now));
        for entry in retained.take(MAX_ENTRIES) {
            fingerprint.exchanges.push(entry.exchange.0);
            fingerprint.users.push(entry.user.as_str().to_owned());
            fingerprint.halves.push(entry.half.into());
        }
        fingerprint
    }
}

impl Store {
    /// Whether a batch is stored, judging by its content. A batch some of whose entries were deleted since is not
    /// recognized: storing it twice is better than losing it.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.contains_batch", skip_all, err(level = "debug"))]
    pub async fn contains_batch(&self, batch: &Fingerprint) -> Result<bool, StoreError> {
        let row = sqlx::query(
            "select (cardinality($1) > 0 and not exists (
                        select from unnest($1::uuid[], $2::text[], $3::text[]) as sent(exchange_id, user_id, half)
                        where not exists (select from entries e where e.exchange_id = sent.exchange_id
                                          and e.user_id = sent.user_id and e.half::text = sent.half)))
                 or exists (select from gaps where batch_id = $4)
                 or exists (select from rejected_records where batch_id = $4) as is_stored",
        )
        .bind(&batch.exchanges)
        .bind(&batch.users)
        .bind(&batch.halves)
        .bind(batch.id.0)
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get("is_stored")?)
    }
}

//! Whether a batch is stored whose id the ledger may have forgotten.

use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::model::entry::NewBatch;
use crate::model::ids::BatchId;
use crate::model::retention::is_past_grace_period;

/// A batch is stored whole, so that some of its entries tell. Other batches may hold some of them as well, so
/// that all that are asked for must be there.
const MOST_ENTRIES: usize = 100;

/// What a batch is known again by.
#[derive(Debug)]
pub struct Features {
    id: BatchId,
    exchanges: Vec<Uuid>,
    users: Vec<String>,
    halves: Vec<&'static str>,
}

impl Features {
    /// Of this batch, without what is gone by now.
    #[must_use]
    pub fn of(batch: &NewBatch<'_>, now: OffsetDateTime) -> Self {
        let mut features = Self {
            id: batch.id,
            exchanges: Vec::new(),
            users: Vec::new(),
            halves: Vec::new(),
        };
        let entries = batch.entries.iter();
        let kept = entries.filter(|entry| !is_past_grace_period(entry.expires, now));
        for entry in kept.take(MOST_ENTRIES) {
            features.exchanges.push(entry.exchange.0);
            features.users.push(entry.user.as_str().to_owned());
            features.halves.push(entry.half.as_str());
        }
        features
    }
}

impl Store {
    /// Whether a batch is stored, going by what is in it instead of by its id. One of whose entries some have
    /// been deleted since is not recognised: better twice than not at all.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn recalls(&self, batch: &Features) -> Result<bool, StoreError> {
        let row = sqlx::query(
            "select (cardinality($1) > 0 and not exists (
                        select from unnest($1::uuid[], $2::text[], $3::text[]) as sent(exchange_id, user_id, half)
                        where not exists (select from entries e where e.exchange_id = sent.exchange_id
                                          and e.user_id = sent.user_id and e.half::text = sent.half)))
                 or exists (select from gaps where batch_id = $4)
                 or exists (select from rejected_records where batch_id = $4) as known",
        )
        .bind(&batch.exchanges)
        .bind(&batch.users)
        .bind(&batch.halves)
        .bind(batch.id.0)
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get("known")?)
    }
}

//! Whether a batch is stored whose id the ledger may have forgotten.

use sqlx::Row;
use time::OffsetDateTime;

use super::{Store, StoreError};
use crate::model::entry::NewBatch;
use crate::model::retention::is_gone;

/// A batch is stored whole, so that some of its entries tell. Other batches may hold some of them as well, so
/// that all that are asked for must be there.
const MOST_ENTRIES: usize = 100;

impl Store {
    /// Whether a batch is stored, going by what is in it instead of by its id. One of whose entries some have
    /// been deleted since is not recognised: better twice than not at all.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn recalls(
        &self,
        batch: &NewBatch<'_>,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let kept = batch
            .entries
            .iter()
            .filter(|entry| !is_gone(entry.expires, now));
        let (mut exchanges, mut users, mut halves) = (Vec::new(), Vec::new(), Vec::new());
        for entry in kept.take(MOST_ENTRIES) {
            exchanges.push(entry.exchange.0);
            users.push(entry.user.as_str());
            halves.push(entry.half.as_str());
        }
        let row = sqlx::query(
            "select (cardinality($1) > 0 and not exists (
                        select from unnest($1::uuid[], $2::text[], $3::text[]) as sent(exchange_id, user_id, half)
                        where not exists (select from entries e where e.exchange_id = sent.exchange_id
                                          and e.user_id = sent.user_id and e.half::text = sent.half)))
                 or exists (select from gaps where batch_id = $4)
                 or exists (select from rejected_records where batch_id = $4) as known",
        )
        .bind(exchanges)
        .bind(users)
        .bind(halves)
        .bind(batch.id.0)
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get("known")?)
    }
}

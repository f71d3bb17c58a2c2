//! Stores the batches of the spool in Postgres, oldest first, as soon as it is available again.

use std::time::Duration;

use tracing::{info, instrument, warn};

use super::batch_stats::BatchStats;
use super::durability::LONG_TIMEOUT;
use super::preparation::prepare_again;
use super::refusal::{StoringError, store_without_refused};
use super::validation::RefusedRecords;
use crate::app::App;
use crate::spool::{SequenceNumber, Spool, SpoolError, SpoolRead, SpooledBatch};
use crate::store::{Fingerprint, InsertOutcome};

const MIN_PAUSE: Duration = Duration::from_millis(100);
/// A batch of the longest kind, all of whose records are refused, is sorted out within a part of it.
const SORTING_TIMEOUT: Duration = Duration::from_mins(10);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// How a batch left the spool.
enum Replayed {
    Stored,
    /// Its file was damaged, or someone else removed it.
    Lost,
}

/// Why a batch stays in the spool.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Storing(#[from] StoringError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl ReplayError {
    /// Whether other batches would fail too.
    fn is_outage(&self) -> bool {
        matches!(self, Self::Storing(error) if error.is_outage())
    }
}

/// Runs until it is dropped. No batch is lost then: each stays in the spool until it is stored.
/// `ledger_period` is how long the ledger keeps the ids of batches.
pub async fn replay(app: App, ledger_period: time::Duration) {
    let mut pause = MIN_PAUSE;
    loop {
        let stored = replay_once(&app, ledger_period).await;
        pause = if stored > 0 {
            MIN_PAUSE
        } else {
            MAX_PAUSE.min(pause * 2)
        };
        tokio::time::sleep(pause).await;
    }
}

/// Returns how many batches were stored.
async fn replay_once(app: &App, ledger_period: time::Duration) -> u64 {
    let stored = match &app.spool {
        Some(spool) => replay_spool(app, spool, ledger_period).await,
        None => 0,
    };
    // With no batch to store, only a ping can end the outage.
    if stored == 0 && app.outage.is_active() && app.store.ping().await.is_ok() {
        app.outage.end();
    }
    if stored > 0 {
        info!(batches = stored, "spooled batches stored");
    }
    stored
}

/// Returns how many batches were stored.
async fn replay_spool(app: &App, spool: &Spool, ledger_period: time::Duration) -> u64 {
    let (mut stored, mut last, mut has_warned) = (0, None, false);
    while let Some(number) = spool.oldest_after(last) {
        last = Some(number);
        match replay_batch(app, spool, number, ledger_period).await {
            Ok(Replayed::Stored) => {
                app.outage.end();
                stored += 1;
            }
            Err(error) if error.is_outage() => {
                app.outage.begin(&error);
                return stored;
            }
            // Other batches may be stored; this one is tried again next time.
            Err(error) if !has_warned => {
                has_warned = true;
                warn!(%error, "a batch stays in the spool");
            }
            Ok(Replayed::Lost) | Err(_) => {}
        }
    }
    stored
}

#[instrument(name = "replay.batch", parent = None, skip_all, err(level = "debug"))]
async fn replay_batch(
    app: &App,
    spool: &Spool,
    number: SequenceNumber,
    ledger_period: time::Duration,
) -> Result<Replayed, ReplayError> {
    let batch = match spool.read(number).await? {
        SpoolRead::Batch(batch) => batch,
        SpoolRead::Damaged => {
            app.metrics.spool_damaged.inc();
            return Ok(Replayed::Lost);
        }
        SpoolRead::Missing => return Ok(Replayed::Lost),
    };
    if let Some(stats) = store_spooled(app, batch, ledger_period).await? {
        stats.record(&app.metrics);
    }
    app.metrics.spool_replayed.inc();
    spool.remove(number).await?;
    Ok(Replayed::Stored)
}

/// Returns what was counted; `None`: the batch had been stored before.
async fn store_spooled(
    app: &App,
    batch: SpooledBatch,
    ledger_period: time::Duration,
) -> Result<Option<BatchStats>, StoringError> {
    let now = app.clock.now();
    // Half of the period: it may have been stored some time before it was spooled, if the response was lost.
    let may_be_forgotten = now - batch.received_at >= ledger_period / 2;
    let store = app.store.clone();
    let preparing = prepare_again(app, batch.clone(), RefusedRecords::new(), move |new| {
        PreparedReplay {
            stats: BatchStats::new(new, now),
            storing: store.store_batch(new, now, LONG_TIMEOUT),
            fingerprint: may_be_forgotten.then(|| Fingerprint::of(new, now)),
        }
    });
    let prepared = preparing.await.map_err(StoringError::Prepare)?;
    if let Some(fingerprint) = &prepared.fingerprint
        && app.store.contains_batch(fingerprint).await?
    {
        return Ok(None);
    }
    let (outcome, stats) = match prepared.storing.await {
        Ok(outcome) => (outcome, prepared.stats),
        Err(error) if error.refusal().is_some() => {
            Box::pin(store_without_refused(app, &batch, now, SORTING_TIMEOUT)).await?
        }
        Err(error) => return Err(error.into()),
    };
    Ok((outcome == InsertOutcome::Inserted).then_some(stats))
}

/// A spooled batch, encoded for Postgres.
struct PreparedReplay<S> {
    stats: BatchStats,
    storing: S,
    /// To be looked up first, since the ledger may not know the batch any more.
    fingerprint: Option<Fingerprint>,
}

//! Stores the batches of the spool in Postgres, oldest first, as soon as it is available again.

use std::time::Duration;

use tracing::{info, instrument, warn};

use super::batch_stats::BatchStats;
use super::durability::{LONG_TIMEOUT, StoreFuture};
use super::preparation::prepare;
use super::received_batch::ReceivedBatch;
use crate::app::App;
use crate::http::error::ApiError;
use crate::spool::{SequenceNumber, Spool, SpoolError, SpoolRead, SpooledBatch};
use crate::store::{Fingerprint, InsertOutcome, StoreError};

const MIN_PAUSE: Duration = Duration::from_millis(100);
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
    Store(#[from] StoreError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("malformed batch, or not enough memory for it now: {0}")]
    Prepare(ApiError),
}

impl ReplayError {
    /// Whether other batches would fail too.
    fn is_outage(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient() && !error.is_resource_exhausted())
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
    let preparing = {
        let app = app.clone();
        move || prepare_spooled(&app, batch, ledger_period)
    };
    let prepared = app
        .ingest_pool
        .run(preparing)
        .await
        .map_err(ReplayError::Prepare)?;
    let is_stored = match &prepared.fingerprint {
        Some(fingerprint) => app.store.contains_batch(fingerprint).await?,
        None => false,
    };
    if !is_stored && prepared.storing.await? == InsertOutcome::Inserted {
        prepared.stats.record(&app.metrics);
    }
    app.metrics.spool_replayed.inc();
    spool.remove(number).await?;
    Ok(Replayed::Stored)
}

/// A spooled batch, encoded for Postgres.
struct PreparedReplay<S> {
    stats: BatchStats,
    storing: S,
    /// To be looked up first, since the ledger may not know the batch any more.
    fingerprint: Option<Fingerprint>,
}

fn prepare_spooled(
    app: &App,
    batch: SpooledBatch,
    ledger_period: time::Duration,
) -> Result<PreparedReplay<impl StoreFuture + use<>>, ApiError> {
    let received = ReceivedBatch::from_spool(batch, &app.admission)?;
    let now = app.clock.now();
    // Half of the period: it may have been stored some time before it was spooled, if the response was lost.
    let may_be_forgotten = now - received.batch.received_at >= ledger_period / 2;
    prepare(app, &received, |batch| PreparedReplay {
        stats: BatchStats::new(batch),
        storing: app.store.store_batch(batch, now, LONG_TIMEOUT),
        fingerprint: may_be_forgotten.then(|| Fingerprint::of(batch, now)),
    })
}

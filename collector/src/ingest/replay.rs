//! Stores what the spool holds, the oldest first, as soon as Postgres takes batches again.

use std::time::Duration;

use tracing::{info, warn};

use super::keep::{LONG_PATIENCE, Storing};
use super::prepare::prepare;
use super::read::Sent;
use super::tally::Tally;
use crate::app::App;
use crate::http::error::ApiError;
use crate::spool::{SequenceNumber, Spool, SpoolError, SpoolRead, SpooledBatch};
use crate::store::{Fingerprint, InsertOutcome, StoreError};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a look at the spool led to.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    /// Something was stored.
    WentOn,
    /// Nothing was there, or nothing could be stored.
    StoodStill,
}

/// How a batch left the spool.
enum Left {
    Stored,
    /// It was damaged, or somebody has removed it.
    Lost,
}

/// Why a batch stays in the spool.
#[derive(Debug, thiserror::Error)]
enum Delay {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("it cannot be read as a batch, or there is no room for it in memory: {0}")]
    Read(ApiError),
}

/// Goes on until it is dropped. What it is at then is not lost: it stays in the spool until it is stored.
/// `ledger` is how long the ledger keeps the ids of batches.
pub async fn replay(app: App, ledger: time::Duration) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        pause = match round(&app, ledger).await {
            Round::WentOn => SHORTEST_PAUSE,
            Round::StoodStill => LONGEST_PAUSE.min(pause * 2),
        };
        tokio::time::sleep(pause).await;
    }
}

async fn round(app: &App, ledger: time::Duration) -> Round {
    let stored = match &app.spool {
        Some(spool) => store_waiting(app, spool, ledger).await,
        None => 0,
    };
    // Nothing else would tell that it is back.
    if stored == 0 && app.outage.is_active() && app.store.ping().await.is_ok() {
        app.outage.end();
    }
    if stored > 0 {
        info!(batches = stored, "batches of the spool were stored");
        Round::WentOn
    } else {
        Round::StoodStill
    }
}

/// Returns how many batches were stored.
async fn store_waiting(app: &App, spool: &Spool, ledger: time::Duration) -> u64 {
    let (mut done, mut last, mut has_warned) = (0, None, false);
    while let Some(number) = spool.oldest_after(last) {
        last = Some(number);
        match store_one(app, spool, number, ledger).await {
            Ok(Left::Stored) => {
                app.outage.end();
                done += 1;
            }
            Err(Delay::Store(error)) if error.is_transient() && !error.is_resource_exhausted() => {
                app.outage.begin(&error);
                return done;
            }
            // The next ones may do better. This one is tried again in every round.
            Err(delay) if !has_warned => {
                has_warned = true;
                warn!(%delay, "a batch stays in the spool");
            }
            Ok(Left::Lost) | Err(_) => {}
        }
    }
    done
}

async fn store_one(
    app: &App,
    spool: &Spool,
    number: SequenceNumber,
    ledger: time::Duration,
) -> Result<Left, Delay> {
    let batch = match spool.read(number).await? {
        SpoolRead::Batch(batch) => batch,
        SpoolRead::Damaged => {
            app.metrics.spool_damaged.inc();
            return Ok(Left::Lost);
        }
        SpoolRead::Missing => return Ok(Left::Lost),
    };
    let preparing = {
        let app = app.clone();
        move || ready(&app, batch, ledger)
    };
    let ready = app.ingest_pool.run(preparing).await.map_err(Delay::Read)?;
    let is_stored = match &ready.doubt {
        Some(features) => app.store.contains_batch(features).await?,
        None => false,
    };
    if !is_stored && ready.storing.await? == InsertOutcome::Inserted {
        ready.tally.count(app);
    }
    app.metrics.spool_replayed.inc();
    spool.remove(number).await?;
    Ok(Left::Stored)
}

/// A batch of the spool, ready to be stored.
struct Ready<S> {
    tally: Tally,
    storing: S,
    /// What it is known again by, if the ledger may have forgotten it.
    doubt: Option<Fingerprint>,
}

/// Inflates it and makes it ready.
fn ready(
    app: &App,
    batch: SpooledBatch,
    ledger: time::Duration,
) -> Result<Ready<impl Storing + use<>>, ApiError> {
    let sent = Sent::again(batch, &app.admission)?;
    let now = app.clock.now();
    // Half: it may have been stored some time before it came here, its answer lost on the way.
    let is_doubtful = now - sent.batch.received_at >= ledger / 2;
    prepare(app, &sent, |batch| Ready {
        tally: Tally::of(batch),
        storing: app.store.store_batch(batch, now, LONG_PATIENCE),
        doubt: is_doubtful.then(|| Fingerprint::of(batch, now)),
    })
}

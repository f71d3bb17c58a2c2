//! Where a batch becomes durable: committed in Postgres or, while that is unavailable, in the spool.

use std::future::Future;
use std::time::Duration;

use time::OffsetDateTime;
use tracing::instrument;

use super::batch_stats::BatchStats;
use super::received_batch::ReceivedBatch;
use super::refusal::store_without_refused;
use crate::app::App;
use crate::http::error::ApiError;
use crate::model::entry::NewBatch;
use crate::spool::Spool;
use crate::store::{InsertOutcome, StoreError};

/// How long Postgres may take before a batch goes to the spool instead. Shorter than the filter waits for the
/// response.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How long it may take if there is no spool, or the batch comes from the spool.
pub(super) const LONG_TIMEOUT: Duration = Duration::from_secs(45);

/// Where a batch is durable.
pub(super) enum Durability {
    Postgres(InsertOutcome),
    Spool,
}

/// The pending insertion of a batch into Postgres.
pub(super) trait StoreFuture:
    Future<Output = Result<InsertOutcome, StoreError>> + Send
{
}

impl<F: Future<Output = Result<InsertOutcome, StoreError>> + Send> StoreFuture for F {}

/// Where a batch is to be written.
pub(super) enum Route<S> {
    /// To Postgres or, if that fails temporarily, to the spool if there is one.
    Postgres(S, Option<Spool>),
    /// To the spool only, since Postgres is unavailable.
    Spool(Spool),
}

/// Encodes the batch for its route; the batch is not needed after that.
pub(super) fn choose_route(
    app: &App,
    batch: &NewBatch<'_>,
    now: OffsetDateTime,
) -> Route<impl StoreFuture + use<>> {
    let timeout = match &app.spool {
        Some(spool) if app.outage.is_active() => return Route::Spool(spool.clone()),
        Some(_) => TIMEOUT,
        None => LONG_TIMEOUT,
    };
    let storing = app.store.store_batch(batch, now, timeout);
    Route::Postgres(storing, app.spool.clone())
}

/// Returns when the batch is durable, and what was counted anew if Postgres refuses records of it.
#[instrument(name = "ingest.persist", skip_all)]
pub(super) async fn persist(
    app: &App,
    received: &ReceivedBatch,
    route: Route<impl StoreFuture>,
) -> Result<(Durability, Option<BatchStats>), ApiError> {
    let spool = match route {
        Route::Spool(spool) => spool,
        Route::Postgres(storing, spool) => {
            let error = match storing.await {
                Ok(outcome) => return Ok((Durability::Postgres(outcome), None)),
                Err(error) if error.refusal().is_some() => {
                    let batch = &received.batch;
                    let timeout = spool.as_ref().map_or(LONG_TIMEOUT, |_| TIMEOUT);
                    let sorting = store_without_refused(app, batch, batch.received_at, timeout);
                    match Box::pin(sorting).await {
                        Ok((outcome, stats)) => {
                            return Ok((Durability::Postgres(outcome), Some(stats)));
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => {
                    if spool.is_some() && error.is_outage() {
                        app.outage.begin(&error);
                    }
                    error.into()
                }
            };
            match spool {
                // It may be committed nonetheless; then Postgres recognises the duplicate when it is replayed.
                Some(spool) if error.is_transient() => spool,
                _ => return Err(error.into()),
            }
        }
    };
    spool
        .append(received.batch.clone())
        .await
        .map_err(|error| ApiError::unavailable(&error))?;
    app.metrics.spool_written.inc();
    Ok((Durability::Spool, None))
}

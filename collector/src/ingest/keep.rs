//! Makes a batch durable: in Postgres, or, while that takes none, in the spool.

use std::future::Future;
use std::time::Duration;

use time::OffsetDateTime;

use super::read::Sent;
use crate::app::App;
use crate::http::error::ApiError;
use crate::model::entry::NewBatch;
use crate::spool::Spool;
use crate::store::{InsertOutcome, StoreError};

/// How long Postgres may take for a batch that the spool would take else. Less than the filter waits for
/// its answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same where nobody waits, or nothing else is left.
pub(super) const LONG_PATIENCE: Duration = Duration::from_secs(45);

/// Where a batch is.
pub(super) enum Kept {
    /// In Postgres.
    Stored(InsertOutcome),
    /// On disk.
    Spooled,
}

/// What becomes of a batch in Postgres.
pub(super) trait Storing: Future<Output = Result<InsertOutcome, StoreError>> + Send {}

impl<F: Future<Output = Result<InsertOutcome, StoreError>> + Send> Storing for F {}

/// Where a batch goes.
pub(super) enum Way<S> {
    /// To Postgres, and to the spool if that takes none.
    Postgres(S, Option<Spool>),
    /// Postgres takes none for now.
    Spool(Spool),
}

/// Makes the batch ready for where it goes. It is not needed any more then.
pub(super) fn way(
    app: &App,
    batch: &NewBatch<'_>,
    now: OffsetDateTime,
) -> Way<impl Storing + use<>> {
    let patience = match &app.spool {
        Some(spool) if app.outage.is_active() => return Way::Spool(spool.clone()),
        Some(_) => PATIENCE,
        None => LONG_PATIENCE,
    };
    let storing = app.store.store_batch(batch, now, patience);
    Way::Postgres(storing, app.spool.clone())
}

/// Returns when the batch is durable.
pub(super) async fn keep(app: &App, sent: &Sent, way: Way<impl Storing>) -> Result<Kept, ApiError> {
    let spool = match way {
        Way::Spool(spool) => spool,
        Way::Postgres(storing, spool) => match (storing.await, spool) {
            (Ok(stored), _) => return Ok(Kept::Stored(stored)),
            // It may be committed nonetheless: then Postgres will know it when it comes again.
            (Err(error), Some(spool)) if error.is_transient() => {
                if !error.is_resource_exhausted() {
                    app.outage.begin(&error);
                }
                spool
            }
            (Err(error), _) => return Err(error.into()),
        },
    };
    spool
        .append(sent.batch.clone())
        .await
        .map_err(|error| ApiError::unavailable(&error))?;
    app.metrics.spool_written.inc();
    Ok(Kept::Spooled)
}

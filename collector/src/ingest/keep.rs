//! Makes a batch durable: in Postgres, or, while that takes none, in the spool.

use std::time::Duration;

use time::OffsetDateTime;

use super::read::Sent;
use crate::app::App;
use crate::http::error::ApiError;
use crate::model::entry::NewBatch;
use crate::store::Stored;

/// How long Postgres may take for a batch that the spool would take else. Less than the filter waits for
/// its answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same where nobody waits, or nothing else is left.
pub(super) const LONG_PATIENCE: Duration = Duration::from_secs(45);

/// Where a batch is.
pub(super) enum Kept {
    /// In Postgres.
    Stored(Stored),
    /// On disk.
    Spooled,
}

/// Returns when the batch is durable.
pub(super) async fn keep(
    app: &App,
    sent: &Sent,
    batch: &NewBatch<'_>,
    now: OffsetDateTime,
) -> Result<Kept, ApiError> {
    let Some(spool) = &app.spool else {
        let stored = app.store.store_batch(batch, now, LONG_PATIENCE).await?;
        return Ok(Kept::Stored(stored));
    };
    if !app.outage.is_on() {
        match app.store.store_batch(batch, now, PATIENCE).await {
            Ok(stored) => return Ok(Kept::Stored(stored)),
            // It may be committed nonetheless: then Postgres will know it when it comes again.
            Err(error) if error.may_pass() => app.outage.begin(&error),
            Err(error) => return Err(error.into()),
        }
    }
    spool
        .keep(sent.batch.clone())
        .await
        .map_err(|error| ApiError::unavailable(&error))?;
    app.metrics.spool_written.inc();
    Ok(Kept::Spooled)
}

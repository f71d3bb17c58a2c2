//! Stores a batch that Postgres refuses for what is in a record of it: without that record, which is rejected with
//! the reason. Sent again as it is, it would be refused for ever, and its good records with it.

use std::time::Duration;

use time::OffsetDateTime;
use tracing::instrument;

use super::batch_stats::BatchStats;
use super::preparation::prepare_again;
use super::validation::RefusedRecords;
use crate::app::App;
use crate::http::error::ApiError;
use crate::spool::SpooledBatch;
use crate::store::{InsertOutcome, StoreError};

/// What Postgres accepts on trial it accepts in earnest, unless its constraints change in between.
const MAX_ROUNDS: usize = 3;

/// Why a batch is not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoringError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("malformed batch, or not enough memory for it now: {0}")]
    Prepare(ApiError),
}

impl StoringError {
    /// Whether the same batch may be stored later.
    pub(super) const fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }

    /// Whether other batches would fail too.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_outage())
    }
}

impl From<StoringError> for ApiError {
    fn from(error: StoringError) -> Self {
        match error {
            StoringError::Store(error) => error.into(),
            StoringError::Prepare(error) => error,
        }
    }
}

/// Finds the records that Postgres refuses, and stores the others. `timeout` is for each of these steps.
#[instrument(name = "ingest.store_without_refused", skip_all, err(level = "debug"))]
pub(super) async fn store_without_refused(
    app: &App,
    batch: &SpooledBatch,
    now: OffsetDateTime,
    timeout: Duration,
) -> Result<(InsertOutcome, BatchStats), StoringError> {
    let mut refused = RefusedRecords::new();
    let mut round = 1;
    loop {
        let store = app.store.clone();
        let finding = prepare_again(app, batch.clone(), refused.clone(), move |new| {
            store.find_refused(new, now, timeout)
        });
        let found = finding.await.map_err(StoringError::Prepare)?.await?;
        refused.extend(found.into_iter().map(|it| (it.position, it.reason)));
        let store = app.store.clone();
        let storing = prepare_again(app, batch.clone(), refused.clone(), move |new| {
            let storing = store.store_batch(new, now, timeout);
            (storing, BatchStats::new(new, now))
        });
        let (storing, stats) = storing.await.map_err(StoringError::Prepare)?;
        match storing.await {
            Ok(outcome) => return Ok((outcome, stats)),
            Err(error) if error.refusal().is_some() && round < MAX_ROUNDS => round += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

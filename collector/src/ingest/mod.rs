//! HTTP for producers: `POST /ingest/v1/batches`. A batch is acknowledged when it is committed.

mod read;
mod validate;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use dossier_wire::{Batch, INGEST_PATH};
use serde::Serialize;
use tracing::warn;

pub use self::read::MAX_SENT_BYTES;
use crate::app::App;
use crate::http::auth::Producer;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::metrics::BatchOutcome;
use crate::model::entry::NewBatch;
use crate::model::ids::BatchId;
use crate::store::Stored;

/// The endpoints for producers.
pub fn routes() -> Router<App> {
    Router::new().route(INGEST_PATH, post(take_batch))
}

#[derive(Serialize)]
struct Receipt {
    batch_id: BatchId,
    duplicate: bool,
    records: usize,
    rejected: usize,
}

async fn take_batch(
    State(app): State<App>,
    producer: Result<Producer, ApiError>,
    request: Request,
) -> Result<Success<impl Serialize>, ApiError> {
    let taken = match producer {
        Ok(Producer) => store_batch(&app, request).await,
        Err(error) => Err(error),
    };
    app.metrics.batch(match &taken {
        Ok(receipt) if receipt.duplicate => BatchOutcome::duplicate,
        Ok(_) => BatchOutcome::stored,
        Err(ApiError::Busy) => BatchOutcome::deferred,
        Err(ApiError::Unavailable(_) | ApiError::KeysUnavailable | ApiError::Internal(_)) => {
            BatchOutcome::failed
        }
        Err(_) => BatchOutcome::refused,
    });
    taken.map(|receipt| Success::new("Batch stored", receipt))
}

async fn store_batch(app: &App, request: Request) -> Result<Receipt, ApiError> {
    let sent = read::batch(app, request).await?;
    let batch = Batch::parse(sent.bytes()).map_err(ApiError::Batch)?;
    let now = app.clock.now();
    let batch = validate::batch(sent.id, &batch, &app.store.dictionaries(), now);
    let stored = app.store.store_batch(&batch, now).await?;
    if stored == Stored::Now {
        count(app, &batch);
    }
    Ok(Receipt {
        batch_id: batch.id,
        duplicate: stored == Stored::Before,
        records: batch.entries.len(),
        rejected: batch.rejected.len(),
    })
}

fn count(app: &App, batch: &NewBatch<'_>) {
    app.metrics.records.inc_by(batch.entries.len() as u64);
    app.metrics
        .rejected_records
        .inc_by(batch.rejected.len() as u64);
    for gap in &batch.gaps {
        app.metrics.gap(gap);
    }
    if let Some(first) = batch.rejected.first() {
        let (rejected, position, reason) = (batch.rejected.len(), first.position, &first.reason);
        warn!(batch = %batch.id, rejected, position, reason, "malformed records were put aside");
    }
}

//! `POST /ingest/v1/batches`, the endpoint for producers. A batch is acknowledged when it is durable:
//! committed in Postgres or, while that is unavailable, synced to the spool.
//!
//! The way of a batch:
//!
//! - [`request`]: reads headers and body, and decompresses it with [`inflater`].
//! - [`parsed_batch`]: splits it into records, by its [`format`] ([`ndjson`] or the wire format).
//! - [`validation`]: turns records into entries, and rejects malformed ones.
//! - [`preparation`]: runs these two, and encodes the rows to be stored.
//! - [`durability`]: commits the rows in Postgres, or writes the batch to the spool.
//! - [`refusal`]: stores a batch without the records that Postgres refuses.
//! - [`replay`]: stores the batches of the spool later.
//! - [`retry`]: stores a rejected record once more.

mod batch_stats;
mod durability;
mod format;
mod inflater;
pub mod ndjson;
mod parsed_batch;
mod preparation;
mod raw_record;
mod received_batch;
mod refusal;
mod replay;
mod request;
mod retry;
mod validation;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use dossier_wire::INGEST_PATH;
use serde::Serialize;
use tracing::instrument;
use utoipa::ToSchema;

use self::batch_stats::BatchStats;
use self::durability::{Durability, choose_route, persist};
use self::preparation::prepare;
pub use self::raw_record::RawRecord;
pub use self::replay::replay;
pub use self::request::MAX_SENT_BYTES;
pub use self::retry::{RetryError, retry};
use self::validation::RefusedRecords;
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::http::extract::Producer;
use crate::metrics::BatchOutcome;
use crate::model::ids::BatchId;
use crate::store::InsertOutcome;

/// The routes for producers.
pub fn routes() -> Router<App> {
    Router::new().route(INGEST_PATH, post(post_batch))
}

/// The acknowledgement of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchReceipt {
    #[schema(value_type = uuid::Uuid)]
    batch_id: BatchId,
    /// The batch was stored before; this time nothing was. Of a spooled batch this is not known yet.
    duplicate: bool,
    /// The batch is on the collector's disk and will be stored in Postgres.
    spooled: bool,
    /// Records that were stored.
    records: usize,
    /// Records that were not stored because their time to live was over.
    expired: usize,
    /// Records that were rejected: malformed, or refused by Postgres.
    rejected: usize,
}

impl BatchReceipt {
    const fn message(&self) -> &'static str {
        if self.spooled {
            "Batch spooled"
        } else {
            "Batch stored"
        }
    }
}

async fn post_batch(
    State(app): State<App>,
    producer: Result<Producer, ApiError>,
    request: Request,
) -> Result<Success<impl Serialize>, ApiError> {
    let result = match producer {
        Ok(Producer) => accept_batch(&app, request).await,
        Err(error) => Err(error),
    };
    app.metrics.count_batch(outcome(&result));
    result.map(|receipt| Success::new(receipt.message(), receipt))
}

const fn outcome(result: &Result<BatchReceipt, ApiError>) -> BatchOutcome {
    match result {
        Ok(receipt) if receipt.duplicate => BatchOutcome::duplicate,
        Ok(receipt) if receipt.spooled => BatchOutcome::spooled,
        Ok(_) => BatchOutcome::stored,
        Err(ApiError::TooManyInFlight) => BatchOutcome::deferred,
        Err(ApiError::Unavailable(_) | ApiError::JwksUnavailable | ApiError::Internal(_)) => {
            BatchOutcome::failed
        }
        Err(_) => BatchOutcome::refused,
    }
}

/// Returns when the batch is durable.
#[instrument(name = "ingest.accept_batch", skip_all, err(level = "debug"))]
async fn accept_batch(app: &App, request: Request) -> Result<BatchReceipt, ApiError> {
    let mut received = request::receive_batch(app, request).await?;
    let preparing = {
        let app = app.clone();
        move || {
            let now = received.batch.received_at;
            let (stats, route) = prepare(&app, &received, &RefusedRecords::new(), |batch| {
                let route = choose_route(&app, batch, now);
                (BatchStats::new(batch, now), route)
            })?;
            // While it waits for Postgres, only the compressed bytes are needed.
            received.free_inflated();
            Ok::<_, ApiError>((received, stats, route))
        }
    };
    let (received, stats, route) = app.ingest_pool.run(preparing).await?;
    let (durability, recounted) = persist(app, &received, route).await?;
    let stats = recounted.unwrap_or(stats);
    // A spooled batch is counted when it is stored in Postgres.
    if matches!(durability, Durability::Postgres(InsertOutcome::Inserted)) {
        stats.record(&app.metrics);
    }
    Ok(BatchReceipt {
        batch_id: received.batch.id,
        duplicate: matches!(durability, Durability::Postgres(InsertOutcome::Duplicate)),
        spooled: matches!(durability, Durability::Spool),
        records: stats.records,
        expired: stats.expired,
        rejected: stats.rejected.count,
    })
}

//! HTTP for producers: `POST /ingest/v1/batches`. A batch is acknowledged when it is durable: committed
//! in Postgres or, while that is away, synced to the spool.

mod inflate;
mod keep;
pub mod ndjson;
mod prepare;
mod read;
mod records;
mod replay;
mod tally;
mod validate;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use dossier_wire::INGEST_PATH;
use serde::Serialize;
use utoipa::ToSchema;

use self::keep::Kept;
use self::prepare::prepare;
pub use self::read::MAX_SENT_BYTES;
pub use self::replay::replay;
use self::tally::Tally;
use crate::app::App;
use crate::http::envelope::Success;
use crate::http::error::ApiError;
use crate::http::extract::Producer;
use crate::metrics::BatchOutcome;
use crate::model::ids::BatchId;
use crate::store::InsertOutcome;

/// The endpoints for producers.
pub fn routes() -> Router<App> {
    Router::new().route(INGEST_PATH, post(take_batch))
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Receipt {
    #[schema(value_type = uuid::Uuid)]
    batch_id: BatchId,
    /// It had been stored before; nothing was stored now. Of a batch that is spooled this is not known yet.
    duplicate: bool,
    /// It is on the collector's disk and will be in Postgres.
    spooled: bool,
    /// Records that were stored.
    records: usize,
    /// Malformed records that were put aside.
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
    app.metrics.count_batch(match &taken {
        Ok(receipt) if receipt.duplicate => BatchOutcome::duplicate,
        Ok(receipt) if receipt.spooled => BatchOutcome::spooled,
        Ok(_) => BatchOutcome::stored,
        Err(ApiError::TooManyInFlight) => BatchOutcome::deferred,
        Err(ApiError::Unavailable(_) | ApiError::JwksUnavailable | ApiError::Internal(_)) => {
            BatchOutcome::failed
        }
        Err(_) => BatchOutcome::refused,
    });
    taken.map(|receipt| {
        let message = if receipt.spooled {
            "Batch spooled"
        } else {
            "Batch stored"
        };
        Success::new(message, receipt)
    })
}

async fn store_batch(app: &App, request: Request) -> Result<Receipt, ApiError> {
    let mut sent = read::batch(app, request).await?;
    let preparing = {
        let app = app.clone();
        move || {
            let (tally, way) = prepare(&app, &sent, |batch| {
                (
                    Tally::of(batch),
                    keep::way(&app, batch, sent.batch.received_at),
                )
            })?;
            // What waits for Postgres need not be here inflated too.
            sent.let_go();
            Ok::<_, ApiError>((sent, tally, way))
        }
    };
    let (sent, tally, way) = app.ingest_pool.run(preparing).await?;
    let kept = keep::keep(app, &sent, way).await?;
    // What is spooled is counted when it is stored.
    if matches!(kept, Kept::Stored(InsertOutcome::Inserted)) {
        tally.count(app);
    }
    Ok(Receipt {
        batch_id: sent.batch.id,
        duplicate: matches!(kept, Kept::Stored(InsertOutcome::Duplicate)),
        spooled: matches!(kept, Kept::Spooled),
        records: tally.records,
        rejected: tally.rejected,
    })
}

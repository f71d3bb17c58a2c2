//! The CPU-bound part of accepting a batch, from HTTP or from the spool: parsing, validation, packing of bodies.

use tracing::instrument;

use super::parsed_batch::ParsedBatch;
use super::received_batch::ReceivedBatch;
use super::validation::{RefusedRecords, validate_batch};
use crate::app::App;
use crate::http::error::ApiError;
use crate::model::entry::NewBatch;
use crate::spool::SpooledBatch;
use dossier_body::BodyPacker;

/// Validates the records of a batch as of its time of receipt, packs their bodies, and passes it to `encode`. Records
/// that Postgres is known to refuse are rejected.
///
/// # Errors
/// [`ApiError`] if the batch is malformed, or there is not enough memory now.
#[instrument(name = "ingest.prepare", skip_all)]
pub(super) fn prepare<T>(
    app: &App,
    received: &ReceivedBatch,
    refused: &RefusedRecords,
    encode: impl FnOnce(&NewBatch<'_>) -> T,
) -> Result<T, ApiError> {
    let parsed = ParsedBatch::parse(received.format, received.bytes(), app.admission.reserve())?;
    let dictionaries = app.store.dictionaries();
    // Now, not at the time of receipt: the batch may have waited for a thread.
    let effort = app
        .load_meter
        .effort(received.bytes().len(), app.clock.now());
    let packer = BodyPacker::with_effort(&dictionaries, effort);
    let received_at = received.batch.received_at;
    let records = parsed.records();
    let batch = validate_batch(received.batch.id, records, packer, received_at, refused);
    Ok(encode(&batch))
}

/// The same for a batch as it was sent, on a thread of the pool.
pub(super) async fn prepare_again<T: Send + 'static>(
    app: &App,
    batch: SpooledBatch,
    refused: RefusedRecords,
    encode: impl FnOnce(&NewBatch<'_>) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let preparing = {
        let app = app.clone();
        move || {
            let received = ReceivedBatch::from_spool(batch, &app.admission)?;
            prepare(&app, &received, &refused, encode)
        }
    };
    app.ingest_pool.run(preparing).await
}

//! The part of taking a batch that takes the processor for long, whether it comes by HTTP or from the spool.

use super::read::Sent;
use super::records::Records;
use super::validate;
use crate::app::App;
use crate::http::error::ApiError;
use crate::model::entry::NewBatch;
use dossier_body::Packer;

/// Judges the records of a batch as of when it came, packs their bodies, and hands the batch on.
///
/// # Errors
/// [`ApiError`] if it is no batch, or there is no room for it.
pub(super) fn prepare<T>(
    app: &App,
    sent: &Sent,
    hand_on: impl FnOnce(&NewBatch<'_>) -> T,
) -> Result<T, ApiError> {
    let records = Records::find(sent.form, sent.bytes(), app.admission.reserve())?;
    let dictionaries = app.store.dictionaries();
    // By the time of packing: its turn may have come long after the batch.
    let effort = app.load_meter.effort(sent.bytes().len(), app.clock.now());
    let packer = Packer::with(&dictionaries, effort);
    let received_at = sent.batch.received_at;
    let batch = validate::batch(sent.batch.id, records.each(), packer, received_at);
    Ok(hand_on(&batch))
}

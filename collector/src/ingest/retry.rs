//! Stores a rejected record once more, after what was wrong with it has been mended: a newer collector may accept it, or
//! a constraint is gone.

use std::borrow::Cow;
use std::future::Future;

use dossier_wire::frame::FrameKind;
use dossier_wire::{Frame, FrameContent};
use time::OffsetDateTime;

use super::durability::LONG_TIMEOUT;
use super::ndjson::decode_body;
use super::raw_record::RawRecord;
use super::validation::{RefusedRecords, validate_batch};
use crate::model::ids::{BatchId, RejectedId};
use crate::model::sha256::sha256;
use crate::store::{Store, StoreError, StoredRejected};
use dossier_body::BodyPacker;

/// Why a rejected record stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// Only its beginning is there.
    #[error("only its beginning was kept, so that it cannot be stored")]
    Truncated,
    /// It is rejected again.
    #[error("it is rejected again: {0}")]
    Rejected(String),
    /// Its time to live is over.
    #[error("its time to live is over, so that nothing of it would be stored")]
    Expired,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks and encodes a rejected record. The future stores it and deletes it from the rejected ones. Repeated, it
/// stores nothing twice.
///
/// # Errors
/// [`RetryError`]
pub fn retry(
    store: &Store,
    record: &StoredRejected,
    now: OffsetDateTime,
) -> Result<impl Future<Output = Result<(), RetryError>> + Send + use<>, RetryError> {
    let id = record.summary.id;
    if record.summary.truncated {
        return Err(RetryError::Truncated);
    }
    let body = match record.body.as_slice() {
        // Of a line whose body could not be read, none was kept.
        [] => {
            decode_body(&record.header).map_err(|error| RetryError::Rejected(error.to_string()))?
        }
        body => Cow::Borrowed(body),
    };
    let raw = RawRecord {
        position: 0,
        header: &record.header,
        body: &body,
        content: decode(&record.header, &body),
    };
    let dictionaries = store.dictionaries();
    let packer = BodyPacker::new(&dictionaries);
    let none = RefusedRecords::new();
    let batch = validate_batch(batch_id(id), [raw].into_iter(), packer, now, &none);
    if let Some(rejected) = batch.rejected.first() {
        return Err(RetryError::Rejected(rejected.reason.clone()));
    }
    if batch.entries.iter().any(|it| it.expires.has_passed(now)) {
        return Err(RetryError::Expired);
    }
    let storing = store.store_batch(&batch, now, LONG_TIMEOUT);
    let store = store.clone();
    Ok(async move {
        storing.await.map_err(|error| match error.refusal() {
            Some(reason) => RetryError::Rejected(reason),
            None => error.into(),
        })?;
        store.delete_rejected(id).await?;
        Ok(())
    })
}

/// As a record or as a reported loss: neither has the fields that the other needs.
fn decode<'a>(header: &'a [u8], body: &'a [u8]) -> Result<FrameContent<'a>, String> {
    let frame = |kind| Frame { kind, header, body };
    let record = frame(FrameKind::Record).decode();
    let content = record.or_else(|error| frame(FrameKind::Gap).decode().map_err(|_| error));
    content.map_err(|error| error.to_string())
}

/// The same for each retry of a record, so that the ledger knows it.
fn batch_id(id: RejectedId) -> BatchId {
    let position = id.position.to_be_bytes();
    let digest = sha256([b"rejected".as_slice(), id.batch.0.as_bytes(), &position]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
    BatchId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

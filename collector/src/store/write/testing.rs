//! Pending batches for unit tests of the write path.

use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;

use super::commit::InsertOutcome;
use super::prepared_batch::PreparedBatch;
use super::queue::PendingBatch;
use crate::model::entry::NewBatch;
use crate::model::ids::BatchId;
use crate::store::StoreError;

/// A batch with that many bytes of rows.
pub(super) fn pending_batch(
    bytes: usize,
    span: Span,
) -> (
    PendingBatch,
    oneshot::Receiver<Result<InsertOutcome, StoreError>>,
) {
    let empty = NewBatch {
        id: BatchId(uuid::Uuid::new_v4()),
        entries: Vec::new(),
        gaps: Vec::new(),
        rejected: Vec::new(),
    };
    let mut batch = PreparedBatch::new(&empty, OffsetDateTime::UNIX_EPOCH);
    batch.entries.bytes(&vec![0; bytes]);
    let (result, receiver) = oneshot::channel();
    let pending = PendingBatch {
        batch,
        deadline: Instant::now(),
        result,
        span,
    };
    (pending, receiver)
}

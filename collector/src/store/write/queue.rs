//! Batches that wait to be stored, and how many writers take them.
//!
//! There is no writer while nothing waits. A batch that finds too few of them gets a permit for one more, and
//! whoever holds the permit has to run it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;

use super::commit::InsertOutcome;
use super::prepared_batch::PreparedBatch;
use crate::store::StoreError;

/// Batches in a group.
const MAX_GROUP_BATCHES: usize = 32;
/// No batch is added to a group that has reached the target. Larger groups need fewer statements per record.
const MAX_TARGET_BYTES: usize = 8 << 20;
/// The target never shrinks below this, however slow Postgres is.
const MIN_TARGET_BYTES: usize = 256 << 10;
/// Groups of the same users, or of users that share a lock, wait for each other, and one large group costs less
/// than two small ones. So a writer is added only if more waits than the others take.
const MAX_WRITERS: usize = 4;

/// The queue, shared by all clones of a store.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct WriteQueue(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    pending: VecDeque<PendingBatch>,
    pending_bytes: usize,
    writers: usize,
    /// Of a group.
    target_bytes: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            pending: VecDeque::new(),
            pending_bytes: 0,
            writers: 0,
            target_bytes: MAX_TARGET_BYTES,
        }
    }
}

/// A batch in the queue.
#[derive(Debug)]
pub(super) struct PendingBatch {
    pub(super) batch: PreparedBatch,
    pub(super) deadline: Instant,
    /// Closed once nobody waits for the result.
    pub(super) result: oneshot::Sender<Result<InsertOutcome, StoreError>>,
    /// Of the request.
    pub(super) span: Span,
}

/// A permit to take groups from the queue. It ends when nothing waits, or when it is dropped.
pub(super) struct Writer {
    queue: WriteQueue,
    ended: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.ended {
            self.queue.state().writers -= 1;
        }
    }
}

impl WriteQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch. Returns a writer if there are too few.
    pub(super) fn push(&self, batch: PendingBatch) -> Option<Writer> {
        let mut state = self.state();
        // Abandoned batches take no memory: their producers may have sent them again.
        state.pending.retain(|pending| !pending.result.is_closed());
        state.pending.push_back(batch);
        state.pending_bytes = state.pending.iter().map(|it| it.batch.bytes()).sum();
        let exceeds_writers = state.pending.len() >= MAX_GROUP_BATCHES * state.writers
            || state.pending_bytes >= state.target_bytes * state.writers;
        self.add_writer(&mut state, exceeds_writers)
    }

    /// Returns one more writer if something waits: a writer that is stuck must not block the queue.
    pub(super) fn add_helper(&self) -> Option<Writer> {
        let mut state = self.state();
        let is_waiting = !state.pending.is_empty();
        self.add_writer(&mut state, is_waiting)
    }

    /// Postgres stored a group of this size in time. If it was as large as allowed, the next may be larger.
    pub(super) fn on_success(&self, bytes: usize) {
        let mut state = self.state();
        if bytes >= state.target_bytes {
            state.target_bytes = MAX_TARGET_BYTES.min(state.target_bytes * 2);
        }
    }

    /// Postgres did not store a group in time: the next ones are smaller.
    pub(super) fn on_timeout(&self) {
        let mut state = self.state();
        state.target_bytes = MIN_TARGET_BYTES.max(state.target_bytes / 2);
    }

    fn add_writer(&self, state: &mut State, is_needed: bool) -> Option<Writer> {
        (is_needed && state.writers < MAX_WRITERS).then(|| {
            state.writers += 1;
            Writer {
                queue: self.clone(),
                ended: false,
            }
        })
    }
}

impl Writer {
    /// The batches to be stored next, together, without abandoned ones. If there are none, the writer has ended.
    pub(super) fn next_group(&mut self) -> Option<Vec<PendingBatch>> {
        let mut state = self.queue.state();
        let (mut group, mut group_bytes) = (Vec::new(), 0);
        while group.len() < MAX_GROUP_BATCHES && group_bytes < state.target_bytes {
            let Some(pending) = state.pending.pop_front() else {
                break;
            };
            let bytes = pending.batch.bytes();
            state.pending_bytes -= bytes;
            if !pending.result.is_closed() {
                group_bytes += bytes;
                group.push(pending);
            }
        }
        if group.is_empty() {
            // Under the same lock: the next batch must not count on this writer.
            state.writers -= 1;
            self.ended = true;
            return None;
        }
        Some(group)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::pending_batch;
    use super::*;

    type ResultReceiver = oneshot::Receiver<Result<InsertOutcome, StoreError>>;

    fn push(queue: &WriteQueue, bytes: usize) -> (Option<Writer>, ResultReceiver) {
        let (batch, receiver) = pending_batch(bytes, Span::none());
        (queue.push(batch), receiver)
    }

    #[test]
    fn helpers_are_bounded_and_abandoned_batches_dropped() {
        let queue = WriteQueue::default();
        let (stuck, _first) = push(&queue, 10);
        let mut stuck = stuck.unwrap();
        assert_eq!(stuck.next_group().unwrap().len(), 1);
        assert!(queue.add_helper().is_none(), "nothing waits");
        let (none, second) = push(&queue, 10);
        assert!(none.is_none());
        let helpers: Vec<_> = std::iter::from_fn(|| queue.add_helper()).collect();
        assert_eq!(helpers.len(), MAX_WRITERS - 1);
        drop((helpers, second));
        let (_, _third) = push(&queue, 7);
        let state = queue.state();
        assert_eq!((state.pending.len(), state.writers), (1, 1));
        assert_eq!(state.pending_bytes, state.pending[0].batch.bytes());
    }

    fn group_sizes(mut writer: Writer) -> Vec<usize> {
        let groups = std::iter::from_fn(|| writer.next_group());
        groups.map(|group| group.len()).collect()
    }

    #[test]
    fn group_is_bounded_by_batches_and_bytes() {
        let queue = WriteQueue::default();
        let (writer, first) = push(&queue, 10);
        let mut receivers = vec![first];
        receivers.extend((0..MAX_GROUP_BATCHES + 7).map(|_| push(&queue, 10).1));
        assert_eq!(group_sizes(writer.unwrap()), [MAX_GROUP_BATCHES, 8]);
        receivers.extend((0..3).map(|_| push(&queue, MAX_TARGET_BYTES / 2).1));
        let (writer, _last) = push(&queue, MAX_TARGET_BYTES * 4);
        assert_eq!(group_sizes(writer.unwrap()), [2, 2]);
    }

    #[test]
    fn groups_shrink_after_timeouts_and_grow_back() {
        let queue = WriteQueue::default();
        let pushed = (0..8).map(|_| push(&queue, MAX_TARGET_BYTES / 4));
        let (writers, _receivers): (Vec<_>, Vec<_>) = pushed.unzip();
        let mut writer = writers.into_iter().flatten().next().unwrap();
        let mut group = || writer.next_group().unwrap().len();
        assert_eq!(group(), 4);
        queue.on_timeout();
        assert_eq!(group(), 2);
        (0..100).for_each(|_| queue.on_timeout());
        assert_eq!(queue.state().target_bytes, MIN_TARGET_BYTES);
        assert_eq!(group(), 1, "never empty");
        (0..100).for_each(|_| queue.on_success(MIN_TARGET_BYTES - 1));
        assert_eq!(
            queue.state().target_bytes,
            MIN_TARGET_BYTES,
            "a small group proves nothing"
        );
        (0..100).for_each(|_| queue.on_success(MAX_TARGET_BYTES));
        assert_eq!(queue.state().target_bytes, MAX_TARGET_BYTES);
    }

    #[test]
    fn writers_are_added_only_under_load() {
        let queue = WriteQueue::default();
        let push_many = |bytes: usize, times: usize| -> Vec<_> {
            (0..times).map(|_| push(&queue, bytes)).collect()
        };
        let first = push_many(1, 1 + MAX_GROUP_BATCHES);
        let writers = |pushed: &[(Option<Writer>, ResultReceiver)]| {
            pushed.iter().filter(|(writer, _)| writer.is_some()).count()
        };
        assert_eq!(
            writers(&first),
            2,
            "the first, and one more after a whole group"
        );
        let many = push_many(MAX_TARGET_BYTES, 5);
        assert_eq!(writers(&many), MAX_WRITERS - 2);
        drop((first, many));
        // The writers ended early, as by a panic, and the other batches are abandoned.
        let (writer, _receiver) = push(&queue, 1);
        assert_eq!(group_sizes(writer.unwrap()), [1]);
        let state = queue.state();
        assert_eq!((state.writers, state.pending_bytes), (0, 0));
    }
}

//! Batches that come while others are being stored wait, and are then stored together: one transaction,
//! one search for sessions, one `COPY`, one sync of the log for all of them. A batch that comes alone does
//! not wait.
//!
//! If Postgres refuses a transaction, its batches are stored one by one, so that only the one at fault fails.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::batches::Stored;
use super::prepared::Prepared;
use super::{Store, StoreError, give_up};
use crate::model::entry::NewBatch;

/// Most batches of a transaction.
const MOST_BATCHES: usize = 32;
/// Once a transaction has so many bytes of rows, no further batch is added. The more, the fewer questions a record
/// takes.
const ENOUGH_BYTES: usize = 8 << 20;
/// The same for a Postgres that did not take more in time.
const LEAST_BYTES: usize = 256 << 10;
/// Transactions at a time. Batches of the same users, or of users that share a lock, wait for each other all the
/// same, and together they cost less; so there is more than one only while more waits than one takes.
const WRITERS: usize = 4;

/// A batch that waits for longer has another writer come.
const PROMPT: Duration = Duration::from_secs(1);

/// Those that wait, shared by all clones of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Bytes of what waits.
    bytes: usize,
    writers: usize,
    /// Bytes of rows that are enough for a transaction.
    enough: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            writers: 0,
            enough: ENOUGH_BYTES,
        }
    }
}

/// A batch, and who waits for it.
#[derive(Debug)]
struct Waiting {
    batch: Prepared,
    deadline: Instant,
    outcome: oneshot::Sender<Result<Stored, StoreError>>,
}

/// The right to store what waits. It ends when nothing does, or with its holder.
struct Writer {
    line: Line,
    ended: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.ended {
            self.line.state().writers -= 1;
        }
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a batch wait. Returns a writer if there are too few.
    fn join(&self, waiting: Waiting) -> Option<Writer> {
        let mut state = self.state();
        // Those whom nobody waits for take no memory any more: their producers may have sent them again.
        state.waiting.retain(|waiting| !waiting.outcome.is_closed());
        state.waiting.push_back(waiting);
        state.bytes = state.waiting.iter().map(|it| it.batch.bytes()).sum();
        // So much that those there are leave some of it.
        let enough = state.waiting.len() >= MOST_BATCHES * state.writers
            || state.bytes >= state.enough * state.writers;
        self.hire(&mut state, enough)
    }

    /// Returns a writer more, if something waits: one that is stuck must not hold up all that comes behind it.
    fn help(&self) -> Option<Writer> {
        let mut state = self.state();
        let waits = !state.waiting.is_empty();
        self.hire(&mut state, waits)
    }

    /// Postgres took a group of so many bytes in time. If that was as large as they may be, the next may be larger.
    fn took(&self, bytes: usize) {
        let mut state = self.state();
        if bytes >= state.enough {
            state.enough = ENOUGH_BYTES.min(state.enough * 2);
        }
    }

    /// Postgres did not take a group in time: the next are smaller, or they would be as slow.
    fn gave_up(&self) {
        let mut state = self.state();
        state.enough = LEAST_BYTES.max(state.enough / 2);
    }

    fn hire(&self, state: &mut State, needed: bool) -> Option<Writer> {
        (needed && state.writers < WRITERS).then(|| {
            state.writers += 1;
            Writer {
                line: self.clone(),
                ended: false,
            }
        })
    }
}

impl Writer {
    /// The batches that are stored next, together; without those that nobody waits for any more. If there
    /// are none, the writer is none any more.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut state = self.line.state();
        let (mut group, mut bytes) = (Vec::new(), 0);
        while group.len() < MOST_BATCHES && bytes < state.enough {
            let Some(waiting) = state.waiting.pop_front() else {
                break;
            };
            let of_batch = waiting.batch.bytes();
            state.bytes -= of_batch;
            if !waiting.outcome.is_closed() {
                bytes += of_batch;
                group.push(waiting);
            }
        }
        if group.is_empty() {
            // Before anybody else can join, so that the next to come knows that there is no writer here.
            state.writers -= 1;
            self.ended = true;
            return None;
        }
        Some(group)
    }
}

impl Store {
    /// Stores a batch, unless it is stored already. When this returns, it is committed. Of what has
    /// expired so long ago that its partition may be gone, nothing is written. `patience` is how long
    /// Postgres may take, the waits for others and for a connection included. The batch itself is not
    /// needed any more once this is called.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of the batch is stored then, except, with [`StoreError::Unavailable`] and
    /// [`StoreError::NoAnswer`], that the answer to a commit may have been lost: ask again.
    pub fn store_batch(
        &self,
        batch: &NewBatch<'_>,
        now: OffsetDateTime,
        patience: Duration,
    ) -> impl Future<Output = Result<Stored, StoreError>> + Send + use<> {
        let (store, batch) = (self.clone(), Prepared::of(batch, now));
        async move {
            let deadline = Instant::now() + patience;
            let (outcome, told) = oneshot::channel();
            let writer = store.line.join(Waiting {
                batch,
                deadline,
                outcome,
            });
            if let Some(writer) = writer {
                tokio::spawn(store.clone().write(writer));
            }
            let mut told = told;
            let soon = deadline.min(Instant::now() + PROMPT);
            if let Ok(told) = timeout_at(soon, &mut told).await {
                return told.unwrap_or(Err(StoreError::NoAnswer(patience)));
            }
            if let Some(writer) = store.line.help() {
                tokio::spawn(store.write(writer));
            }
            match timeout_at(deadline, told).await {
                Ok(Ok(stored)) => stored,
                Ok(Err(_)) | Err(_) => Err(StoreError::NoAnswer(patience)),
            }
        }
    }

    /// Stores what waits, until nothing does.
    async fn write(self, mut writer: Writer) {
        while let Some(group) = writer.next() {
            self.store_group(group).await;
        }
    }

    async fn store_group(&self, group: Vec<Waiting>) {
        let deadlines = group.iter().map(|waiting| waiting.deadline);
        let deadline = deadlines.min().unwrap_or_else(Instant::now);
        let (mut batches, mut outcomes) = (Vec::new(), Vec::new());
        for waiting in group {
            batches.push(waiting.batch);
            outcomes.push((waiting.outcome, waiting.deadline));
        }
        let bytes = batches.iter().map(Prepared::bytes).sum();
        let stored = self.store_within(&mut batches, deadline).await;
        match &stored {
            Ok(_) => self.line.took(bytes),
            Err(StoreError::NoAnswer(_)) => self.line.gave_up(),
            Err(_) => {}
        }
        match stored {
            Ok(stored) => {
                for ((outcome, _), stored) in outcomes.into_iter().zip(stored) {
                    // Who does not wait any more will ask again.
                    let _ = outcome.send(Ok(stored));
                }
            }
            Err(error) if batches.len() > 1 && error.is_of_one_batch() => {
                for (batch, (outcome, deadline)) in batches.into_iter().zip(outcomes) {
                    let stored = self.store_within(&mut [batch], deadline).await;
                    let stored = stored.map(|all| all.first().copied().unwrap_or(Stored::Before));
                    let _ = outcome.send(stored);
                }
            }
            Err(error) => {
                let last = outcomes.pop();
                for (outcome, _) in outcomes {
                    let _ = outcome.send(Err(error.told_again()));
                }
                let _ = last.map(|(outcome, _)| outcome.send(Err(error)));
            }
        }
    }

    async fn store_within(
        &self,
        batches: &mut [Prepared],
        deadline: Instant,
    ) -> Result<Vec<Stored>, StoreError> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let mut connection = self.connection(patience).await?;
        let storing = self.store_together(&mut connection, batches);
        let Ok(stored) = timeout_at(deadline, storing).await else {
            return Err(give_up(connection, patience));
        };
        if let Err(StoreError::Database(_)) = &stored {
            // A partition may have been dropped by another collector since it was known here.
            self.partitions.forget();
        }
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::BatchId;

    type Told = oneshot::Receiver<Result<Stored, StoreError>>;

    /// A batch with so many bytes of rows joins.
    fn join(line: &Line, bytes: usize) -> (Option<Writer>, Told) {
        let empty = NewBatch {
            id: BatchId(uuid::Uuid::new_v4()),
            entries: Vec::new(),
            gaps: Vec::new(),
            rejected: Vec::new(),
        };
        let mut batch = Prepared::of(&empty, OffsetDateTime::UNIX_EPOCH);
        batch.entries.bytes(&vec![0; bytes]);
        let (outcome, told) = oneshot::channel();
        let deadline = Instant::now();
        let writer = line.join(Waiting {
            batch,
            deadline,
            outcome,
        });
        (writer, told)
    }

    #[test]
    fn who_waits_for_long_has_another_writer_come_and_who_has_gone_takes_no_memory() {
        let line = Line::default();
        let (stuck, _first) = join(&line, 10);
        let mut stuck = stuck.unwrap();
        assert_eq!(stuck.next().unwrap().len(), 1);
        assert!(line.help().is_none(), "nothing waits");
        let (none, second) = join(&line, 10);
        assert!(none.is_none());
        let helpers: Vec<_> = std::iter::from_fn(|| line.help()).collect();
        assert_eq!(helpers.len(), WRITERS - 1);
        drop((helpers, second));
        let (_, _third) = join(&line, 7);
        let state = line.state();
        assert_eq!((state.waiting.len(), state.writers), (1, 1));
        assert_eq!(state.bytes, state.waiting[0].batch.bytes());
    }

    fn sizes(mut writer: Writer) -> Vec<usize> {
        let groups = std::iter::from_fn(|| writer.next());
        groups.map(|group| group.len()).collect()
    }

    #[test]
    fn a_transaction_is_bounded_by_batches_and_bytes() {
        let line = Line::default();
        let (writer, first) = join(&line, 10);
        let mut told = vec![first];
        told.extend((0..MOST_BATCHES + 7).map(|_| join(&line, 10).1));
        assert_eq!(sizes(writer.unwrap()), [MOST_BATCHES, 8]);
        told.extend((0..3).map(|_| join(&line, ENOUGH_BYTES / 2).1));
        let (writer, _last) = join(&line, ENOUGH_BYTES * 4);
        assert_eq!(sizes(writer.unwrap()), [2, 2]);
    }

    #[test]
    fn transactions_are_smaller_while_postgres_does_not_take_them_in_time() {
        let line = Line::default();
        let joined = (0..8).map(|_| join(&line, ENOUGH_BYTES / 4));
        let (writers, _told): (Vec<_>, Vec<_>) = joined.unzip();
        let mut writer = writers.into_iter().flatten().next().unwrap();
        let mut group = || writer.next().unwrap().len();
        assert_eq!(group(), 4);
        line.gave_up();
        assert_eq!(group(), 2);
        (0..100).for_each(|_| line.gave_up());
        assert_eq!(line.state().enough, LEAST_BYTES);
        assert_eq!(group(), 1, "there is always one");
        (0..100).for_each(|_| line.took(LEAST_BYTES - 1));
        assert_eq!(line.state().enough, LEAST_BYTES, "small ones tell nothing");
        (0..100).for_each(|_| line.took(ENOUGH_BYTES));
        assert_eq!(line.state().enough, ENOUGH_BYTES);
    }

    #[test]
    fn there_is_one_writer_until_more_waits_than_it_takes() {
        let line = Line::default();
        let joining = |bytes: usize, times: usize| -> Vec<_> {
            (0..times).map(|_| join(&line, bytes)).collect()
        };
        let first = joining(1, 1 + MOST_BATCHES);
        let writers = |joined: &[(Option<Writer>, Told)]| {
            joined.iter().filter(|(writer, _)| writer.is_some()).count()
        };
        assert_eq!(
            writers(&first),
            2,
            "the first, and the one behind a whole transaction"
        );
        let many = joining(ENOUGH_BYTES, 5);
        assert_eq!(writers(&many), WRITERS - 2);
        drop((first, many));
        // They ended before they were done, as by a panic. Nobody waits for the others.
        let (writer, _told) = join(&line, 1);
        assert_eq!(sizes(writer.unwrap()), [1]);
        let state = line.state();
        assert_eq!((state.writers, state.bytes), (0, 0));
    }
}

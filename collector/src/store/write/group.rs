//! Stores batches in groups. See the [design](super).

use std::future::Future;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span, info_span, instrument};

use super::commit::InsertOutcome;
use super::prepared_batch::PreparedBatch;
use super::queue::{PendingBatch, Writer};
use crate::model::entry::NewBatch;
use crate::store::pool::discard;
use crate::store::{Store, StoreError};

/// A batch that waits longer than this gets one more writer.
const HELPER_DELAY: Duration = Duration::from_secs(1);

impl Store {
    /// Stores a batch, unless it is stored already. When this returns, it is committed. Rows that have
    /// expired are not written. `timeout` includes the waits in the queue
    /// and for a connection. The batch itself is not needed after the call.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of the batch is stored then. After [`StoreError::Unavailable`] and
    /// [`StoreError::Timeout`] it may be committed nevertheless, its answer lost: store it again.
    pub fn store_batch(
        &self,
        batch: &NewBatch<'_>,
        now: OffsetDateTime,
        timeout: Duration,
    ) -> impl Future<Output = Result<InsertOutcome, StoreError>> + Send + use<> {
        let (store, batch) = (self.clone(), PreparedBatch::new(batch, now));
        async move { store.store_prepared(batch, timeout).await }
    }

    #[instrument(name = "store.store_batch", skip_all, err(level = "debug"))]
    async fn store_prepared(
        &self,
        batch: PreparedBatch,
        timeout: Duration,
    ) -> Result<InsertOutcome, StoreError> {
        let deadline = Instant::now() + timeout;
        let (sender, mut result) = oneshot::channel();
        self.spawn_writer(self.write_queue.push(PendingBatch {
            batch,
            deadline,
            result: sender,
            span: Span::current(),
        }));
        let helper_at = deadline.min(Instant::now() + HELPER_DELAY);
        let mut received = timeout_at(helper_at, &mut result).await;
        if received.is_err() {
            self.spawn_helper();
            received = timeout_at(deadline, result).await;
        }
        match received {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(StoreError::Timeout(timeout)),
        }
    }

    fn spawn_writer(&self, writer: Option<Writer>) {
        if let Some(writer) = writer {
            tokio::spawn(self.clone().write_groups(writer));
        }
    }

    fn spawn_helper(&self) {
        self.spawn_writer(self.write_queue.add_helper());
    }

    async fn write_groups(self, mut writer: Writer) {
        while let Some(group) = writer.next_group() {
            let span = group_span(&group);
            self.store_group(group).instrument(span).await;
        }
    }

    async fn store_group(&self, group: Vec<PendingBatch>) {
        let deadlines = group.iter().map(|pending| pending.deadline);
        let deadline = deadlines.min().unwrap_or_else(Instant::now);
        let (mut batches, mut waiters) = (Vec::new(), Vec::new());
        for pending in group {
            batches.push(pending.batch);
            waiters.push(Waiter {
                deadline: pending.deadline,
                result: pending.result,
            });
        }
        let bytes = batches.iter().map(PreparedBatch::bytes).sum();
        match self.commit_within(&mut batches, deadline).await {
            Ok(outcomes) => {
                self.write_queue.on_success(bytes);
                for (waiter, outcome) in waiters.into_iter().zip(outcomes) {
                    waiter.send(Ok(outcome));
                }
            }
            // With the cache of partitions cleared, those that are missing are created.
            Err(error)
                if batches.len() > 1 && error.is_batch_specific()
                    || error.is_missing_partition() =>
            {
                self.store_one_by_one(batches, waiters).await;
            }
            Err(error) => {
                if matches!(error, StoreError::Timeout(_)) {
                    self.write_queue.on_timeout();
                }
                fail_all(waiters, error);
            }
        }
    }

    /// So that only the batch that is the cause fails.
    async fn store_one_by_one(&self, batches: Vec<PreparedBatch>, waiters: Vec<Waiter>) {
        for (batch, waiter) in batches.into_iter().zip(waiters) {
            let outcomes = self.commit_within(&mut [batch], waiter.deadline).await;
            let first = |all: Vec<_>| all.first().copied().unwrap_or(InsertOutcome::Duplicate);
            waiter.send(outcomes.map(first));
        }
    }

    async fn commit_within(
        &self,
        batches: &mut [PreparedBatch],
        deadline: Instant,
    ) -> Result<Vec<InsertOutcome>, StoreError> {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let mut connection = self.acquire(timeout).await?;
        let committing = self.commit_group(&mut connection, batches);
        let Ok(outcomes) = timeout_at(deadline, committing).await else {
            return Err(discard(connection, timeout));
        };
        if let Err(StoreError::Database(_)) = &outcomes {
            // Another collector may have dropped a partition since it was cached.
            self.partitions.clear();
        }
        outcomes
    }
}

/// Who waits for a batch of a group.
struct Waiter {
    deadline: Instant,
    result: oneshot::Sender<Result<InsertOutcome, StoreError>>,
}

impl Waiter {
    fn send(self, result: Result<InsertOutcome, StoreError>) {
        // Whoever does not wait any more will store the batch again.
        let _ = self.result.send(result);
    }
}

fn fail_all(mut waiters: Vec<Waiter>, error: StoreError) {
    let last = waiters.pop();
    for waiter in waiters {
        waiter.send(Err(error.clone_for_batch()));
    }
    if let Some(last) = last {
        last.send(Err(error));
    }
}

/// A child of the first batch's span that follows from those of the others.
fn group_span(group: &[PendingBatch]) -> Span {
    let parent = group.first().and_then(|pending| pending.span.id());
    let bytes: usize = group.iter().map(|pending| pending.batch.bytes()).sum();
    let span = info_span!(parent: parent, "store.write_group", batches = group.len(), bytes);
    for pending in group.iter().skip(1) {
        span.follows_from(&pending.span);
    }
    span
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::span::{Attributes, Id};
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::{Context, SubscriberExt};
    use tracing_subscriber::registry::LookupSpan;
    use tracing_subscriber::{Layer, Registry};

    use super::super::testing::pending_batch;
    use super::*;

    /// Records each relation between two spans, by name.
    #[derive(Clone, Default)]
    struct Relations(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Relations {
        fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
            let span = context.span(id).unwrap();
            if let Some(parent) = span.parent() {
                let relation = format!("{} is a child of {}", span.name(), parent.name());
                self.0.lock().unwrap().push(relation);
            }
        }

        fn on_follows_from(&self, id: &Id, other: &Id, context: Context<'_, S>) {
            let name = |id| context.span(id).unwrap().name();
            let relation = format!("{} follows from {}", name(id), name(other));
            self.0.lock().unwrap().push(relation);
        }
    }

    #[test]
    fn group_span_relates_to_all_requests() {
        let relations = Relations::default();
        with_default(Registry::default().with(relations.clone()), || {
            let requests = [
                info_span!("first"),
                info_span!("second"),
                info_span!("third"),
            ];
            let group = requests.map(|span| pending_batch(1, span).0);
            drop(group_span(&group));
        });
        let expected = [
            "store.write_group is a child of first",
            "store.write_group follows from second",
            "store.write_group follows from third",
        ];
        assert_eq!(*relations.0.lock().unwrap(), expected);
    }
}

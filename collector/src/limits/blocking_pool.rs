//! CPU-bound work, on threads of its own and few jobs at a time. On the threads of the async runtime it
//! would delay everything that only waits for I/O, Postgres above all.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tracing::Span;

/// A number of threads for CPU-bound work. Clones share them.
#[derive(Debug, Clone)]
pub struct BlockingPool(Arc<Semaphore>);

/// Work in a pool did not return.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// It panicked, or the runtime is shutting down.
    #[error("work in the thread pool failed: {0}")]
    Join(#[from] JoinError),
    /// No pool is ever closed.
    #[error("the thread pool is closed")]
    Closed(#[from] AcquireError),
}

impl BlockingPool {
    /// A thread for each core, at most `max`.
    #[must_use]
    pub fn one_per_core(max: usize) -> Self {
        Self::new(cores().min(max))
    }

    /// A thread for each core but one, which stays free for the async runtime; at least one.
    #[must_use]
    pub fn one_less_than_cores() -> Self {
        Self::new(cores().saturating_sub(1).max(1))
    }

    /// At most `threads` jobs at a time.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads)))
    }

    /// Waits for a thread, then runs `work` on it, within the current span. If the caller stops waiting,
    /// the work still runs to its end and keeps its thread until then.
    ///
    /// # Errors
    /// The error of the work, or [`PoolError`] if it does not return.
    pub async fn run<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<PoolError> + Send + 'static,
    {
        let permit = self.acquire().await?;
        let span = Span::current();
        let working = tokio::task::spawn_blocking(move || {
            let result = span.in_scope(work);
            drop(permit);
            result
        });
        working.await.map_err(PoolError::from)?
    }

    /// Waits for a permit.
    pub(super) async fn acquire(&self) -> Result<OwnedSemaphorePermit, PoolError> {
        Ok(Arc::clone(&self.0).acquire_owned().await?)
    }

    #[cfg(test)]
    pub(super) fn available(&self) -> usize {
        self.0.available_permits()
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

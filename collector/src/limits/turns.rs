//! Work that takes the processor for long: few do it at a time, and on threads of its own. On those of the
//! async side it would hold up all that only waits for an answer, of Postgres above all.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::error::ApiError;

/// The turns that are left. Clones share them.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Semaphore>);

impl Turns {
    /// As many as there are cores, and at most so many.
    #[must_use]
    pub fn of_cores(most: usize) -> Self {
        Self::new(cores().min(most))
    }

    /// As many as there are cores, less one that stays free for whoever waits for an answer; at least one.
    #[must_use]
    pub fn of_cores_but_one() -> Self {
        Self::new(cores().saturating_sub(1).max(1))
    }

    /// So many.
    #[must_use]
    pub fn new(turns: usize) -> Self {
        Self(Arc::new(Semaphore::new(turns)))
    }

    /// Waits for a turn, then has this done on another thread. Whoever stops waiting for it leaves the turn
    /// taken until it is done.
    ///
    /// # Errors
    /// [`ApiError`] of the work, or [`ApiError::Internal`] if it fails.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = self.take().await?;
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        working
            .await
            .map_err(|error| ApiError::internal("work on another thread", error))?
    }

    /// Waits for a turn.
    pub(crate) async fn take(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let taken = Arc::clone(&self.0).acquire_owned().await;
        taken.map_err(|error| ApiError::internal("wait for a turn", error))
    }

    /// How many are left.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.0.available_permits()
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

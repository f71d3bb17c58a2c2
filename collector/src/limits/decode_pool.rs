//! Responses that are made of bodies. Bodies take memory from when they are read, and decoding them is
//! CPU-bound: so few responses hold bodies at a time, fewer are decoded at a time, and that on threads of
//! their own. A response with many bodies waits for others like it, and nothing else waits for it.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::OwnedSemaphorePermit;

use super::blocking_pool::{BlockingPool, PoolError};

/// Responses whose bodies are in memory at the same time: each may have 16 MiB of them.
const MAX_WITH_BODIES: usize = 8;
/// Responses that are decoded at the same time, whatever the number of cores.
const MAX_THREADS: usize = 4;

/// The permits to hold bodies in memory, and the threads to decode them. Clones share them.
#[derive(Debug, Clone)]
pub struct DecodePool {
    with_bodies: BlockingPool,
    threads: BlockingPool,
}

/// A permit to read the bodies of one response. A response without one waits for a thread only.
#[derive(Debug)]
pub struct DecodePermit {
    threads: BlockingPool,
    held: Option<OwnedSemaphorePermit>,
}

impl Default for DecodePool {
    fn default() -> Self {
        Self::new(BlockingPool::one_per_core(MAX_THREADS))
    }
}

impl DecodePool {
    fn new(threads: BlockingPool) -> Self {
        Self {
            with_bodies: BlockingPool::new(MAX_WITH_BODIES),
            threads,
        }
    }

    /// Waits for a permit to read bodies. To be called before bodies are read from the store.
    ///
    /// # Errors
    /// [`PoolError::Closed`]
    pub async fn acquire(&self) -> Result<DecodePermit, PoolError> {
        let held = self.with_bodies.acquire().await?;
        Ok(DecodePermit {
            held: Some(held),
            ..self.permit_without_bodies()
        })
    }

    /// A permit for a response without bodies, which does not wait for those with bodies.
    #[must_use]
    pub fn permit_without_bodies(&self) -> DecodePermit {
        DecodePermit {
            threads: self.threads.clone(),
            held: None,
        }
    }
}

impl DecodePermit {
    /// Runs `work` and writes its result as JSON on a thread of the pool.
    ///
    /// # Errors
    /// As [`run`](Self::run), or the error of writing JSON.
    pub async fn run_to_json<T, E>(
        self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<Box<RawValue>, E>
    where
        T: Serialize,
        E: From<PoolError> + From<serde_json::Error> + Send + 'static,
    {
        self.run(move || Ok(to_raw_value(&work()?)?)).await
    }

    /// Runs `work` on a thread of the pool. If the caller stops waiting, permit and thread stay taken until
    /// the work ends.
    ///
    /// # Errors
    /// The error of the work, or [`PoolError`] if it does not return.
    pub async fn run<T, E>(
        self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<PoolError> + Send + 'static,
    {
        let held = self.held;
        let working = self.threads.run(move || {
            let result = work();
            drop(held);
            result
        });
        working.await
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum WorkError {
        #[error(transparent)]
        Pool(#[from] PoolError),
        #[error(transparent)]
        Json(#[from] serde_json::Error),
        #[error("the work failed")]
        Work,
    }

    /// The async side has one thread: if work ran on it, the test would not end.
    #[tokio::test]
    async fn waits_for_free_thread_without_blocking_runtime() {
        let pool = DecodePool::new(BlockingPool::new(2));
        let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
        let mut ends = Vec::new();
        let mut answers = tokio::task::JoinSet::new();
        for number in 0..3 {
            let (end, ended) = mpsc::channel::<()>();
            ends.push(end);
            let (pool, started) = (pool.clone(), started.clone());
            answers.spawn(async move {
                let work = move || {
                    started.send(number).unwrap();
                    ended.recv().unwrap();
                    Ok::<_, WorkError>(number)
                };
                let permit = pool.acquire().await.unwrap();
                permit.run_to_json(work).await.unwrap()
            });
        }
        let first = starts.recv().await.unwrap();
        let second = starts.recv().await.unwrap();
        assert_eq!(pool.threads.available(), 0);
        assert!(starts.try_recv().is_err());
        assert!(answers.try_join_next().is_none());

        ends[first].send(()).unwrap();
        let third = starts.recv().await.unwrap();
        for number in [second, third] {
            ends[number].send(()).unwrap();
        }
        let mut results: Vec<_> = answers.join_all().await;
        results.sort_by_key(|json| json.get().to_owned());
        assert_eq!(
            results.iter().map(|json| json.get()).collect::<String>(),
            "012"
        );
        assert_eq!(pool.threads.available(), 2);
    }

    #[tokio::test]
    async fn limits_responses_with_bodies_and_no_others() {
        let pool = DecodePool::default();
        let mut permits = Vec::new();
        for _ in 0..MAX_WITH_BODIES {
            permits.push(pool.acquire().await.unwrap());
        }
        let mut next = pin!(pool.acquire());
        let mut polling = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut polling).is_pending());
        let light = pool
            .permit_without_bodies()
            .run_to_json(|| Ok::<_, WorkError>(1))
            .await
            .unwrap();
        assert_eq!(light.get(), "1");
        let failed = permits.pop().unwrap().run(|| Err::<(), _>(WorkError::Work));
        assert!(failed.await.is_err());
        assert!(next.as_mut().poll(&mut polling).is_ready());
    }
}

//! Turns at decoding bodies. It takes the processor for long, so it is done on threads of its own, and
//! by few at a time: a heavy page waits for other heavy pages, and nothing else waits for it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Semaphore;

use super::error::ApiError;

/// Answers that are made of bodies at the same time, whatever the number of cores.
const MOST_TURNS: usize = 4;

/// The turns that are left. Clones share them.
#[derive(Debug, Clone)]
pub struct Decoding {
    turns: Arc<Semaphore>,
}

impl Default for Decoding {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            turns: Arc::new(Semaphore::new(cores.min(MOST_TURNS))),
        }
    }
}

impl Decoding {
    /// Waits for a turn, then has an answer made and written as JSON on another thread. Whoever stops
    /// waiting for it leaves the turn taken until it is done.
    ///
    /// # Errors
    /// [`ApiError`] of the work, or [`ApiError::Internal`] if it fails.
    pub async fn answer<T: Serialize>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<Box<RawValue>, ApiError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|error| ApiError::internal("wait to decode", error))?;
        let working = tokio::task::spawn_blocking(move || {
            let written = to_raw_value(&work()?);
            drop(turn);
            written.map_err(|error| ApiError::internal("write an answer", error))
        });
        working
            .await
            .map_err(|error| ApiError::internal("decode bodies", error))?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// The async side has one thread: if work were done on it, the test would not end.
    #[tokio::test]
    async fn a_heavy_answer_waits_for_its_turn_and_holds_nothing_else_up() {
        let decoding = Decoding {
            turns: Arc::new(Semaphore::new(2)),
        };
        let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
        let mut ends = Vec::new();
        let mut answers = tokio::task::JoinSet::new();
        for number in 0..3 {
            let (end, ended) = mpsc::channel::<()>();
            ends.push(end);
            let (decoding, started) = (decoding.clone(), started.clone());
            answers.spawn(async move {
                let work = move || {
                    started.send(number).unwrap();
                    ended.recv().unwrap();
                    Ok(number)
                };
                decoding.answer(work).await.unwrap()
            });
        }
        let first = starts.recv().await.unwrap();
        let second = starts.recv().await.unwrap();
        assert_eq!(decoding.turns.available_permits(), 0);
        assert!(starts.try_recv().is_err());
        assert!(answers.try_join_next().is_none());

        ends[first].send(()).unwrap();
        let third = starts.recv().await.unwrap();
        for number in [second, third] {
            ends[number].send(()).unwrap();
        }
        let mut told: Vec<_> = answers.join_all().await;
        told.sort_by_key(|json| json.get().to_owned());
        assert_eq!(
            told.iter().map(|json| json.get()).collect::<String>(),
            "012"
        );
        assert_eq!(decoding.turns.available_permits(), 2);
    }
}

//! Answers that are made of bodies. Bodies take memory from when they are read, and decoding them takes
//! the processor for long: so few are read at a time, fewer are decoded at a time, and that on threads of
//! its own. A heavy page waits for other heavy pages, and nothing else waits for it.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::OwnedSemaphorePermit;

use super::turns::Turns;
use crate::http::error::ApiError;

/// Answers whose bodies are in memory at the same time: each may have 16 MiB of them.
const PLACES: usize = 8;
/// Answers that are made of bodies at the same time, whatever the number of cores.
const MOST_TURNS: usize = 4;

/// The places and turns that are left. Clones share them.
#[derive(Debug, Clone)]
pub struct Decoding {
    places: Turns,
    turns: Turns,
}

/// Leave to read the bodies of one answer. Those who hold none wait without having read any.
#[derive(Debug)]
pub struct Place {
    turns: Turns,
    held: Option<OwnedSemaphorePermit>,
}

impl Default for Decoding {
    fn default() -> Self {
        Self::new(Turns::of_cores(MOST_TURNS))
    }
}

impl Decoding {
    fn new(turns: Turns) -> Self {
        Self {
            places: Turns::new(PLACES),
            turns,
        }
    }

    /// Waits for leave to read bodies; to be asked for before the store is.
    ///
    /// # Errors
    /// [`ApiError::Internal`], never yet seen.
    pub async fn place(&self) -> Result<Place, ApiError> {
        let held = self.places.take().await?;
        Ok(Place {
            held: Some(held),
            ..self.without_bodies()
        })
    }

    /// The same for an answer that takes no bodies, and so waits for nobody who reads some.
    #[must_use]
    pub fn without_bodies(&self) -> Place {
        Place {
            turns: self.turns.clone(),
            held: None,
        }
    }
}

impl Place {
    /// Waits for a turn, then has an answer made and written as JSON on another thread.
    ///
    /// # Errors
    /// [`ApiError`] of the work, or [`ApiError::Internal`] if it fails.
    pub async fn answer<T: Serialize>(
        self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<Box<RawValue>, ApiError> {
        let written = self.run(move || {
            to_raw_value(&work()?).map_err(|error| ApiError::internal("write an answer", error))
        });
        written.await
    }

    /// Waits for a turn, then has this done on another thread. Whoever stops waiting for it leaves place
    /// and turn taken until it is done.
    ///
    /// # Errors
    /// [`ApiError`] of the work, or [`ApiError::Internal`] if it fails.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let held = self.held;
        let working = self.turns.run(move || {
            let done = work();
            drop(held);
            done
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

    /// The async side has one thread: if work were done on it, the test would not end.
    #[tokio::test]
    async fn a_heavy_answer_waits_for_its_turn_and_holds_nothing_else_up() {
        let decoding = Decoding::new(Turns::new(2));
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
                let place = decoding.place().await.unwrap();
                place.answer(work).await.unwrap()
            });
        }
        let first = starts.recv().await.unwrap();
        let second = starts.recv().await.unwrap();
        assert_eq!(decoding.turns.left(), 0);
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
        assert_eq!(decoding.turns.left(), 2);
    }

    #[tokio::test]
    async fn few_read_bodies_at_a_time_and_others_do_not_wait_for_them() {
        let decoding = Decoding::default();
        let mut places = Vec::new();
        for _ in 0..PLACES {
            places.push(decoding.place().await.unwrap());
        }
        let mut next = pin!(decoding.place());
        let mut polling = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut polling).is_pending());
        let light = decoding.without_bodies().answer(|| Ok(1)).await.unwrap();
        assert_eq!(light.get(), "1");
        let failed = places
            .pop()
            .unwrap()
            .run(|| Err::<(), _>(ApiError::NotFound));
        assert!(failed.await.is_err());
        assert!(next.as_mut().poll(&mut polling).is_ready());
    }
}

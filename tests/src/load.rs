//! Constant load: many clients of Envoy that send one request after the other until they are told
//! to stop, or Envoy takes no more connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::traffic::{Call, Traffic};
use crate::upstream::echo;
use crate::wait;

/// What each client waits between two requests: the machine has other things to do.
const PAUSE: Duration = Duration::from_millis(20);

/// Running clients; they end when this is dropped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Outcome>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    answered: AtomicU64,
}

/// What became of the requests of all clients.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Paths of the requests that were answered as they should be. No two are alike.
    pub answered: Vec<String>,
    /// What went wrong with the others. A connection that Envoy did not take is nothing wrong: no
    /// request was sent on it.
    pub failed: Vec<String>,
}

impl Load {
    /// Starts so many clients. Their requests are the user alice's, below `/api/load/`.
    #[must_use]
    pub fn start(traffic: &Traffic, clients: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let client = |number| tokio::spawn(run(traffic.clone(), number, Arc::clone(&shared)));
        let clients = (0..clients).map(client).collect();
        Self { shared, clients }
    }

    /// Waits until so many more requests have been answered.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] with how many were.
    pub async fn go_on_for(&self, requests: u64, limit: Duration) -> Result<(), HarnessError> {
        let answered = || self.shared.answered.load(Ordering::Relaxed);
        let goal = answered() + requests;
        wait::until(&format!("{goal} answers"), limit, async || {
            let now = answered();
            (now >= goal)
                .then_some(())
                .ok_or_else(|| format!("{now} answers"))
        })
        .await
    }

    /// Lets every client finish its request.
    pub async fn stop(mut self) -> Outcome {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.join().await
    }

    async fn join(&mut self) -> Outcome {
        let mut all = Outcome::default();
        for client in std::mem::take(&mut self.clients) {
            match client.await {
                Ok(outcome) => {
                    all.answered.extend(outcome.answered);
                    all.failed.extend(outcome.failed);
                }
                Err(error) => all.failed.push(error.to_string()),
            }
        }
        all
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for client in &self.clients {
            client.abort();
        }
    }
}

async fn run(traffic: Traffic, client: usize, shared: Arc<Shared>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut number = 0;
    while !shared.stopping.load(Ordering::Relaxed) {
        let (path, body) = (
            format!("/api/load/{client}/{number}"),
            json!({"client": client, "number": number}),
        );
        number += 1;
        match traffic.send(&Call::json("alice", &path, &body)).await {
            Ok(reply) if reply.status == 200 && reply.body == echo(body.to_string().as_bytes()) => {
                outcome.answered.push(path);
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(reply) => outcome.failed.push(format!("{path}: {}", reply.status)),
            Err(error) => outcome.failed.push(error.to_string()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    outcome
}

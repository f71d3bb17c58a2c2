//! Constant load: many clients of Envoy that send one request after the other until they are told
//! to stop, or Envoy takes no more connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::traffic::{Call, Reply, Traffic};
use crate::upstream::echo;
use crate::wait;

/// What each client waits between two requests: the machine has other things to do.
const PAUSE: Duration = Duration::from_millis(20);

/// A request and the only right answer to it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request. Its path is that of no other.
    pub call: Call,
    /// The answer.
    pub reply: Reply,
}

/// What a client, of this number, does at its so manieth request.
pub type Script = fn(client: usize, number: usize) -> Exchange;

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
        Self::play(traffic, clients, PAUSE, small_json)
    }

    /// Starts so many clients that do what a script says, with a pause after each request.
    #[must_use]
    pub fn play(traffic: &Traffic, clients: usize, pause: Duration, script: Script) -> Self {
        let shared = Arc::new(Shared::default());
        let client = |number| {
            let (traffic, shared) = (traffic.clone(), Arc::clone(&shared));
            tokio::spawn(run(traffic, number, pause, script, shared))
        };
        let clients = (0..clients).map(client).collect();
        Self { shared, clients }
    }

    /// How many requests have been answered as they should be.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests have been answered.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] with how many were.
    pub async fn go_on_for(&self, requests: u64, limit: Duration) -> Result<(), HarnessError> {
        let goal = self.answered() + requests;
        wait::until(&format!("{goal} answers"), limit, async || {
            let now = self.answered();
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

fn small_json(client: usize, number: usize) -> Exchange {
    let body = json!({"client": client, "number": number});
    Exchange {
        call: Call::json("alice", &format!("/api/load/{client}/{number}"), &body),
        reply: Reply {
            status: 200,
            content_type: "application/json".to_owned(),
            body: echo(body.to_string().as_bytes()),
        },
    }
}

async fn run(
    traffic: Traffic,
    client: usize,
    pause: Duration,
    script: Script,
    shared: Arc<Shared>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut number = 0;
    while !shared.stopping.load(Ordering::Relaxed) {
        let Exchange { call, reply } = script(client, number);
        let path = call.target.split('?').next().unwrap_or_default().to_owned();
        number += 1;
        match traffic.send(&call).await {
            Ok(answer) if answer == reply => {
                outcome.answered.push(path);
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => outcome.failed.push(format!("{path}: {}", answer.status)),
            Err(error) => outcome.failed.push(error.to_string()),
        }
        tokio::time::sleep(pause).await;
    }
    outcome
}

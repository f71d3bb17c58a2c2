//! Constant load: many clients of Envoy, each of which sends one request after another until it is
//! stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::traffic::{Call, Reply, Traffic};
use crate::upstream::echo;
use crate::wait;

/// Between two requests of a client, so that the machine is not saturated.
const PAUSE: Duration = Duration::from_millis(20);

/// A request and the only right answer to it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request. No other has its path.
    pub call: Call,
    /// The answer.
    pub reply: Reply,
}

/// Returns the request with this number of the client with this number.
pub type Script = fn(client: usize, number: usize) -> Exchange;

/// Running clients; they stop when this is dropped.
#[derive(Debug)]
pub struct LoadGenerator {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<LoadOutcome>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    answered: AtomicU64,
}

/// What became of the requests of all clients.
#[derive(Debug, Default)]
pub struct LoadOutcome {
    /// Paths of the requests with the right answer. All differ.
    pub answered: Vec<String>,
    /// What went wrong with the others.
    pub failed: Vec<String>,
}

impl LoadGenerator {
    /// Starts clients. Their requests are those of the user alice, below `/api/load/`.
    #[must_use]
    pub fn start(traffic: &Traffic, clients: usize) -> Self {
        Self::start_script(traffic, clients, PAUSE, small_json)
    }

    /// Starts clients that follow a script, with a pause after each request.
    #[must_use]
    pub fn start_script(
        traffic: &Traffic,
        clients: usize,
        pause: Duration,
        script: Script,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let client = |number| {
            let (traffic, shared) = (traffic.clone(), Arc::clone(&shared));
            tokio::spawn(run(traffic, number, pause, script, shared))
        };
        let clients = (0..clients).map(client).collect();
        Self { shared, clients }
    }

    /// How many requests have been answered correctly.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until this many more requests have been answered.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] with how many were.
    pub async fn wait_for_answers(
        &self,
        requests: u64,
        limit: Duration,
    ) -> Result<(), HarnessError> {
        let goal = self.answered() + requests;
        wait::until(&format!("{goal} answers"), limit, async || {
            let now = self.answered();
            (now >= goal)
                .then_some(())
                .ok_or_else(|| format!("{now} answers"))
        })
        .await
    }

    /// Stops after every client's current request.
    pub async fn stop(mut self) -> LoadOutcome {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.join().await
    }

    async fn join(&mut self) -> LoadOutcome {
        let mut all = LoadOutcome::default();
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

impl Drop for LoadGenerator {
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
            body: echo("", body.to_string().as_bytes()),
        },
    }
}

async fn run(
    traffic: Traffic,
    client: usize,
    pause: Duration,
    script: Script,
    shared: Arc<Shared>,
) -> LoadOutcome {
    let mut outcome = LoadOutcome::default();
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

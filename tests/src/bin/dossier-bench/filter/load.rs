//! Load on an Envoy: at full speed, or at a fixed rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dossier_tests::HarnessError;
use reqwest::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::traffic::Bodies;

/// The HTTP version of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Clients of one Envoy, each with a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    each: Vec<Client>,
    url: String,
    bodies: Arc<Bodies>,
    numbers: Arc<AtomicU64>,
}

/// Concurrent requests.
pub(crate) const CLIENTS: usize = 16;
/// HTTP/2 carries several requests on one connection.
const CONNECTIONS: usize = 4;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

impl Protocol {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

impl Clients {
    pub(crate) fn new(
        envoy: SocketAddr,
        protocol: Protocol,
        bytes: usize,
        bodies: Arc<Bodies>,
    ) -> Result<Self, HarnessError> {
        let client = || {
            let builder = Client::builder()
                .no_proxy()
                .tcp_nodelay(true)
                .timeout(REQUEST_TIMEOUT);
            match protocol {
                Protocol::Http1 => builder.http1_only(),
                Protocol::Http2 => builder.http2_prior_knowledge(),
            }
            .build()
            .map_err(HarnessError::http("make a client"))
        };
        let connections = match protocol {
            Protocol::Http1 => CLIENTS,
            Protocol::Http2 => CONNECTIONS,
        };
        let clients: Vec<_> = (0..connections)
            .map(|_| client())
            .collect::<Result<_, _>>()?;
        let shared = clients.iter().cycle().take(CLIENTS).cloned().collect();
        Ok(Self {
            each: shared,
            url: format!("http://{envoy}/api/v1/ai/{bytes}"),
            bodies,
            numbers: Arc::default(),
        })
    }

    /// One request after the other on each client, for so long. Returns how many were answered.
    pub(crate) async fn send_at_full_speed(&self, time: Duration) -> Result<u64, HarnessError> {
        let end = Instant::now() + time;
        let mut clients = JoinSet::new();
        for client in self.each.clone() {
            let all = self.clone();
            clients.spawn(async move {
                let mut answered = 0;
                while Instant::now() < end {
                    all.exchange(&client).await?;
                    answered += 1;
                }
                Ok(answered)
            });
        }
        let mut answered = 0;
        while let Some(client) = clients.join_next().await {
            answered += client.map_err(|error| unexpected(&error))??;
        }
        Ok(answered)
    }

    /// So many requests a second, whether or not the ones before are answered. Returns how many
    /// microseconds each latencies from when it was due.
    pub(crate) async fn send_at_rate(
        &self,
        rate: f64,
        time: Duration,
    ) -> Result<Vec<f64>, HarnessError> {
        let (sender, due) = mpsc::unbounded_channel::<Instant>();
        let pacing = std::thread::spawn(move || pace(&sender, rate, time));
        let due = Arc::new(tokio::sync::Mutex::new(due));
        let mut clients = JoinSet::new();
        for client in self.each.clone() {
            let (all, due) = (self.clone(), Arc::clone(&due));
            clients.spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let next = due.lock().await.recv().await;
                    let Some(at) = next else { return Ok(latencies) };
                    all.exchange(&client).await?;
                    latencies.push(at.elapsed().as_secs_f64() * 1e6);
                }
            });
        }
        let mut latencies = Vec::new();
        while let Some(client) = clients.join_next().await {
            latencies.extend(client.map_err(|error| unexpected(&error))??);
        }
        pacing
            .join()
            .map_err(|_| unexpected(&"the pacing thread ended early"))?;
        Ok(latencies)
    }

    async fn exchange(&self, client: &Client) -> Result<(), HarnessError> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let body = self.bodies.get(number).to_vec();
        let doing = "send a request through Envoy";
        let answer = client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("x-user-id", format!("user-{}", number % 64))
            .header("user-agent", "dossier-bench")
            .body(body)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(HarnessError::http(doing))?;
        answer.bytes().await.map_err(HarnessError::http(doing))?;
        Ok(())
    }
}

/// Says when each request is due. A thread of its own: the runtime's timers are a millisecond coarse.
fn pace(due: &mpsc::UnboundedSender<Instant>, rate: f64, time: Duration) {
    let (start, mut number) = (Instant::now(), 0_u32);
    loop {
        let offset = Duration::from_secs_f64(f64::from(number) / rate);
        if offset > time {
            return;
        }
        let at = start + offset;
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        if due.send(at).is_err() {
            return;
        }
        number += 1;
    }
}

fn unexpected(answer: &impl ToString) -> HarnessError {
    HarnessError::Unexpected {
        doing: "put load on Envoy".to_owned(),
        answer: answer.to_string(),
    }
}

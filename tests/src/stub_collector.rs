//! Takes batches in the collector's place and keeps them as they were sent, for tests of bytes and
//! times that no query shows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use dossier_wire::compression::inflate;
use dossier_wire::frame::{FrameKind, MAX_BATCH_BYTES};
use dossier_wire::{Batch, INGEST_PATH};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::listener::listen_on_free_port;

/// The running service; it ends when this is dropped.
#[derive(Debug)]
pub struct StubCollector {
    /// Where it listens.
    pub address: SocketAddr,
    received: watch::Receiver<Received>,
    server: JoinHandle<()>,
}

/// Everything that has arrived.
#[derive(Debug, Default)]
struct Received {
    halves: Vec<ReceivedHalf>,
    /// Uncompressed.
    batches: Vec<Vec<u8>>,
}

/// One half of an exchange as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedHalf {
    /// The record's JSON, in the wire format's names.
    pub record: Value,
    /// The recorded part of the body.
    pub body: Vec<u8>,
}

impl ReceivedHalf {
    /// A text field of the record; empty if there is none of this name.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.record
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number field of the record; 0 if there is none of this name.
    #[must_use]
    pub fn number(&self, field: &str) -> u64 {
        self.record
            .get(field)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }
}

impl StubCollector {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start() -> Result<Self, HarnessError> {
        let (address, listener) = listen_on_free_port("listen as a stub collector").await?;
        let (sender, received) = watch::channel(Received::default());
        let service = Router::new()
            .route(INGEST_PATH, post(receive_batch))
            .with_state(Arc::new(sender));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self {
            address,
            received,
            server,
        })
    }

    /// Waits until at least `count` halves with this path have arrived, and returns them.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] with what has arrived instead.
    pub async fn halves(
        &self,
        path: &str,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<ReceivedHalf>, HarnessError> {
        let what = format!("{count} halves of {path}");
        self.wait_for_halves(&what, count, limit, |half| half.text("path") == path)
            .await
    }

    /// Waits until at least `count` halves match, and returns them.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] with what has arrived instead.
    pub async fn wait_for_halves(
        &self,
        what: &str,
        count: usize,
        limit: Duration,
        matches: impl Fn(&ReceivedHalf) -> bool,
    ) -> Result<Vec<ReceivedHalf>, HarnessError> {
        let matching = |half: &&ReceivedHalf| matches(half);
        let mut received = self.received.clone();
        let arrived =
            received.wait_for(|received| received.halves.iter().filter(matching).count() >= count);
        let last = match tokio::time::timeout(limit, arrived).await {
            Ok(Ok(received)) => {
                return Ok(received.halves.iter().filter(matching).cloned().collect());
            }
            Ok(Err(_)) => "the stub collector has ended".to_owned(),
            Err(_) => {
                let received = self.received.borrow();
                let paths: Vec<_> = received
                    .halves
                    .iter()
                    .map(|half| half.text("path"))
                    .collect();
                format!("halves of {paths:?}")
            }
        };
        Err(HarnessError::TimedOut {
            what: what.to_owned(),
            limit,
            last,
        })
    }

    /// All halves that have arrived.
    #[must_use]
    pub fn all_halves(&self) -> Vec<ReceivedHalf> {
        self.received.borrow().halves.clone()
    }

    /// The batches that have arrived, uncompressed.
    #[must_use]
    pub fn batches(&self) -> Vec<Vec<u8>> {
        self.received.borrow().batches.clone()
    }
}

impl Drop for StubCollector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive_batch(
    State(stub_collector): State<Arc<watch::Sender<Received>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let raw = if headers.contains_key("content-encoding") {
        inflate(&body, MAX_BATCH_BYTES).ok()
    } else {
        Some(body.to_vec())
    };
    let read = raw.and_then(|raw| Some((parse_halves(&raw)?, raw)));
    let Some((halves, batch)) = read else {
        return StatusCode::BAD_REQUEST;
    };
    stub_collector.send_modify(|received| {
        received.halves.extend(halves);
        received.batches.push(batch);
    });
    StatusCode::OK
}

/// None if the batch or a record in it is invalid.
fn parse_halves(raw: &[u8]) -> Option<Vec<ReceivedHalf>> {
    let batch = Batch::parse(raw).ok()?;
    let records = batch
        .frames()
        .iter()
        .filter(|frame| frame.kind == FrameKind::Record);
    records
        .map(|frame| {
            frame.decode().ok()?;
            let record = serde_json::from_slice(frame.header).ok()?;
            Some(ReceivedHalf {
                record,
                body: frame.body.to_vec(),
            })
        })
        .collect()
}

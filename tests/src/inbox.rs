//! A collector's front door without a collector: it takes batches and keeps what is in them as it
//! was sent, for tests that look at bytes and times which no query shows.

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
use crate::listening::on_free_port;

/// The running inbox; it ends when this is dropped.
#[derive(Debug)]
pub struct Inbox {
    /// Where it listens.
    pub address: SocketAddr,
    kept: watch::Receiver<Kept>,
    server: JoinHandle<()>,
}

/// Everything that has arrived.
#[derive(Debug, Default)]
struct Kept {
    halves: Vec<Half>,
    /// Each batch as it was before it was compressed.
    batches: Vec<Vec<u8>>,
}

/// One half of an exchange as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Half {
    /// The record's JSON, in the wire format's names.
    pub record: Value,
    /// What was kept of the body.
    pub body: Vec<u8>,
}

impl Half {
    /// A text of the record; empty if it has none of that name.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.record
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number of the record; 0 if it has none of that name.
    #[must_use]
    pub fn number(&self, field: &str) -> u64 {
        self.record
            .get(field)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }
}

impl Inbox {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start() -> Result<Self, HarnessError> {
        let (address, listener) = on_free_port("listen as an inbox").await?;
        let (sender, kept) = watch::channel(Kept::default());
        let service = Router::new()
            .route(INGEST_PATH, post(take))
            .with_state(Arc::new(sender));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self {
            address,
            kept,
            server,
        })
    }

    /// Waits until at least so many halves of this path have arrived, and returns them.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] with what has arrived instead.
    pub async fn halves(
        &self,
        path: &str,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<Half>, HarnessError> {
        let what = format!("{count} halves of {path}");
        self.wait_for(&what, count, limit, |half| half.text("path") == path)
            .await
    }

    /// Waits until at least so many halves that are meant have arrived, and returns them.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] with what has arrived instead.
    pub async fn wait_for(
        &self,
        what: &str,
        count: usize,
        limit: Duration,
        is_meant: impl Fn(&Half) -> bool,
    ) -> Result<Vec<Half>, HarnessError> {
        let meant = |half: &&Half| is_meant(half);
        let mut kept = self.kept.clone();
        let arrived = kept.wait_for(|kept| kept.halves.iter().filter(meant).count() >= count);
        let last = match tokio::time::timeout(limit, arrived).await {
            Ok(Ok(kept)) => return Ok(kept.halves.iter().filter(meant).cloned().collect()),
            Ok(Err(_)) => "the inbox has ended".to_owned(),
            Err(_) => {
                let kept = self.kept.borrow();
                let paths: Vec<_> = kept.halves.iter().map(|half| half.text("path")).collect();
                format!("halves of {paths:?}")
            }
        };
        Err(HarnessError::TimedOut {
            what: what.to_owned(),
            limit,
            last,
        })
    }

    /// The halves that have arrived.
    #[must_use]
    pub fn all(&self) -> Vec<Half> {
        self.kept.borrow().halves.clone()
    }

    /// The batches that have arrived, as they were before they were compressed.
    #[must_use]
    pub fn batches(&self) -> Vec<Vec<u8>> {
        self.kept.borrow().batches.clone()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(
    State(inbox): State<Arc<watch::Sender<Kept>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let raw = if headers.contains_key("content-encoding") {
        inflate(&body, MAX_BATCH_BYTES).ok()
    } else {
        Some(body.to_vec())
    };
    let read = raw.and_then(|raw| Some((halves_of(&raw)?, raw)));
    let Some((halves, batch)) = read else {
        return StatusCode::BAD_REQUEST;
    };
    inbox.send_modify(|kept| {
        kept.halves.extend(halves);
        kept.batches.push(batch);
    });
    StatusCode::OK
}

/// None if it is no batch, or a record in it is none.
fn halves_of(raw: &[u8]) -> Option<Vec<Half>> {
    let batch = Batch::parse(raw).ok()?;
    let records = batch
        .frames()
        .iter()
        .filter(|frame| frame.kind == FrameKind::Record);
    records
        .map(|frame| {
            frame.decode().ok()?;
            let record = serde_json::from_slice(frame.header).ok()?;
            Some(Half {
                record,
                body: frame.body.to_vec(),
            })
        })
        .collect()
}

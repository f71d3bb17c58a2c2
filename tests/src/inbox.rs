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
use dossier_wire::frame::{Kind, MAX_BATCH_BYTES};
use dossier_wire::{Batch, INGEST_PATH};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::HarnessError;

/// The running inbox; it ends when this is dropped.
#[derive(Debug)]
pub struct Inbox {
    /// Where it listens.
    pub address: SocketAddr,
    kept: watch::Receiver<Vec<Half>>,
    server: JoinHandle<()>,
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
        let listening = async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listening
            .await
            .map_err(HarnessError::io("listen as an inbox"))?;
        let (sender, kept) = watch::channel(Vec::new());
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
        let of_path = |kept: &[Half]| -> Vec<Half> {
            let halves = kept.iter().filter(|half| half.text("path") == path);
            halves.cloned().collect()
        };
        let mut kept = self.kept.clone();
        let arrived = kept.wait_for(|kept| of_path(kept).len() >= count);
        let last = match tokio::time::timeout(limit, arrived).await {
            Ok(Ok(kept)) => return Ok(of_path(&kept)),
            Ok(Err(_)) => "the inbox has ended".to_owned(),
            Err(_) => {
                let kept = self.kept.borrow();
                let paths: Vec<_> = kept.iter().map(|half| half.text("path")).collect();
                format!("halves of {paths:?}")
            }
        };
        Err(HarnessError::TimedOut {
            what: format!("{count} halves of {path}"),
            limit,
            last,
        })
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(
    State(inbox): State<Arc<watch::Sender<Vec<Half>>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let raw = if headers.contains_key("content-encoding") {
        inflate(&body, MAX_BATCH_BYTES).ok()
    } else {
        Some(body.to_vec())
    };
    let Some(halves) = raw.and_then(|raw| halves_of(&raw)) else {
        return StatusCode::BAD_REQUEST;
    };
    inbox.send_modify(|kept| kept.extend(halves));
    StatusCode::OK
}

/// None if it is no batch, or a record in it is none.
fn halves_of(raw: &[u8]) -> Option<Vec<Half>> {
    let batch = Batch::parse(raw).ok()?;
    let records = batch
        .frames()
        .iter()
        .filter(|frame| frame.kind == Kind::Record);
    records
        .map(|frame| {
            frame.item().ok()?;
            let record = serde_json::from_slice(frame.header).ok()?;
            Some(Half {
                record,
                body: frame.body.to_vec(),
            })
        })
        .collect()
}

//! A receiver of OTLP over HTTP that remembers the spans that it gets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::task::AbortHandle;

use crate::HarnessError;
use crate::listener::listen_on_free_port;

/// What was received, as it came and decoded.
#[derive(Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// A receiver on a free port. It ends when it is dropped.
#[derive(Debug)]
pub struct OtlpReceiver {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    serving: AbortHandle,
}

impl OtlpReceiver {
    /// Starts a receiver.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if there is no port.
    pub async fn start() -> Result<Self, HarnessError> {
        let (address, listener) = listen_on_free_port("start the OTLP receiver").await?;
        let received = Arc::new(Mutex::new(Received::default()));
        let service = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(Arc::clone(&received));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self {
            address,
            received,
            serving: serving.abort_handle(),
        })
    }

    /// The base URL that exporters need.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans that came.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.received).spans.clone()
    }

    /// Whether these bytes are anywhere in what came.
    #[must_use]
    pub fn contains(&self, bytes: &[u8]) -> bool {
        lock(&self.received)
            .bytes
            .windows(bytes.len())
            .any(|window| window == bytes)
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn receive(State(received): State<Arc<Mutex<Received>>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body.clone()) else {
        return StatusCode::BAD_REQUEST;
    };
    let spans = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans);
    let mut received = lock(&received);
    received.bytes.extend_from_slice(&body);
    received.spans.extend(spans);
    StatusCode::OK
}

fn lock(received: &Mutex<Received>) -> std::sync::MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

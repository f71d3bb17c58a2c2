//! The service behind Envoy, and a stub collector. Both do as little as possible: they share the machine
//! with the measured Envoy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use dossier_tests::HarnessError;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::traffic::Bodies;

/// The running servers; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) service: SocketAddr,
    pub(crate) collector: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

const MAX_REQUEST_BYTES: usize = 8 << 20;

impl Servers {
    /// Starts them; the service answers with these bodies, one after the other.
    pub(crate) async fn start(answers: Vec<(usize, Arc<Bodies>)>) -> Result<Self, HarnessError> {
        let service = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
            .with_state(Arc::new((answers, AtomicU64::new(0))));
        let collector = Router::new()
            .fallback(async |body: Bytes| drop(body))
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
        let (service, first) = serve(service).await?;
        let (collector, second) = serve(collector).await?;
        Ok(Self {
            service,
            collector,
            tasks: [first, second],
        })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

type Answers = (Vec<(usize, Arc<Bodies>)>, AtomicU64);

/// A body as large as the request's, whose size is in the path.
async fn answer(
    State(answers): State<Arc<Answers>>,
    uri: axum::http::Uri,
    _body: Bytes,
) -> Response {
    let (answers, counter) = &*answers;
    let size = uri
        .path()
        .rsplit('/')
        .next()
        .and_then(|size| size.parse().ok())
        .unwrap_or(0_usize);
    let number = counter.fetch_add(1, Ordering::Relaxed);
    let bodies = answers.iter().find(|(bytes, _)| *bytes == size);
    let body = bodies
        .map(|(_, bodies)| bodies.get(number).to_vec())
        .unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

async fn serve(router: Router) -> Result<(SocketAddr, JoinHandle<()>), HarnessError> {
    let listening = async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok((listener.local_addr()?, listener))
    };
    let (address, listener) = listening
        .await
        .map_err(HarnessError::io("listen as a service to measure with"))?;
    let listener = listener.tap_io(|connection| {
        // Else small writes wait for each other.
        let _ = connection.set_nodelay(true);
    });
    let task = tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    Ok((address, task))
}

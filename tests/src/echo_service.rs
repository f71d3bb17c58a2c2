//! A service that echoes requests: the body byte for byte, its type and encoding, the `set-cookie`
//! that the client sends, and every header whose name begins with `x-`. One request then tests what is
//! recorded of both halves.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderMap;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::listener::listen_on_free_port;

const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;
const ECHOED_HEADERS: [&str; 3] = ["content-type", "content-encoding", "set-cookie"];

/// The running service; it ends when this is dropped.
#[derive(Debug)]
pub struct EchoService {
    /// Where it listens.
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

impl EchoService {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start() -> Result<Self, HarnessError> {
        let (address, listener) = listen_on_free_port("listen as the echo service").await?;
        let service = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { address, server })
    }
}

impl Drop for EchoService {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(headers: HeaderMap, body: Bytes) -> (HeaderMap, Bytes) {
    let is_echoed = |name: &str| ECHOED_HEADERS.contains(&name) || name.starts_with("x-");
    let mut echoed = HeaderMap::new();
    for (name, value) in &headers {
        if is_echoed(name.as_str()) {
            echoed.append(name, value.clone());
        }
    }
    (echoed, body)
}

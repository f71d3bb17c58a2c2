//! A service that answers with what it got: the body byte for byte, its type and encoding, the
//! cookies that the client asks to be set, and every header whose name begins with `x-`. So one
//! request tries what is recorded of both halves.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderMap;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::listening::on_free_port;

const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;
const RETURNED: [&str; 3] = ["content-type", "content-encoding", "set-cookie"];

/// The running service; it ends when this is dropped.
#[derive(Debug)]
pub struct Mirror {
    /// Where it listens.
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

impl Mirror {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start() -> Result<Self, HarnessError> {
        let (address, listener) = on_free_port("listen as a mirror").await?;
        let service = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { address, server })
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(headers: HeaderMap, body: Bytes) -> (HeaderMap, Bytes) {
    let is_returned = |name: &str| RETURNED.contains(&name) || name.starts_with("x-");
    let mut returned = HeaderMap::new();
    for (name, value) in &headers {
        if is_returned(name.as_str()) {
            returned.append(name, value.clone());
        }
    }
    (returned, body)
}

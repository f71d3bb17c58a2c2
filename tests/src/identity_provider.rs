//! Identity providers: one publishes a fixed key, with a token signed by it; the other publishes whatever
//! keys a test sets, and counts the requests for them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::listener::listen_on_free_port;

/// As in `envoy/full.yaml`.
const JWKS_PATH: &str = "/keys";
/// The signing key as a key set. Nothing else uses it, so it need not be secret.
pub const JWKS: &str = r#"{"keys": [{"kty": "oct", "alg": "HS256", "kid": "1", "k": "dGhlIHRlc3RzJyBvd24ga2V5LCBrbm93biB0byBhbGw"}]}"#;

/// Signed with that key, for the subject alice, the issuer and the audience of `envoy/full.yaml`;
/// valid until 2100.
pub const ALICE_TOKEN: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEiLCJ0eXAiOiJKV1QifQ.",
    "eyJpc3MiOiJodHRwczovL2lkZW50aXR5LmV4YW1wbGUuY29tIiwiYXVkIjoiZXhhbXBsZS1hcGkiLCJzdWIiOiJh",
    "bGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.",
    "8HJnySIpbr6ojI0lmni3JD5iQcpOTtdawscf6lLvCgA",
);

/// Publishes [`JWKS`] until it is dropped.
#[derive(Debug)]
pub struct IdentityProvider {
    /// Where it listens.
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

impl IdentityProvider {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start() -> Result<Self, HarnessError> {
        let (address, listener) = listen_on_free_port("listen as an identity provider").await?;
        let service = Router::new().route(JWKS_PATH, get(|| async { JWKS }));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { address, server })
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Publishes a key set that a test can change, until it is dropped.
#[derive(Debug)]
pub struct KeyServer {
    address: SocketAddr,
    published: Arc<Published>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Published {
    document: Mutex<String>,
    requests: AtomicUsize,
}

impl KeyServer {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start(document: String) -> Result<Self, HarnessError> {
        let (address, listener) = listen_on_free_port("listen as a key server").await?;
        let published = Arc::new(Published {
            document: Mutex::new(document),
            requests: AtomicUsize::new(0),
        });
        let service = Router::new()
            .route(JWKS_PATH, get(serve_keys))
            .with_state(Arc::clone(&published));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self {
            address,
            published,
            server,
        })
    }

    /// Where the key set is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{JWKS_PATH}", self.address)
    }

    /// Replaces the key set.
    pub fn publish(&self, document: String) {
        let published = self.published.document.lock();
        *published.unwrap_or_else(PoisonError::into_inner) = document;
    }

    /// How often the key set was requested.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.published.requests.load(Ordering::Relaxed)
    }

    /// Stops listening, and returns once the port is closed.
    pub async fn stop(mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve_keys(State(published): State<Arc<Published>>) -> String {
    published.requests.fetch_add(1, Ordering::Relaxed);
    let document = published.document.lock();
    document.unwrap_or_else(PoisonError::into_inner).clone()
}

//! Identity providers: one publishes the key that signs tokens, and there is one token to be had; another
//! publishes whatever keys a test wants, and counts who asks.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::listening::on_free_port;

/// The path of the keys in `envoy/full.yaml`.
const PATH: &str = "/keys";
/// The key that signs, as a key set. Nobody else uses it, so it need not be secret.
pub const KEYS: &str = r#"{"keys": [{"kty": "oct", "alg": "HS256", "kid": "1", "k": "dGhlIHRlc3RzJyBvd24ga2V5LCBrbm93biB0byBhbGw"}]}"#;

/// Signed with that key, for the subject alice, the issuer and the audience of `envoy/full.yaml`;
/// valid until 2100.
pub const TOKEN_OF_ALICE: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEiLCJ0eXAiOiJKV1QifQ.",
    "eyJpc3MiOiJodHRwczovL2lkZW50aXR5LmV4YW1wbGUuY29tIiwiYXVkIjoiZXhhbXBsZS1hcGkiLCJzdWIiOiJh",
    "bGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.",
    "8HJnySIpbr6ojI0lmni3JD5iQcpOTtdawscf6lLvCgA",
);

/// The running provider; it ends when this is dropped.
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
        let (address, listener) = on_free_port("listen as an identity provider").await?;
        let service = Router::new().route(PATH, get(|| async { KEYS }));
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

/// Publishes a set of keys that a test changes; it ends when this is dropped.
#[derive(Debug)]
pub struct KeyServer {
    address: SocketAddr,
    published: Arc<Published>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Published {
    document: Mutex<String>,
    asked: AtomicUsize,
}

impl KeyServer {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start(document: String) -> Result<Self, HarnessError> {
        let (address, listener) = on_free_port("listen as a server of keys").await?;
        let published = Arc::new(Published {
            document: Mutex::new(document),
            asked: AtomicUsize::new(0),
        });
        let service = Router::new()
            .route(PATH, get(keys))
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

    /// Where the keys are.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Publishes other keys.
    pub fn publish(&self, document: String) {
        let published = self.published.document.lock();
        *published.unwrap_or_else(PoisonError::into_inner) = document;
    }

    /// How often the keys were asked for.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.published.asked.load(Ordering::Relaxed)
    }

    /// Goes away; returns when nobody listens any more.
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

async fn keys(State(published): State<Arc<Published>>) -> String {
    published.asked.fetch_add(1, Ordering::Relaxed);
    let document = published.document.lock();
    document.unwrap_or_else(PoisonError::into_inner).clone()
}

//! An identity provider: it publishes the key that signs tokens, and there is one token to be had.

use std::net::SocketAddr;

use axum::Router;
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

//! Marks requests from clients that have presented a certificate in the TLS handshake.

use axum::http::request::Parts;

/// An extension of requests whose client has presented a certificate that a configured authority signed.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertificate;

impl ClientCertificate {
    pub(super) fn is_present(parts: &Parts) -> bool {
        parts.extensions.get::<Self>().is_some()
    }
}

//! Requests that came over a connection whose client has shown a certificate.

use axum::http::request::Parts;

/// Marks a request: its client has shown a certificate that an authority of the settings has signed.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertificate;

impl ClientCertificate {
    pub(super) fn came_with(parts: &Parts) -> bool {
        parts.extensions.get::<Self>().is_some()
    }
}

//! Metrics of TLS handshakes.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are label values")]
pub enum HandshakeOutcome {
    /// It succeeded.
    done,
    /// The client disconnected.
    closed_early,
    /// It took too long.
    timed_out,
    /// The client's certificate is not accepted, or is missing where one is required.
    certificate_refused,
    /// The client does not accept the collector's certificate.
    refused_by_client,
    /// No version, cipher or protocol that both support.
    nothing_in_common,
    /// The client sent no TLS, or malformed TLS.
    malformed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: HandshakeOutcome,
}

/// Handshakes by outcome.
#[derive(Debug, Default)]
pub struct TlsMetrics {
    handshakes: Family<OutcomeLabel, Counter>,
}

impl TlsMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "tls_handshakes",
            "TLS handshakes with clients, by how they ended",
            self.handshakes.clone(),
        );
    }

    /// Counts a handshake.
    pub fn count_handshake(&self, outcome: HandshakeOutcome) {
        self.handshakes
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
    }
}

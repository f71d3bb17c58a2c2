//! How TLS connections begin.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are label values")]
pub enum HandshakeOutcome {
    /// There is a connection.
    done,
    /// The client left, or was cut off.
    closed_early,
    /// It took too long.
    timed_out,
    /// The client's certificate is not taken, or there is none where one is needed.
    certificate_refused,
    /// The client does not take the collector's certificate.
    refused_by_client,
    /// No version, cipher or protocol that both know.
    nothing_in_common,
    /// What came is no TLS, or broken.
    malformed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: HandshakeOutcome,
}

/// Counts of handshakes.
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
    pub fn handshake(&self, outcome: HandshakeOutcome) {
        self.handshakes
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
    }
}

//! Metrics of reloading: whether what is in force is what the files hold.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is read from files, and read again when they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are label values")]
pub enum ReloadTarget {
    /// Certificate, key, and authorities of clients.
    tls,
    /// The URL and password of the database.
    database,
    /// The secret that verifies tokens.
    jwt_secret,
    /// The public keys that verify tokens, if they are in a file.
    jwks,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    what: ReloadTarget,
}

/// Reloads by target.
#[derive(Debug, Default)]
pub struct ReloadMetrics {
    done: Family<Label, Counter>,
    failed: Family<Label, Counter>,
    outdated: Family<Label, Gauge>,
}

impl ReloadMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "reloads",
            "Times at which changed files took effect",
            self.done.clone(),
        );
        registry.register(
            "reload_failures",
            "Times at which changed files could not be used",
            self.failed.clone(),
        );
        registry.register(
            "reload_outdated",
            "1 while what is in force is older than the files, which cannot be used",
            self.outdated.clone(),
        );
    }

    /// Changed files took effect.
    pub fn record_success(&self, what: ReloadTarget) {
        self.done.get_or_create(&Label { what }).inc();
        self.set_current(what);
    }

    /// What is in force is what the files hold.
    pub fn set_current(&self, what: ReloadTarget) {
        self.outdated.get_or_create(&Label { what }).set(0);
    }

    /// Changed files could not be used.
    pub fn record_failure(&self, what: ReloadTarget) {
        self.failed.get_or_create(&Label { what }).inc();
        self.outdated.get_or_create(&Label { what }).set(1);
    }
}

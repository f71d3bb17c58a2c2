//! What can be wrong with a configuration. Tokens are never shown.

use dossier_capture::config::{IdleReason, Problems};

/// Whether a finding makes the check fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    Warning,
    /// Said for those who meant something else.
    Note,
}

/// An error or a warning. `path` is its place in the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Finding {
    /// An error of the filter's own checker, which begins with the path.
    #[error("{0}")]
    Refused(String),
    /// A file without a configuration of the filter.
    #[error(
        "expected a configuration of Dossier, got none: if Envoy discovers it elsewhere, check the file that holds it"
    )]
    NoConfigurationFound,
    /// A plugin without a configuration that the filter can read.
    #[error("{path}: expected {expected}, got {found}")]
    NoConfiguration {
        path: String,
        expected: &'static str,
        found: &'static str,
    },
    /// A configuration as text that is not JSON.
    #[error(
        "{path}: expected JSON, got other text at its line {line}, column {column}: YAML can stand in a google.protobuf.Struct"
    )]
    NotJson {
        path: String,
        line: usize,
        column: usize,
    },
    /// Dossier's metadata where no filter sees it.
    #[error("{path}: Envoy shows filters the metadata of routes only: move it to the routes")]
    MetadataNotOnRoute { path: String },
    /// A cluster that the bootstrap does not have.
    #[error("{path}: expected one of static_resources.clusters, got {cluster:?}")]
    UnknownCluster { path: String, cluster: String },
    /// A cluster that the bootstrap does not have, but may get.
    #[error(
        "{path}: {cluster:?} is not one of static_resources.clusters: cds_config must bring it"
    )]
    DiscoveredCluster { path: String, cluster: String },
    /// A filter whose configuration is elsewhere.
    #[error("{path}: Envoy discovers the filter elsewhere: check the file that holds it, too")]
    DiscoveredFilter { path: String },
    /// A variable that Envoy does not pass on to the filter.
    #[error(
        "{path}: expected {name}, which collector.token names, got no variable of that name: the filter sees no others"
    )]
    HiddenVariable { path: String, name: String },
    /// A filter whose crash would fail requests.
    #[error(
        "{path}: expected {expected}, got another policy: if the filter crashes, requests are answered 503"
    )]
    FailsClosed {
        path: String,
        expected: &'static str,
    },
    /// A rule, or the own keys of a route, for which nothing is recorded.
    #[error("{path}: records nothing: {reason}")]
    Idle { path: String, reason: IdleReason },
    /// No rule, and defaults that record nothing.
    #[error(
        "{path}: no rule: nothing is recorded but on routes with own keys; a rule such as {{match: {{path: {{prefix: /api/}}}}}} records"
    )]
    NoRules { path: String },
}

impl Finding {
    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::NoRules { .. } => Severity::Note,
            Self::Idle { reason, .. } if reason.is_deliberate() => Severity::Note,
            Self::DiscoveredCluster { .. }
            | Self::DiscoveredFilter { .. }
            | Self::FailsClosed { .. }
            | Self::Idle { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// The findings of one file.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    document: Option<usize>,
    configurations: usize,
    all: Vec<(Option<usize>, Finding)>,
}

impl Findings {
    /// Further findings are about this document, counted from 1.
    pub(super) const fn begin_document(&mut self, number: usize) {
        self.document = Some(number);
    }

    /// Counts a configuration of the filter.
    pub(super) const fn count_configuration(&mut self) {
        self.configurations += 1;
    }

    /// Adds a finding about the current document.
    pub(super) fn add(&mut self, finding: Finding) {
        self.all.push((self.document, finding));
    }

    /// Adds the errors of the filter's own checker.
    pub(super) fn refuse(&mut self, problems: &Problems) {
        for line in problems.lines() {
            self.add(Finding::Refused(line.to_owned()));
        }
    }

    /// Ends the file, which should have contained a configuration of the filter.
    pub(super) fn end(&mut self) {
        if self.configurations == 0 && self.all.is_empty() {
            self.all.push((None, Finding::NoConfigurationFound));
        }
    }

    /// The number of configurations of the filter.
    pub(crate) const fn configurations(&self) -> usize {
        self.configurations
    }

    /// All findings, each with the number of its document if there are several.
    pub(crate) fn all(&self) -> &[(Option<usize>, Finding)] {
        &self.all
    }
}

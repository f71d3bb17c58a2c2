//! Envoy's configuration as files hold it: finds Dossier's parts and checks them with the filter's own code.
//!
//! - [`document`]: files of YAML or JSON.
//! - [`node`]: a value in a document and its path.
//! - [`kinds`]: what a document is, and where a configuration of the filter can be in it.
//! - [`envoy`] and [`istio`]: the two that contain one.
//! - [`clusters`]: the clusters of a bootstrap.
//! - [`plugin`]: one configuration, and what it refers to.
//! - [`finding`]: what can be wrong.

mod clusters;
mod document;
mod envoy;
mod finding;
mod istio;
mod kinds;
mod node;
mod plugin;

use std::path::Path;

use self::document::ReadError;
pub(crate) use self::finding::{Findings, Severity};

/// Checks all documents of a file, or of standard input for `-`.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn check_file(file: &Path) -> Result<Findings, ReadError> {
    let documents = document::read(file)?;
    let mut findings = Findings::default();
    for (index, document) in documents.iter().enumerate() {
        if documents.len() > 1 {
            findings.begin_document(index + 1);
        }
        kinds::check(document, &mut findings);
    }
    findings.end();
    Ok(findings)
}

#[cfg(test)]
mod tests;

//! `dossier validate`: checks the filter's configuration before Envoy does, with the filter's own
//! code.
//!
//! - [`document`]: files of YAML or JSON.
//! - [`node`]: a value in a document and the way to it.
//! - [`kinds`]: what a document is, and where a configuration can stand in it.
//! - [`envoy`] and [`istio`]: the two that have one inside.
//! - [`plugin`]: one configuration, and what stands around it.
//! - [`finding`]: what can be wrong.

mod document;
mod envoy;
mod finding;
mod istio;
mod kinds;
mod node;
mod plugin;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::finding::{Findings, Severity};

/// At least one configuration is wrong.
const EXIT_ERRORS: u8 = 1;
/// At least one file could not be read.
const EXIT_UNREADABLE: u8 = 2;

/// Arguments of `dossier validate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dossier validate envoy.yaml                               before Envoy gets to see it
  kubectl get wasmplugins -A -o yaml | dossier validate -   what runs in a mesh

It finds Dossier's configuration by itself: alone in a file, in an Envoy bootstrap or a part of one
(listeners, routes, extensions), in Istio's WasmPlugin, TrafficExtension and EnvoyFilter.
All errors are printed, one a line. Warnings do not fail.

Exit codes: 0 all is well, 1 something is wrong, 2 a file cannot be read.")]
pub(super) struct Validate {
    /// YAML or JSON, of up to 16 MiB and any number of documents; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What was found in all files.
#[derive(Debug, Default)]
struct Tally {
    configurations: usize,
    errors: usize,
    warnings: usize,
    unreadable: usize,
}

impl Validate {
    /// Checks all files and tells what is wrong with them.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    pub(super) fn run(&self) -> io::Result<ExitCode> {
        let mut out = io::stdout().lock();
        let mut tally = Tally::default();
        for file in &self.files {
            check_file(file, &mut tally, &mut out)?;
        }
        writeln!(
            out,
            "{}, {}, {}, {}",
            count(self.files.len(), "file"),
            count(tally.configurations, "configuration"),
            count(tally.errors, "error"),
            count(tally.warnings, "warning")
        )?;
        Ok(tally.exit_code())
    }
}

impl Tally {
    fn exit_code(&self) -> ExitCode {
        if self.unreadable > 0 {
            ExitCode::from(EXIT_UNREADABLE)
        } else if self.errors > 0 {
            ExitCode::from(EXIT_ERRORS)
        } else {
            ExitCode::SUCCESS
        }
    }
}

fn check_file(file: &Path, tally: &mut Tally, out: &mut impl Write) -> io::Result<()> {
    let documents = match document::read(file) {
        Ok(documents) => documents,
        Err(error) => {
            tally.errors += 1;
            tally.unreadable += 1;
            eprintln!("dossier: {}: {error}", file.display());
            return Ok(());
        }
    };
    let mut found = Findings::default();
    for (index, document) in documents.iter().enumerate() {
        if documents.len() > 1 {
            found.begin_document(index + 1);
        }
        kinds::check(document, &mut found);
    }
    found.end();
    tally.configurations += found.configurations();
    for (document, finding) in found.all() {
        let kind = match finding.severity() {
            Severity::Error => {
                tally.errors += 1;
                ""
            }
            Severity::Warning => {
                tally.warnings += 1;
                "warning: "
            }
        };
        let file = file.display();
        match document {
            Some(number) => writeln!(out, "{file}, document {number}: {kind}{finding}")?,
            None => writeln!(out, "{file}: {kind}{finding}")?,
        }
    }
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests;

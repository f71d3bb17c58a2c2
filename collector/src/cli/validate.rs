//! `dossier validate`: checks the filter's configuration before Envoy does.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::envoy_config::{self, Severity};

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
All errors are printed, one a line. Warnings and notes do not fail.

Exit codes: 0 all is well, 1 something is wrong, 2 a file cannot be read.")]
pub(super) struct Validate {
    /// YAML or JSON, of up to 16 MiB and any number of documents; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Sums over all files.
#[derive(Debug, Default)]
struct Totals {
    configurations: usize,
    errors: usize,
    warnings: usize,
    unreadable: usize,
}

impl Validate {
    /// Checks all files and prints what is wrong with them.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    pub(super) fn run(&self) -> io::Result<ExitCode> {
        let mut out = io::stdout().lock();
        let mut totals = Totals::default();
        for file in &self.files {
            check_file(file, &mut totals, &mut out)?;
        }
        writeln!(
            out,
            "{}, {}, {}, {}",
            counted(self.files.len(), "file"),
            counted(totals.configurations, "configuration"),
            counted(totals.errors, "error"),
            counted(totals.warnings, "warning")
        )?;
        Ok(totals.exit_code())
    }
}

impl Totals {
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

fn check_file(file: &Path, totals: &mut Totals, out: &mut impl Write) -> io::Result<()> {
    let findings = match envoy_config::check_file(file) {
        Ok(findings) => findings,
        Err(error) => {
            totals.errors += 1;
            totals.unreadable += 1;
            eprintln!("dossier: {}: {error}", file.display());
            return Ok(());
        }
    };
    totals.configurations += findings.configurations();
    for (document, finding) in findings.all() {
        let kind = match finding.severity() {
            Severity::Error => {
                totals.errors += 1;
                ""
            }
            Severity::Warning => {
                totals.warnings += 1;
                "warning: "
            }
            Severity::Note => "note: ",
        };
        let file = file.display();
        match document {
            Some(number) => writeln!(out, "{file}, document {number}: {kind}{finding}")?,
            None => writeln!(out, "{file}: {kind}{finding}")?,
        }
    }
    Ok(())
}

fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

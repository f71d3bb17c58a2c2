//! The `dossier` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    dossier_collector::cli::run()
}

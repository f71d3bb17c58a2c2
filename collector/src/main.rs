//! The `dossier` command.

mod allocator;

use std::process::ExitCode;

fn main() -> ExitCode {
    allocator::return_large_blocks();
    dossier_collector::cli::run()
}

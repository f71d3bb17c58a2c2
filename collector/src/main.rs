//! The `dossier` command.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Says that this has been tried: where privileges are raised at a start, the other is taken away each time.
const TRIED: (&str, &str) = ("DOSSIER_ALLOCATOR", "settled");
/// From how many bytes on glibc returns memory to the system as soon as it is free.
const MMAP_THRESHOLD: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "262144");

fn main() -> ExitCode {
    settle_allocator();
    dossier_collector::cli::run()
}

/// Has large batches leave nothing behind. Left alone, glibc raises the threshold with each large block
/// that is freed, up to 32 MiB, and then keeps such blocks, in several places: the process grows to twice
/// what its batches need. It can be told otherwise at a program's start alone, by its environment. An
/// operator's own value stands.
fn settle_allocator() {
    let (name, threshold) = MMAP_THRESHOLD;
    let (tried, yes) = TRIED;
    if env::var_os(name).is_some() || env::var_os(tried).is_some() {
        return;
    }
    if let Ok(program) = env::current_exe() {
        let arguments = env::args_os().skip(1);
        // If this returns, it has failed, and all goes on as it was.
        let _ = Command::new(program)
            .args(arguments)
            .env(name, threshold)
            .env(tried, yes)
            .exec();
    }
}

//! Stops the collector's private Postgres when the collector was killed and could not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process;
use crate::wait;

/// How deep below the data folder Postgres's own folder may be.
const MAX_DEPTH: usize = 3;

/// Stops every Postgres that still runs in a folder below this one, and waits for its end.
pub fn stop_leftovers(data_folder: &Path) {
    for folder in cluster_folders(data_folder, MAX_DEPTH) {
        if let Some(pid) = running_in(&folder) {
            stop(pid);
        }
    }
}

/// Process ids of the Postgres servers that run in folders below this one.
#[must_use]
pub fn running_below(data_folder: &Path) -> Vec<i32> {
    cluster_folders(data_folder, MAX_DEPTH)
        .iter()
        .filter_map(|folder| running_in(folder))
        .collect()
}

fn cluster_folders(folder: &Path, depth: usize) -> Vec<PathBuf> {
    if folder.join("postmaster.pid").is_file() {
        return vec![folder.to_owned()];
    }
    if depth == 0 {
        return Vec::new();
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .flat_map(|entry| cluster_folders(&entry.path(), depth - 1))
        .collect()
}

/// The server's process id, if that process still is the server: ids are used again, so the process
/// must also work in that folder.
fn running_in(folder: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(folder.join("postmaster.pid")).ok()?;
    let pid: i32 = text
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 1)?;
    let works_in = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    (works_in == folder.canonicalize().ok()?).then_some(pid)
}

fn stop(pid: i32) {
    let gone = || !process::exists(pid);
    // First an immediate shutdown, which ends Postgres's own children too.
    for signal in [Signal::SIGQUIT, Signal::SIGKILL] {
        let _ = kill(Pid::from_raw(pid), signal);
        if wait::blocking_until(Duration::from_secs(5), gone) {
            return;
        }
    }
}

//! Finds and stops the private Postgres of a collector that was killed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process;
use crate::wait;

/// How deep below the data folder Postgres's own folder may be.
const MAX_DEPTH: usize = 3;

/// Stops every Postgres that runs in a folder below this one, and waits until it has ended.
pub fn stop_orphans(data_folder: &Path) {
    for folder in find_cluster_folders(data_folder, MAX_DEPTH) {
        if let Some(pid) = find_running_in(&folder) {
            stop(pid);
        }
    }
}

/// Process ids of the Postgres servers that run in folders below this one.
#[must_use]
pub fn find_running(data_folder: &Path) -> Vec<i32> {
    find_cluster_folders(data_folder, MAX_DEPTH)
        .iter()
        .filter_map(|folder| find_running_in(folder))
        .collect()
}

fn find_cluster_folders(folder: &Path, depth: usize) -> Vec<PathBuf> {
    if folder.join("postmaster.pid").is_file() {
        return vec![folder.to_owned()];
    }
    if depth == 0 {
        return Vec::new();
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .flat_map(|entry| find_cluster_folders(&entry.path(), depth - 1))
        .collect()
}

/// The server's process id. Ids are reused, so the process must also have that working directory.
fn find_running_in(folder: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(folder.join("postmaster.pid")).ok()?;
    let pid: i32 = text
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 1)?;
    let working_directory = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    (working_directory == folder.canonicalize().ok()?).then_some(pid)
}

fn stop(pid: i32) {
    let gone = || !process::exists(pid);
    // SIGQUIT is an immediate shutdown, which ends Postgres's children too.
    for signal in [Signal::SIGQUIT, Signal::SIGKILL] {
        let _ = kill(Pid::from_raw(pid), signal);
        if wait::blocking_until(Duration::from_secs(5), gone) {
            return;
        }
    }
}

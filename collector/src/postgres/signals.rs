//! Signals to the processes of Postgres.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(super) fn signal(pid: u32, signal: Signal) {
    let Ok(pid) = i32::try_from(pid) else { return };
    // If it fails, the process has exited, which is the purpose.
    let _ = kill(Pid::from_raw(pid), signal);
}

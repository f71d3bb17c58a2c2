//! A Postgres that an earlier collector left behind in the data folder, whole or in parts.
//!
//! A collector that was killed leaves a whole one. One whose main process was killed too leaves its
//! backends, which end by themselves when they notice; until then they hold its shared memory, and
//! Postgres refuses to start beside them.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::{Layout, POLL, PostgresError, STOP_LIMIT, signal};

/// Names the main process, too.
const SOCKET_LOCK: &str = ".s.PGSQL.5432.lock";

/// Ends what is left behind there. The lock says that no other collector uses it.
///
/// # Errors
/// [`PostgresError::InUse`] if it does not end in time.
pub(super) async fn stop(layout: &Layout) -> Result<(), PostgresError> {
    if let Some(pid) = main_process(layout).await? {
        info!(
            pid,
            "stopping the private Postgres that an earlier collector left behind"
        );
        signal(pid, Signal::SIGINT);
        // One that is killed meanwhile leaves its file behind.
        let is_seen = !standing_in(&layout.cluster()).is_empty();
        await_end(layout, || {
            !pid_file(layout).exists() || is_seen && standing_in(&layout.cluster()).is_empty()
        })
        .await?;
    }
    let backends = standing_in(&layout.cluster());
    if !backends.is_empty() {
        info!(?backends, "waiting for the last of the private Postgres");
        for pid in backends {
            signal(pid, Signal::SIGTERM);
        }
        await_end(layout, || standing_in(&layout.cluster()).is_empty()).await?;
    }
    forget_dead(layout);
    Ok(())
}

/// Removes the file that names a main process which was killed, if its number still stands for something
/// else: for another program, or, in a container whose first process reaps no orphans, for its own
/// remains. Postgres would take either for itself.
fn forget_dead(layout: &Layout) {
    let Some(pid) = named_process(layout) else {
        return;
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Its number, its name in parentheses, its state.
    let Some((name, state)) = stat.rsplit_once(')') else {
        return;
    };
    let is_dead = state.trim_start().starts_with('Z');
    if is_dead || !name.ends_with("(postgres") {
        info!(pid, "the private Postgres was killed; it recovers");
        // If this fails, Postgres says why it does not start.
        for file in [pid_file(layout), layout.socket().join(SOCKET_LOCK)] {
            let _ = fs::remove_file(file);
        }
    }
}

fn pid_file(layout: &Layout) -> PathBuf {
    layout.cluster().join("postmaster.pid")
}

/// Whom the file names.
fn named_process(layout: &Layout) -> Option<u32> {
    let text = fs::read_to_string(pid_file(layout)).ok()?;
    text.lines().next()?.trim().parse().ok()
}

async fn main_process(layout: &Layout) -> Result<Option<u32>, PostgresError> {
    let Some(pid) = named_process(layout) else {
        return Ok(None);
    };
    // The number may belong to some other process by now. One that answers on the socket is Postgres; one
    // that is just shutting down answers no more, but still stands in its folder.
    match PgConnection::connect_with(&layout.options("postgres")).await {
        Ok(connection) => connection.close().await?,
        Err(_) if standing_in(&layout.cluster()).contains(&pid) => {}
        Err(_) => return Ok(None),
    }
    Ok(Some(pid))
}

async fn await_end(layout: &Layout, ended: impl Fn() -> bool) -> Result<(), PostgresError> {
    let deadline = Instant::now() + STOP_LIMIT;
    while !ended() {
        if Instant::now() > deadline {
            return Err(PostgresError::InUse(layout.home.clone()));
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// The processes of Postgres that have this for their working folder, as all of its cluster do;
/// none, where the system does not tell.
fn standing_in(folder: &Path) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter(|process| is_of(&process.path(), folder))
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

fn is_of(process: &Path, folder: &Path) -> bool {
    let name = fs::read_to_string(process.join("comm"));
    let stands_there = || fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder);
    name.is_ok_and(|name| name.trim_end() == "postgres") && stands_there()
}

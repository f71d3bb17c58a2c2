//! A Postgres that an earlier collector left behind in the data folder, whole or in parts.
//!
//! A collector that was killed leaves a whole one. One whose main process was killed too leaves its
//! backends, which end by themselves when they notice; until then they hold its shared memory, and
//! Postgres refuses to start beside them.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::{Layout, POLL, PostgresError, STOP_LIMIT, signal};

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
        let pid_file = layout.cluster().join("postmaster.pid");
        await_end(layout, || !pid_file.exists()).await?;
    }
    let backends = standing_in(&layout.cluster());
    if backends.is_empty() {
        return Ok(());
    }
    info!(?backends, "waiting for the last of the private Postgres");
    for pid in backends {
        signal(pid, Signal::SIGTERM);
    }
    await_end(layout, || standing_in(&layout.cluster()).is_empty()).await
}

async fn main_process(layout: &Layout) -> Result<Option<u32>, PostgresError> {
    let text = fs::read_to_string(layout.cluster().join("postmaster.pid")).unwrap_or_default();
    let Some(pid) = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok())
    else {
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

//! Stops processes of Postgres that an earlier collector left in the data folder.
//!
//! A collector that was killed leaves a running Postgres. If its main process was killed too, its backends
//! exit by themselves after a while; until then they hold its shared memory, and Postgres refuses to start.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::error::PostgresError;
use super::layout::Layout;
use super::parameters::{POLL_INTERVAL, STOP_TIMEOUT};
use super::signals::signal;

/// Names the main process too.
const SOCKET_LOCK: &str = ".s.PGSQL.5432.lock";

/// Stops them. The caller holds the lock, so no other collector uses them.
///
/// # Errors
/// [`PostgresError::InUse`] if they do not exit in time.
pub(super) async fn stop(layout: &Layout) -> Result<(), PostgresError> {
    if let Some(pid) = running_main_process(layout).await? {
        info!(pid, "stopping the private Postgres of an earlier collector");
        signal(pid, Signal::SIGINT);
        // If it is killed meanwhile, it leaves its file behind.
        let is_visible = !postgres_processes_in(&layout.cluster()).is_empty();
        wait_until(layout, || {
            !pid_file(layout).exists()
                || is_visible && postgres_processes_in(&layout.cluster()).is_empty()
        })
        .await?;
    }
    let backends = postgres_processes_in(&layout.cluster());
    if !backends.is_empty() {
        info!(?backends, "waiting for backends of the private Postgres");
        for pid in backends {
            signal(pid, Signal::SIGTERM);
        }
        wait_until(layout, || {
            postgres_processes_in(&layout.cluster()).is_empty()
        })
        .await?;
    }
    remove_stale_files(layout);
    Ok(())
}

/// Removes the files that name a main process which was killed, if its process id is that of another program
/// or of a zombie, as in a container whose init reaps no orphans. Postgres would take either for itself.
fn remove_stale_files(layout: &Layout) {
    let Some(pid) = recorded_pid(layout) else {
        return;
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Its number, its name in parentheses, its state.
    let Some((name, state)) = stat.rsplit_once(')') else {
        return;
    };
    let is_zombie = state.trim_start().starts_with('Z');
    if is_zombie || !name.ends_with("(postgres") {
        info!(pid, "the private Postgres was killed; it will recover");
        // If this fails, Postgres logs why it does not start.
        for file in [pid_file(layout), layout.socket().join(SOCKET_LOCK)] {
            let _ = fs::remove_file(file);
        }
    }
}

fn pid_file(layout: &Layout) -> PathBuf {
    layout.cluster().join("postmaster.pid")
}

/// The process id in the file.
fn recorded_pid(layout: &Layout) -> Option<u32> {
    let text = fs::read_to_string(pid_file(layout)).ok()?;
    text.lines().next()?.trim().parse().ok()
}

async fn running_main_process(layout: &Layout) -> Result<Option<u32>, PostgresError> {
    let Some(pid) = recorded_pid(layout) else {
        return Ok(None);
    };
    // The id may be that of another process by now. If the socket accepts a connection, it is Postgres; if it is
    // shutting down it does not, but its working folder is still the cluster.
    match PgConnection::connect_with(&layout.options("postgres")).await {
        Ok(connection) => connection.close().await?,
        Err(_) if postgres_processes_in(&layout.cluster()).contains(&pid) => {}
        Err(_) => return Ok(None),
    }
    Ok(Some(pid))
}

async fn wait_until(layout: &Layout, condition: impl Fn() -> bool) -> Result<(), PostgresError> {
    let deadline = Instant::now() + STOP_TIMEOUT;
    while !condition() {
        if Instant::now() > deadline {
            return Err(PostgresError::InUse(layout.home.clone()));
        }
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// The processes of Postgres with this working folder, as all of a cluster have; empty without `/proc`.
fn postgres_processes_in(folder: &Path) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter(|process| is_postgres_in(&process.path(), folder))
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

fn is_postgres_in(process: &Path, folder: &Path) -> bool {
    let name = fs::read_to_string(process.join("comm"));
    let has_working_folder = || fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder);
    name.is_ok_and(|name| name.trim_end() == "postgres") && has_working_folder()
}

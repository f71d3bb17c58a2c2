//! The programs of Postgres, `initdb` and `postgres`: where they are, and how they are run.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Child;

use super::error::{PostgresError, io_error};
use super::layout::{Layout, SUPERUSER};
use super::parameters::PROGRAMS_VARIABLE;
use super::process_user::ProcessUser;
use super::startup::last_error;

const DEBIAN_ROOT: &str = "/usr/lib/postgresql";

/// The folder with Postgres's programs.
pub(super) struct Binaries(PathBuf);

impl Binaries {
    pub(super) fn find() -> Result<Self, PostgresError> {
        let named = std::env::var_os(PROGRAMS_VARIABLE).map(PathBuf::from);
        let in_path = std::env::var_os("PATH").unwrap_or_default();
        named
            .into_iter()
            .chain(debian_folders())
            .chain(std::env::split_paths(&in_path))
            .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
            // If PATH has a link, the other programs are in the folder of its target.
            .map(|folder| folder.join("postgres").canonicalize().ok().and_then(|p| p.parent().map(Path::to_owned)).unwrap_or(folder))
            .map(Self)
            .ok_or(PostgresError::NotInstalled)
    }

    pub(super) async fn initdb(
        &self,
        layout: &Layout,
        user: &ProcessUser,
    ) -> Result<(), PostgresError> {
        let mut command = user.command(&self.0.join("initdb"), layout)?;
        command.arg("--pgdata").arg(layout.cluster()).args([
            "--username",
            SUPERUSER,
            "--auth",
            "trust",
        ]);
        command.args([
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--no-instructions",
        ]);
        let status = command
            .status()
            .await
            .map_err(|source| io_error(&self.0, source))?;
        if status.success() {
            return Ok(());
        }
        // The next start would take an incomplete cluster for a complete one.
        let _ = fs::remove_dir_all(layout.cluster());
        Err(PostgresError::Failed {
            program: "initdb",
            status,
            reason: last_error(&layout.log()),
            log: layout.log(),
        })
    }

    pub(super) fn spawn_postgres(
        &self,
        layout: &Layout,
        user: &ProcessUser,
    ) -> Result<Child, PostgresError> {
        let mut command = user.command(&self.0.join("postgres"), layout)?;
        command.arg("-D").arg(layout.cluster());
        command.args([
            "-c",
            "listen_addresses=",
            "-c",
            "unix_socket_permissions=0700",
            "-c",
            "port=5432",
            // A statement on all partitions locks each of them and its indexes: a TTL of a year has 365.
            "-c",
            "max_locks_per_transaction=256",
        ]);
        command.arg("-c").arg(format!(
            "unix_socket_directories={}",
            layout.socket().display()
        ));
        command.spawn().map_err(|source| io_error(&self.0, source))
    }
}

/// The folders of Debian, one for each version, the highest first.
fn debian_folders() -> Vec<PathBuf> {
    let Ok(versions) = fs::read_dir(DEBIAN_ROOT) else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort_unstable();
    versions.into_iter().rev().map(|(_, path)| path).collect()
}

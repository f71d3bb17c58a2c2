//! A private Postgres, for when no database is configured.
//!
//! It lives in the data folder, listens on a Unix socket there and on no TCP port, and is stopped
//! with the collector. Its programs come from the system (`initdb` and `postgres` of one folder).
//! Postgres refuses to run as root: then it runs as the system's `postgres` user.

mod binaries;
mod error;
mod layout;
mod leftover;
mod parameters;
mod process_user;
mod signals;
mod startup;

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::process::Child;
use tracing::{info, warn};

use self::binaries::Binaries;
pub use self::error::PostgresError;
use self::error::io_error;
use self::layout::{DATABASE, Layout, create_dir, lock_data_dir};
pub use self::parameters::PROGRAMS_VARIABLE;
use self::parameters::{MAX_SOCKET_DIR_BYTES, STOP_TIMEOUT};
use self::process_user::ProcessUser;
use self::signals::signal;
use self::startup::{create_database, wait_until_ready};

/// A running private Postgres. Stop it with [`PrivatePostgres::stop`].
#[derive(Debug)]
pub struct PrivatePostgres {
    child: Child,
    layout: Layout,
    // Held as long as this process uses the data folder.
    _lock: File,
}

impl PrivatePostgres {
    /// Starts Postgres in `data_dir`, creating its cluster and database if there are none.
    ///
    /// A Postgres that an earlier collector left behind there is stopped first.
    ///
    /// # Errors
    /// [`PostgresError`], which says what to do.
    pub async fn start(data_dir: &Path) -> Result<Self, PostgresError> {
        create_dir(data_dir, 0o755)?;
        let data_dir = &data_dir
            .canonicalize()
            .map_err(|source| io_error(data_dir, source))?;
        let lock = lock_data_dir(data_dir)?;
        let layout = Layout::new(data_dir);
        if layout.socket().as_os_str().len() > MAX_SOCKET_DIR_BYTES {
            return Err(PostgresError::PathTooLong(layout.socket()));
        }
        let binaries = Binaries::find()?;
        let user = ProcessUser::choose()?;
        user.create_dirs(&layout)?;
        if !layout.cluster().join("PG_VERSION").exists() {
            info!(folder = %layout.home.display(), "creating a private Postgres");
            binaries.initdb(&layout, &user).await?;
        }
        leftover::stop(&layout).await?;
        let mut postgres = Self {
            child: binaries.spawn_postgres(&layout, &user)?,
            layout,
            _lock: lock,
        };
        wait_until_ready(&postgres.layout, &mut postgres.child).await?;
        create_database(&postgres.layout).await?;
        info!(folder = %postgres.layout.home.display(), "private Postgres is ready");
        Ok(postgres)
    }

    /// How to connect to it.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.layout.options(DATABASE)
    }

    /// Waits until it exits by itself, which it should not.
    pub async fn exited(&mut self) {
        match self.child.wait().await {
            Ok(status) => {
                warn!(%status, log = %self.layout.log().display(), "private Postgres exited");
            }
            Err(error) => warn!(%error, "cannot wait for private Postgres"),
        }
    }

    /// Stops it; open transactions are rolled back.
    pub async fn stop(mut self) {
        if let Some(pid) = self.child.id() {
            signal(pid, Signal::SIGINT);
        }
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait())
            .await
            .is_ok()
        {
            info!("private Postgres stopped");
        } else {
            warn!("private Postgres is still stopping; the next start waits for it");
        }
    }
}

/// Only an error path drops it without [`PrivatePostgres::stop`]. It is asked to stop, not killed, since it would
/// have to recover at the next start.
impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id() {
            signal(pid, Signal::SIGINT);
        }
    }
}

/// The folder of the private Postgres in `data_dir`, if there is one.
#[must_use]
pub fn home(data_dir: &Path) -> Option<PathBuf> {
    let home = Layout::new(data_dir).home;
    home.exists().then_some(home)
}

/// How to connect to the private Postgres of `data_dir`, if one answers there now.
pub async fn running(data_dir: &Path) -> Option<PgConnectOptions> {
    let options = Layout::new(data_dir).options(DATABASE);
    let connection = PgConnection::connect_with(&options).await.ok()?;
    connection.close().await.ok()?;
    Some(options)
}

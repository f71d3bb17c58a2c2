//! A private Postgres for those who name no database.
//!
//! It lives in the data folder, listens on a Unix socket there and on no TCP port, and is stopped
//! with the collector. Its programs come from the system (`initdb` and `postgres` of one folder).
//! Postgres refuses to run as root: then it runs as the system's `postgres` user.

mod leftover;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User, chown};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Connection, Row};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

const SUPERUSER: &str = "dossier";
const DATABASE: &str = "dossier";
/// Names the folder of the programs when they are not where they usually are.
pub const PROGRAMS_VARIABLE: &str = "DOSSIER_PG_BIN";
const DEBIAN_PROGRAMS: &str = "/usr/lib/postgresql";
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// So much of the end of Postgres's log is searched for the reason of a failed start.
const REASON_WITHIN: u64 = 4096;
const POLL: Duration = Duration::from_millis(50);
/// The kernel's bound on the path of a Unix socket, less the name that Postgres appends.
const SOCKET_FOLDER_BYTES: usize = 107 - "/.s.PGSQL.5432".len();

/// Why the private Postgres does not run.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No programs.
    #[error(
        "no Postgres programs found (initdb, postgres): install them (Debian: apt-get install postgresql), \
         or set {PROGRAMS_VARIABLE} to their folder, or name a database with --database-url"
    )]
    NotInstalled,
    /// As root, without an ordinary user to run as.
    #[error(
        "Postgres refuses to run as root and there is no user named postgres: create one, or run dossier as an ordinary user"
    )]
    NoUser,
    /// The `postgres` user cannot get to the data folder.
    #[error(
        "the user {user} cannot pass through {folder}: allow it (chmod o+x {folder}), or choose another --data-dir"
    )]
    Unreachable {
        /// Who must pass.
        user: String,
        /// The first folder that stands in the way.
        folder: PathBuf,
    },
    /// Another process has it.
    #[error("{0} is in use by another dossier: stop that one, or choose another --data-dir")]
    InUse(PathBuf),
    /// The path of the socket would be longer than the kernel allows.
    #[error("{0} is too long a path for a Unix socket: choose a --data-dir of at most {limit} bytes", limit = SOCKET_FOLDER_BYTES - "/postgres/socket".len())]
    PathTooLong(PathBuf),
    /// A file or folder could not be made or read.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed ({status}{reason}): see {log}")]
    Failed {
        /// Which.
        program: &'static str,
        /// How.
        status: ExitStatus,
        /// What it said last, if it said why; begins with a separator.
        reason: String,
        /// Where it says why.
        log: PathBuf,
    },
    /// It does not answer.
    #[error("Postgres did not answer within {limit:?}: see {log}", limit = START_LIMIT)]
    Silent {
        /// Where it may say why.
        log: PathBuf,
    },
    /// It answers, but the database could not be made.
    #[error("the private database could not be created: {0}")]
    Database(#[from] sqlx::Error),
}

/// Where everything of a private Postgres is.
#[derive(Debug, Clone)]
struct Layout {
    home: PathBuf,
}

impl Layout {
    fn new(data_dir: &Path) -> Self {
        Self {
            home: data_dir.join("postgres"),
        }
    }

    fn cluster(&self) -> PathBuf {
        self.home.join("cluster")
    }

    fn socket(&self) -> PathBuf {
        self.home.join("socket")
    }

    fn log(&self) -> PathBuf {
        self.home.join("postgres.log")
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.socket())
            // A socket has no TLS, whatever the environment asks for.
            .ssl_mode(PgSslMode::Disable)
            .username(SUPERUSER)
            .database(database)
    }
}

/// A running private Postgres. Stop it with [`PrivatePostgres::stop`].
#[derive(Debug)]
pub struct PrivatePostgres {
    child: Child,
    layout: Layout,
    // Held as long as this process owns the data folder.
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
        make_folder(data_dir, 0o755)?;
        let data_dir = &data_dir
            .canonicalize()
            .map_err(|source| io_error(data_dir, source))?;
        let lock = lock(data_dir)?;
        let layout = Layout::new(data_dir);
        if layout.socket().as_os_str().len() > SOCKET_FOLDER_BYTES {
            return Err(PostgresError::PathTooLong(layout.socket()));
        }
        let programs = Programs::find()?;
        let owner = Owner::choose()?;
        owner.prepare(&layout)?;
        if !layout.cluster().join("PG_VERSION").exists() {
            info!(folder = %layout.home.display(), "creating a private Postgres");
            programs.initdb(&layout, &owner).await?;
        }
        leftover::stop(&layout).await?;
        let mut postgres = Self {
            child: programs.postgres(&layout, &owner)?,
            layout,
            _lock: lock,
        };
        await_answer(&postgres.layout, &mut postgres.child).await?;
        create_database(&postgres.layout).await?;
        info!(folder = %postgres.layout.home.display(), "private Postgres is up");
        Ok(postgres)
    }

    /// How to connect to it.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.layout.options(DATABASE)
    }

    /// Waits until it ends by itself, which it should not.
    pub async fn ended(&mut self) {
        match self.child.wait().await {
            Ok(status) => {
                warn!(%status, log = %self.layout.log().display(), "private Postgres ended");
            }
            Err(error) => warn!(%error, "private Postgres cannot be watched"),
        }
    }

    /// Stops it: open transactions are rolled back, everything committed is safe.
    pub async fn stop(mut self) {
        if let Some(pid) = self.child.id() {
            signal(pid, Signal::SIGINT);
        }
        if tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .is_ok()
        {
            info!("private Postgres stopped");
        } else {
            warn!(
                "private Postgres is still stopping; it ends by itself, and the next start waits for it"
            );
        }
    }
}

/// Whoever drops it without stopping it has failed. It is asked to stop all the same, and not killed: one
/// that is killed has to recover.
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

/// The user that Postgres runs as.
struct Owner {
    name: String,
    uid: Uid,
    gid: Gid,
    is_me: bool,
}

impl Owner {
    fn choose() -> Result<Self, PostgresError> {
        let me = Uid::effective();
        let user = if me.is_root() {
            User::from_name("postgres")
        } else {
            User::from_uid(me)
        };
        let user = user.ok().flatten();
        match user {
            Some(user) => Ok(Self {
                name: user.name,
                uid: user.uid,
                gid: user.gid,
                is_me: user.uid == me,
            }),
            None if me.is_root() => Err(PostgresError::NoUser),
            // Containers run under numbers that no user has; Postgres itself minds only root.
            None => Ok(Self {
                name: me.to_string(),
                uid: me,
                gid: Gid::effective(),
                is_me: true,
            }),
        }
    }

    /// Makes the folders, and checks that this user can get to them.
    fn prepare(&self, layout: &Layout) -> Result<(), PostgresError> {
        if !self.is_me {
            self.check_reachable(&layout.home)?;
        }
        for folder in [&layout.home, &layout.socket()] {
            make_folder(folder, 0o700)?;
            if !self.is_me {
                chown(folder, Some(self.uid), Some(self.gid))
                    .map_err(|e| io_error(folder, e.into()))?;
            }
        }
        Ok(())
    }

    fn check_reachable(&self, folder: &Path) -> Result<(), PostgresError> {
        for ancestor in folder.ancestors().skip(1) {
            let metadata = fs::metadata(ancestor).map_err(|source| io_error(ancestor, source))?;
            let mode = metadata.permissions().mode();
            let passes = match () {
                () if metadata.uid() == self.uid.as_raw() => mode & 0o100 != 0,
                () if metadata.gid() == self.gid.as_raw() => mode & 0o010 != 0,
                () => mode & 0o001 != 0,
            };
            if !passes {
                return Err(PostgresError::Unreachable {
                    user: self.name.clone(),
                    folder: ancestor.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// A command that runs as this user, apart from the terminal's signals: Ctrl-C must reach the
    /// collector first, which then stops Postgres when it has stored what it took.
    fn command(&self, program: &Path, layout: &Layout) -> Result<Command, PostgresError> {
        let log = layout.log();
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|e| io_error(&log, e))?;
        let errors = output.try_clone().map_err(|e| io_error(&log, e))?;
        let mut command = Command::new(program);
        command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .current_dir("/")
            .process_group(0);
        command
            .env("LC_ALL", "C.UTF-8")
            .env_remove("MALLOC_MMAP_THRESHOLD_")
            .env_remove("PGDATA")
            .env_remove("PGOPTIONS");
        if !self.is_me {
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
        Ok(command)
    }
}

/// The folder with Postgres's programs.
struct Programs(PathBuf);

impl Programs {
    fn find() -> Result<Self, PostgresError> {
        let named = std::env::var_os(PROGRAMS_VARIABLE).map(PathBuf::from);
        let in_path = std::env::var_os("PATH").unwrap_or_default();
        named
            .into_iter()
            .chain(debian_programs())
            .chain(std::env::split_paths(&in_path))
            .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
            // A link in PATH leads to the folder where the other programs are.
            .map(|folder| folder.join("postgres").canonicalize().ok().and_then(|p| p.parent().map(Path::to_owned)).unwrap_or(folder))
            .map(Self)
            .ok_or(PostgresError::NotInstalled)
    }

    async fn initdb(&self, layout: &Layout, owner: &Owner) -> Result<(), PostgresError> {
        let mut command = owner.command(&self.0.join("initdb"), layout)?;
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
        // Half a cluster would be taken for a whole one at the next start.
        let _ = fs::remove_dir_all(layout.cluster());
        Err(PostgresError::Failed {
            program: "initdb",
            status,
            reason: last_reason(&layout.log()),
            log: layout.log(),
        })
    }

    fn postgres(&self, layout: &Layout, owner: &Owner) -> Result<Child, PostgresError> {
        let mut command = owner.command(&self.0.join("postgres"), layout)?;
        command.arg("-D").arg(layout.cluster());
        command.args([
            "-c",
            "listen_addresses=",
            "-c",
            "unix_socket_permissions=0700",
            "-c",
            "port=5432",
            // What touches all partitions locks each of them and its indexes: a TTL of a year has 365.
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

/// Debian keeps each version in a folder of its own; the highest first.
fn debian_programs() -> Vec<PathBuf> {
    let Ok(versions) = fs::read_dir(DEBIAN_PROGRAMS) else {
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

fn lock(data_dir: &Path) -> Result<File, PostgresError> {
    let path = data_dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| io_error(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PostgresError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_error(&path, source)),
    }
}

async fn await_answer(layout: &Layout, child: &mut Child) -> Result<(), PostgresError> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if let Ok(connection) = PgConnection::connect_with(&layout.options("postgres")).await {
            connection.close().await?;
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(PostgresError::Failed {
                program: "postgres",
                status,
                reason: last_reason(&layout.log()),
                log: layout.log(),
            });
        }
        if Instant::now() > deadline {
            return Err(PostgresError::Silent { log: layout.log() });
        }
        sleep(POLL).await;
    }
}

async fn create_database(layout: &Layout) -> Result<(), PostgresError> {
    let mut connection = PgConnection::connect_with(&layout.options("postgres")).await?;
    let exists: bool = sqlx::query("select exists (select from pg_database where datname = $1)")
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await?
        .try_get(0)?;
    if !exists {
        sqlx::query("create database dossier")
            .execute(&mut connection)
            .await?;
    }
    connection.close().await?;
    Ok(())
}

/// Postgres's own words for why it ended, from the end of its log.
fn last_reason(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(REASON_WITHIN)))?;
        let mut end = Vec::new();
        file.take(REASON_WITHIN).read_to_end(&mut end)?;
        Ok(String::from_utf8_lossy(&end).into_owned())
    };
    let end = read().unwrap_or_default();
    end.lines()
        .rev()
        .find_map(|line| line.split_once("FATAL:"))
        .map(|(_, reason)| format!("; {}", reason.trim()))
        .unwrap_or_default()
}

fn make_folder(folder: &Path, mode: u32) -> Result<(), PostgresError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
        .map_err(|source| io_error(folder, source))
}

fn signal(pid: u32, signal: Signal) {
    let Ok(pid) = i32::try_from(pid) else { return };
    // The process may have ended meanwhile, which is what the signal is for.
    let _ = kill(Pid::from_raw(pid), signal);
}

fn io_error(path: &Path, source: io::Error) -> PostgresError {
    PostgresError::Io {
        path: path.to_owned(),
        source,
    }
}

//! Stacks for tests: each in a temporary folder of its own, and a bounded number at once.

use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::bootstrap::Bootstrap;
use crate::collector::MAX_DATA_PATH;
use crate::error::HarnessError;
use crate::harness::Harness;
use crate::paths;
use crate::stack::{Backend, Stack, StackPlan};

/// Each stack is three programs, some of them with many processes.
static STACK_PERMITS: Semaphore = Semaphore::const_new(3);
const BUILD_LIMIT: Duration = Duration::from_mins(15);
/// Length of `/dossier-XXXXXX/data`, by which a data folder's path is longer than the temporary folder's.
const DATA_SUFFIX_BYTES: usize = 20;

/// Something that runs in a temporary folder; both end with the test.
#[derive(Debug)]
pub struct TestInstance<T> {
    running: T,
    folder: TestFolder,
    _permit: SemaphorePermit<'static>,
}

/// A whole stack.
pub type TestStack = TestInstance<Stack>;
/// A collector and API keys for it.
pub type TestBackend = TestInstance<Backend>;
/// Envoy between scripted clients and services.
pub type TestHarness = TestInstance<Harness>;

impl TestStack {
    /// Starts it with the shipped configuration.
    ///
    /// # Errors
    /// [`HarnessError`] if a part does not start.
    pub async fn start() -> Result<Self, HarnessError> {
        Self::start_with(|_| Ok(())).await
    }

    /// Starts it with the shipped configuration and changes to it.
    ///
    /// # Errors
    /// [`HarnessError`] if a part does not start.
    pub async fn start_with(
        change: impl FnOnce(&mut StackPlan) -> Result<(), HarnessError>,
    ) -> Result<Self, HarnessError> {
        let (permit, folder, mut plan) = prepare().await?;
        change(&mut plan)?;
        Ok(Self {
            running: Stack::start(plan).await?,
            folder,
            _permit: permit,
        })
    }
}

impl TestBackend {
    /// Starts it with the default settings.
    ///
    /// # Errors
    /// [`HarnessError`] if it does not start.
    pub async fn start() -> Result<Self, HarnessError> {
        Self::start_with(|_| Ok(())).await
    }

    /// Starts it with changes to the plan.
    ///
    /// # Errors
    /// [`HarnessError`] if it does not start.
    pub async fn start_with(
        change: impl FnOnce(&mut StackPlan) -> Result<(), HarnessError>,
    ) -> Result<Self, HarnessError> {
        let (permit, folder, mut plan) = prepare().await?;
        change(&mut plan)?;
        Ok(Self {
            running: Backend::start(&plan).await?,
            folder,
            _permit: permit,
        })
    }

    /// Starts it with these environment variables.
    ///
    /// # Errors
    /// [`HarnessError`] if it does not start.
    pub async fn start_with_env(environment: &[(&str, &str)]) -> Result<Self, HarnessError> {
        Self::start_with(|plan| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            plan.collector_environment = environment.iter().map(owned).collect();
            Ok(())
        })
        .await
    }
}

impl TestHarness {
    /// Starts it with the shipped configuration and changes to it.
    ///
    /// # Errors
    /// [`HarnessError`] if a part does not start.
    pub async fn start_with(
        change: impl FnOnce(&mut Bootstrap) -> Result<(), HarnessError>,
    ) -> Result<Self, HarnessError> {
        let permit = acquire_stack_permit().await?;
        let folder = TestFolder::create()?;
        Ok(Self {
            running: Harness::start(folder.path(), change).await?,
            folder,
            _permit: permit,
        })
    }
}

impl<T> TestInstance<T> {
    /// The folder that goes with the test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl<T> Deref for TestInstance<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.running
    }
}

impl<T> DerefMut for TestInstance<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.running
    }
}

/// A temporary folder with a short path that other users may enter: as root, Postgres runs as another
/// user.
#[derive(Debug)]
pub struct TestFolder(TempDir);

impl TestFolder {
    /// Creates it.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if it cannot be made.
    pub fn create() -> Result<Self, HarnessError> {
        let usual = std::env::temp_dir();
        let short = usual.as_os_str().len() + DATA_SUFFIX_BYTES <= MAX_DATA_PATH;
        let parent = if short { usual } else { PathBuf::from("/tmp") };
        let mut builder = tempfile::Builder::new();
        builder
            .prefix("dossier-")
            .permissions(std::fs::Permissions::from_mode(0o755));
        builder
            .tempdir_in(parent)
            .map(Self)
            .map_err(HarnessError::io("create a folder for a test"))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A failed test prints the ends of the logs, because their folder is removed.
impl Drop for TestFolder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for name in ["collector.log", "envoy.log"] {
            let text = std::fs::read(self.path().join(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<_> = text.lines().collect();
            let tail = lines
                .get(lines.len().saturating_sub(40)..)
                .unwrap_or_default()
                .join("\n");
            eprintln!("--- the end of {name} ---\n{tail}");
        }
    }
}

/// Waits until one more stack may run.
///
/// # Errors
/// [`HarnessError::Unexpected`], never in practice: the semaphore is never closed.
pub async fn acquire_stack_permit() -> Result<SemaphorePermit<'static>, HarnessError> {
    STACK_PERMITS
        .acquire()
        .await
        .map_err(|error| HarnessError::Unexpected {
            doing: "wait for a permit to run a stack".to_owned(),
            answer: error.to_string(),
        })
}

async fn prepare() -> Result<(SemaphorePermit<'static>, TestFolder, StackPlan), HarnessError> {
    let permit = acquire_stack_permit().await?;
    ensure_collector_is_built().await?;
    let folder = TestFolder::create()?;
    let plan = StackPlan::in_folder(folder.path().to_owned())?;
    Ok((permit, folder, plan))
}

/// Cargo builds only a test's own package, so the collector may be missing or out of date. One named by
/// `DOSSIER_COLLECTOR_BIN` is used as it is.
///
/// # Errors
/// [`HarnessError::CommandFailed`] with what the compiler said.
pub async fn ensure_collector_is_built() -> Result<(), HarnessError> {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    if std::env::var_os("DOSSIER_COLLECTOR_BIN").is_some() {
        return Ok(());
    }
    BUILT.get_or_try_init(build_collector).await.copied()
}

async fn build_collector() -> Result<(), HarnessError> {
    let profile_folder = paths::find_profile_folder()?;
    let profile = match profile_folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([
        "build",
        "--package",
        "dossier-collector",
        "--bin",
        "dossier",
        "--profile",
        profile,
    ]);
    command
        .arg("--target-dir")
        .arg(profile_folder.parent().unwrap_or(&profile_folder));
    command
        .current_dir(paths::find_repository()?)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let text = format!("{:?}", command.as_std());
    let output = tokio::time::timeout(BUILD_LIMIT, command.output())
        .await
        .map_err(|_| HarnessError::TimedOut {
            what: text.clone(),
            limit: BUILD_LIMIT,
            last: "still building".to_owned(),
        })?;
    let output = output.map_err(HarnessError::io(format!("run {text}")))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(HarnessError::CommandFailed {
        command: text,
        status: output.status,
        output: stderr,
    })
}

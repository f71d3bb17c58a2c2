//! The folder that keeps a stack's state from one run to the next: data, keys, logs, and the file
//! `ready` while everything answers.

use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dossier_tests::HarnessError;
use dossier_tests::collector::MAX_DATA_PATH;
use dossier_tests::keys::KeyFiles;
use dossier_tests::stack::Stack;
use nix::unistd::Uid;
use serde_json::json;

/// The folder, locked against a second stack.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    data: PathBuf,
    was_killed: bool,
    _lock: File,
}

/// The file `ready`; it is removed when this is dropped.
#[derive(Debug)]
pub struct Ready(PathBuf);

impl RunFolder {
    /// Creates the folder, or opens the existing one.
    pub fn open(path: &Path) -> Result<Self, HarnessError> {
        create_folder(path)?;
        create_folder(&path.join("logs"))?;
        let lock = lock(path)?;
        let was_killed = std::fs::remove_file(path.join("ready")).is_ok();
        let data = choose_data_folder(path)?;
        Ok(Self {
            path: path.to_owned(),
            data,
            was_killed,
            _lock: lock,
        })
    }

    /// Whether the previous stack was killed, so that its parts may still be ending.
    pub const fn was_killed(&self) -> bool {
        self.was_killed
    }

    /// Where the collector keeps its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The data's folder, if it cannot be in this one.
    pub fn data_elsewhere(&self) -> Option<&Path> {
        (!self.data.starts_with(&self.path)).then_some(&self.data)
    }

    /// Where logs go.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Where keys are kept.
    pub fn key_files(&self) -> KeyFiles {
        KeyFiles {
            users: self.path.join("keys.json"),
            ingest: self.path.join("ingest-key.json"),
        }
    }

    /// Writes the file `ready`, with the addresses in it for programs that read it.
    pub fn write_ready_file(&self, stack: &Stack) -> Result<Ready, HarnessError> {
        let addresses = json!({
            "envoy": stack.envoy.address,
            "envoy_admin": stack.envoy.admin,
            "collector": stack.backend.collector.address,
        });
        let (fresh, ready) = (self.path.join("ready.new"), self.path.join("ready"));
        std::fs::write(&fresh, format!("{addresses:#}\n"))
            .and_then(|()| std::fs::rename(&fresh, &ready))
            .map_err(HarnessError::io(format!("write {}", ready.display())))?;
        Ok(Ready(ready))
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Others may pass: started by root, Postgres runs as another user.
fn create_folder(path: &Path) -> Result<(), HarnessError> {
    let doing = || format!("make {}", path.display());
    std::fs::create_dir_all(path).map_err(HarnessError::io(doing()))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(HarnessError::io(doing()))
}

/// The kernel releases the lock when the process ends.
fn lock(folder: &Path) -> Result<File, HarnessError> {
    let path = folder.join("lock");
    let file =
        File::create(&path).map_err(HarnessError::io(format!("write {}", path.display())))?;
    file.try_lock().map_err(|_| HarnessError::AlreadyRunning {
        folder: folder.to_owned(),
    })?;
    Ok(file)
}

/// Inside this folder, unless Postgres could not work there.
fn choose_data_folder(path: &Path) -> Result<PathBuf, HarnessError> {
    let usual = path.join("data");
    let is_root = Uid::effective().is_root();
    let short = usual.as_os_str().len() <= MAX_DATA_PATH;
    if short && (!is_root || is_accessible_to_all(path)) {
        return Ok(usual);
    }
    let parent = if is_root { "/var/lib" } else { "/var/tmp" };
    let elsewhere = Path::new(parent).join(format!("dossier-run-{:016x}", hash_path(path)));
    create_private_folder(&elsewhere)?;
    Ok(elsewhere.join("data"))
}

fn is_accessible_to_all(path: &Path) -> bool {
    let is_searchable = |folder: &Path| folder.metadata().is_ok_and(|it| it.mode() & 0o001 != 0);
    path.canonicalize()
        .is_ok_and(|path| path.ancestors().all(is_searchable))
}

/// In a folder that all can write to, another user may have created it first.
fn create_private_folder(path: &Path) -> Result<(), HarnessError> {
    let doing = || format!("make {}", path.display());
    let made = DirBuilder::new().mode(0o711).create(path);
    let existing = path.symlink_metadata().map_err(HarnessError::io(doing()))?;
    if existing.is_dir() && existing.uid() == Uid::effective().as_raw() {
        return Ok(());
    }
    made.map_err(HarnessError::io(doing()))
}

/// FNV-1a: the same for the same folder in every build.
fn hash_path(path: &Path) -> u64 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

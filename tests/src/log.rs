//! A child's output in a file of bounded size.

use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::HarnessError;
use crate::wait;

/// A log file that reaches this size is renamed to `NAME.1`, which replaces the previous one, so a log
/// takes at most twice this.
const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;
const TAIL_LINES: usize = 30;

/// The log of one child.
#[derive(Debug)]
pub struct ProcessLog {
    path: PathBuf,
    writer: Option<JoinHandle<()>>,
}

impl ProcessLog {
    /// Empties the log file and writes into it what comes from the pipe.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if the file cannot be created.
    pub fn start(path: &Path, from: PipeReader) -> Result<Self, HarnessError> {
        let _ = std::fs::remove_file(rotated_path(path));
        let file =
            File::create(path).map_err(HarnessError::io(format!("write {}", path.display())))?;
        let to = path.to_owned();
        let writer = std::thread::spawn(move || copy_to_file(from, file, &to));
        Ok(Self {
            path: path.to_owned(),
            writer: Some(writer),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file contains now.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.path).unwrap_or_default()).into_owned()
    }

    /// The last lines.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(TAIL_LINES)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// Waits briefly until all output of an ended child is in the file.
    pub fn wait_until_complete(&mut self) {
        let Some(writer) = &self.writer else { return };
        // Bounded: a grandchild may still hold the other end of the pipe.
        if wait::blocking_until(Duration::from_secs(2), || writer.is_finished()) {
            self.writer = None;
        }
    }
}

fn rotated_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// Keeps reading when the file cannot be written: a child must never block on a full pipe.
fn copy_to_file(mut from: PipeReader, mut file: File, path: &Path) {
    let mut chunk = vec![0; 16 * 1024];
    let mut written = 0;
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        let _ = file.write_all(chunk.get(..length).unwrap_or_default());
        written += length;
        if written >= MAX_FILE_BYTES {
            let _ = std::fs::rename(path, rotated_path(path));
            let Ok(fresh) = File::create(path) else {
                continue;
            };
            file = fresh;
            written = 0;
        }
    }
}

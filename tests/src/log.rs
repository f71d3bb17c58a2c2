//! A child's output, kept in a file that never grows past a bound.

use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::HarnessError;
use crate::wait;

/// When a log file reaches this size it is set aside as `NAME.1`, in place of the one before it, so
/// that a log takes at most twice this.
const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;
const TAIL_LINES: usize = 30;

/// The log of one child.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    pump: Option<JoinHandle<()>>,
}

impl Log {
    /// Empties the log file and writes into it whatever comes out of the pipe.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if the file cannot be made.
    pub fn start(path: &Path, from: PipeReader) -> Result<Self, HarnessError> {
        let _ = std::fs::remove_file(set_aside(path));
        let file =
            File::create(path).map_err(HarnessError::io(format!("write {}", path.display())))?;
        let to = path.to_owned();
        let pump = std::thread::spawn(move || pump(from, file, &to));
        Ok(Self {
            path: path.to_owned(),
            pump: Some(pump),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds now.
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

    /// Waits a little until everything that an ended child has said is in the file.
    pub fn settle(&mut self) {
        let Some(pump) = &self.pump else { return };
        // Not forever: a grandchild may still hold the other end of the pipe.
        if wait::blocking_until(Duration::from_secs(2), || pump.is_finished()) {
            self.pump = None;
        }
    }
}

fn set_aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// Reads to the end even when the file can no longer be written: a child must never block on a full
/// pipe.
fn pump(mut from: PipeReader, mut file: File, path: &Path) {
    let mut chunk = vec![0; 16 * 1024];
    let mut written = 0;
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        let _ = file.write_all(chunk.get(..length).unwrap_or_default());
        written += length;
        if written >= MAX_FILE_BYTES {
            let _ = std::fs::rename(path, set_aside(path));
            let Ok(fresh) = File::create(path) else {
                continue;
            };
            file = fresh;
            written = 0;
        }
    }
}

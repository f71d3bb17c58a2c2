//! Where things are: the repository, the built programs, Envoy, the filter.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::HarnessError;

/// The repository's folder.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The shipped Envoy configuration that `make run` uses.
#[must_use]
pub fn example_bootstrap() -> PathBuf {
    envoy_file("example.yaml")
}

/// One of the shipped Envoy configurations.
#[must_use]
pub fn envoy_file(name: &str) -> PathBuf {
    repository().join("envoy").join(name)
}

/// The compiled filter: `DOSSIER_FILTER_WASM`, or where `make` puts it.
///
/// # Errors
/// [`HarnessError::Missing`] if there is none.
pub fn filter_wasm() -> Result<PathBuf, HarnessError> {
    let path = named_by("DOSSIER_FILTER_WASM")
        .unwrap_or_else(|| repository().join("target/dossier-filter.wasm"));
    existing(
        "the compiled filter",
        &path,
        "build it with `make filter`, or name one with DOSSIER_FILTER_WASM",
    )
}

/// Envoy: `ENVOY_BIN`, or the one that the tool set-up has put in place.
///
/// # Errors
/// [`HarnessError::Missing`] if there is none.
pub fn envoy() -> Result<PathBuf, HarnessError> {
    let remedy = "fetch it with `make setup`, or name one with ENVOY_BIN";
    if let Some(path) = named_by("ENVOY_BIN") {
        return existing("Envoy", &path, remedy);
    }
    let linked = repository().join(".tools/bin/envoy");
    let path = if linked.exists() {
        linked
    } else {
        from_tool_script("envoy").unwrap_or(linked)
    };
    existing("Envoy", &path, remedy)
}

/// Chromium: `CHROMIUM_BIN`, or the one that the tool set-up finds.
///
/// # Errors
/// [`HarnessError::Missing`] if there is none.
pub fn chromium() -> Result<PathBuf, HarnessError> {
    let path = named_by("CHROMIUM_BIN").or_else(|| from_tool_script("chromium"));
    let remedy = "install it with `make setup`, or name one with CHROMIUM_BIN";
    existing("Chromium", &path.unwrap_or_default(), remedy)
}

/// The collector's program: `DOSSIER_COLLECTOR_BIN`, or the one built beside the running program.
///
/// # Errors
/// [`HarnessError::Missing`] if there is none.
pub fn collector() -> Result<PathBuf, HarnessError> {
    let remedy =
        "build it with `cargo build -p dossier-collector`, or name one with DOSSIER_COLLECTOR_BIN";
    if let Some(path) = named_by("DOSSIER_COLLECTOR_BIN") {
        return existing("the collector", &path, remedy);
    }
    existing("the collector", &profile_folder()?.join("dossier"), remedy)
}

/// The folder that cargo put the running program's profile into: `target/debug` or its like.
///
/// # Errors
/// [`HarnessError`] if the running program cannot be found.
pub fn profile_folder() -> Result<PathBuf, HarnessError> {
    let program = std::env::current_exe().map_err(HarnessError::io("find the running program"))?;
    let folder = program.parent().unwrap_or(Path::new("."));
    // Test programs are one folder deeper than the others.
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_owned())
}

fn named_by(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn existing(what: &str, path: &Path, remedy: &str) -> Result<PathBuf, HarnessError> {
    if path.is_file() {
        // Children run in other folders than this program, so the path must not be relative.
        return std::path::absolute(path)
            .map_err(HarnessError::io(format!("find {}", path.display())));
    }
    Err(HarnessError::Missing {
        what: format!("{what} ({})", path.display()),
        remedy: remedy.to_owned(),
    })
}

fn from_tool_script(tool: &str) -> Option<PathBuf> {
    let script = repository().join(".ci/tools").join(tool);
    let output = Command::new(script)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().last().map(|line| PathBuf::from(line.trim()))
}

//! Finds the repository's files, the built programs, Envoy, Chromium and the filter.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::HarnessError;

/// The folder of the repository around this program; see [`dossier_repository`].
///
/// # Errors
/// [`HarnessError::Repository`] if there is none.
pub fn find_repository() -> Result<PathBuf, HarnessError> {
    dossier_repository::find_repository().map_err(HarnessError::Repository)
}

/// The shipped Envoy configuration that `make run` uses.
///
/// # Errors
/// [`HarnessError::Repository`] if there is no repository.
pub fn find_example_config() -> Result<PathBuf, HarnessError> {
    find_envoy_config("example.yaml")
}

/// One of the shipped Envoy configurations.
///
/// # Errors
/// [`HarnessError::Repository`] if there is no repository.
pub fn find_envoy_config(name: &str) -> Result<PathBuf, HarnessError> {
    Ok(find_repository()?.join("envoy").join(name))
}

/// The compiled filter: `DOSSIER_FILTER_WASM`, or where `make` puts it.
///
/// # Errors
/// [`HarnessError::Missing`] if there is none.
pub fn find_filter() -> Result<PathBuf, HarnessError> {
    let path = match read_path("DOSSIER_FILTER_WASM") {
        Some(path) => path,
        None => find_repository()?.join("target/dossier-filter.wasm"),
    };
    expect_file(
        "the compiled filter",
        &path,
        "build it with `make filter`, or name one with DOSSIER_FILTER_WASM",
    )
}

/// Envoy: `ENVOY_BIN`, or the one that the tool set-up has installed.
///
/// # Errors
/// [`HarnessError::Missing`] if there is none.
pub fn find_envoy() -> Result<PathBuf, HarnessError> {
    let remedy = "fetch it with `make setup`, or name one with ENVOY_BIN";
    if let Some(path) = read_path("ENVOY_BIN") {
        return expect_file("Envoy", &path, remedy);
    }
    let linked = find_repository()?.join(".tools/bin/envoy");
    let path = if linked.exists() {
        linked
    } else {
        run_tool_script("envoy")?.unwrap_or(linked)
    };
    expect_file("Envoy", &path, remedy)
}

/// Chromium: `CHROMIUM_BIN`, or the one that the tool set-up finds.
///
/// # Errors
/// [`HarnessError::Missing`] if there is none.
pub fn find_chromium() -> Result<PathBuf, HarnessError> {
    let path = match read_path("CHROMIUM_BIN") {
        Some(path) => path,
        None => run_tool_script("chromium")?.unwrap_or_default(),
    };
    let remedy = "install it with `make setup`, or name one with CHROMIUM_BIN";
    expect_file("Chromium", &path, remedy)
}

/// jq, which the tool set-up finds or installs.
///
/// # Errors
/// [`HarnessError::Missing`] if there is none.
pub fn find_jq() -> Result<PathBuf, HarnessError> {
    let path = run_tool_script("jq")?.unwrap_or_default();
    expect_file("jq", &path, "install it with `make setup`")
}

/// Python, which the tool set-up finds or installs.
///
/// # Errors
/// [`HarnessError::Missing`] if there is none.
pub fn find_python() -> Result<PathBuf, HarnessError> {
    let path = run_tool_script("python")?.unwrap_or_default();
    expect_file("Python", &path, "install it with `make setup`")
}

/// The collector's program: `DOSSIER_COLLECTOR_BIN`, or the one built beside the running program.
///
/// # Errors
/// [`HarnessError::Missing`] if there is none.
pub fn find_collector() -> Result<PathBuf, HarnessError> {
    let remedy =
        "build it with `cargo build -p dossier-collector`, or name one with DOSSIER_COLLECTOR_BIN";
    if let Some(path) = read_path("DOSSIER_COLLECTOR_BIN") {
        return expect_file("the collector", &path, remedy);
    }
    expect_file("the collector", &find_program("dossier")?, remedy)
}

/// A program built beside the running one, whether it exists or not.
///
/// # Errors
/// [`HarnessError::Io`] if the running program cannot be found.
pub fn find_program(name: &str) -> Result<PathBuf, HarnessError> {
    Ok(find_profile_folder()?.join(name))
}

/// The folder of the running program's profile, such as `target/debug`.
///
/// # Errors
/// [`HarnessError::Io`] if the running program cannot be found.
pub fn find_profile_folder() -> Result<PathBuf, HarnessError> {
    let program = std::env::current_exe().map_err(HarnessError::io("find the running program"))?;
    let folder = program.parent().unwrap_or(Path::new("."));
    // Test programs are in a folder below that of the others.
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_owned())
}

fn read_path(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn expect_file(what: &str, path: &Path, remedy: &str) -> Result<PathBuf, HarnessError> {
    if path.is_file() {
        // Children have other working directories.
        return std::path::absolute(path)
            .map_err(HarnessError::io(format!("find {}", path.display())));
    }
    Err(HarnessError::Missing {
        what: format!("{what} ({})", path.display()),
        remedy: remedy.to_owned(),
    })
}

/// The path that a script of the tool set-up prints; none if it fails.
fn run_tool_script(tool: &str) -> Result<Option<PathBuf>, HarnessError> {
    let script = find_repository()?.join(".ci/tools").join(tool);
    let output = Command::new(script).output();
    let text = output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    let line = text.as_deref().and_then(|text| text.lines().last());
    Ok(line.map(|line| PathBuf::from(line.trim())))
}

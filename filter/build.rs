//! Lets the filter say which commit it was built from. Without git it says "unknown".

use std::process::Command;

fn main() {
    println!(
        "cargo::rustc-env=DOSSIER_COMMIT={}",
        commit().unwrap_or("unknown".to_owned())
    );
    // The file that changes with every commit and checkout; a path that is not there would rebuild
    // the filter every time.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && std::path::Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}

fn commit() -> Option<String> {
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

//! Whether the data folder exists and is accessible only to its owner: it contains bodies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Verdict;
use crate::postgres;

/// Checks the data folder of a private Postgres.
pub(super) fn examine(folder: &Path) -> Verdict {
    let name = folder.display();
    let mode = |path: &Path| fs::metadata(path).map(|metadata| metadata.permissions().mode());
    let Ok(outer) = mode(folder) else {
        return Verdict::fail(
            &format!("{name} does not exist, or this user cannot see it"),
            "start dossier serve once, choose another with --data-dir, or run this as the collector's user",
        );
    };
    // Write permission is enough to replace the database.
    if outer & 0o022 != 0 {
        return Verdict::fail(
            &format!("other users can write to {name}"),
            &format!("run chmod go-w {name}"),
        );
    }
    match postgres::home(folder).map(|home| (mode(&home), home)) {
        Some((Ok(inner), home)) if inner & 0o077 != 0 => Verdict::fail(
            &format!("other users can access {}", home.display()),
            &format!("run chmod 700 {}", home.display()),
        ),
        _ => Verdict::ok(&format!("{name} is accessible only to its owner")),
    }
}

//! Whether the data folder is there, and closed to others: bodies are in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Verdict;
use crate::postgres;

/// Looks at the data folder of a private Postgres.
pub(super) fn examine(folder: &Path) -> Verdict {
    let name = folder.display();
    let mode = |path: &Path| fs::metadata(path).map(|metadata| metadata.permissions().mode());
    let Ok(outer) = mode(folder) else {
        return Verdict::fail(
            &format!("{name} is not there, or not to be seen by this user"),
            "start dossier serve once, choose another with --data-dir, or run this as the user who runs the collector",
        );
    };
    // Whoever may write here may put another database in its place.
    if outer & 0o022 != 0 {
        return Verdict::fail(
            &format!("others may write to {name}"),
            &format!("run chmod go-w {name}"),
        );
    }
    match postgres::home(folder).map(|home| (mode(&home), home)) {
        Some((Ok(inner), home)) if inner & 0o077 != 0 => Verdict::fail(
            &format!("others may get into {}", home.display()),
            &format!("run chmod 700 {}", home.display()),
        ),
        _ => Verdict::ok(&format!("{name} is closed to others")),
    }
}

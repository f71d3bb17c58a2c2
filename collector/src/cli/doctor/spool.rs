//! Whether the spool is there, closed to others, and neither full nor holding what nobody looks after.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::Verdict;
use crate::spool::{Spool, SpoolSettings};

/// Looks at the spool that `dossier serve` would have with the same settings.
pub(super) fn examine(settings: Option<&SpoolSettings>) -> Verdict {
    let Some(settings) = settings else {
        return Verdict::warn(
            "there is none, as the settings say",
            "while Postgres is away no batch is taken; filters drop what their buffers cannot hold",
        );
    };
    let name = settings.folder.display();
    let Ok(metadata) = fs::metadata(&settings.folder) else {
        return Verdict::warn(
            &format!("{name} is not there, or not to be seen by this user"),
            "start dossier serve once, which makes it, or run this as the user who runs the collector",
        );
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        return Verdict::fail(
            &format!("others may get into {name}"),
            &format!("run chmod 700 {name}"),
        );
    }
    let state = match Spool::inspect(settings) {
        Ok(state) => state,
        Err(error) => {
            return Verdict::fail(
                &error.to_string(),
                "run this as the user who runs the collector",
            );
        }
    };
    let (waiting, damaged) = (state.batches, state.damaged);
    let told = format!(
        "{name} holds {waiting} batches, {} of {} bytes",
        state.bytes, state.max_bytes
    );
    if state.bytes >= state.max_bytes / 10 * 9 {
        Verdict::fail(
            &told,
            "it is as good as full: see why Postgres takes no batches, or raise --spool-max-bytes",
        )
    } else if damaged > 0 {
        Verdict::warn(
            &format!("{told}, and {damaged} damaged files"),
            &format!("look at the disk, and remove {name}/damaged when you no longer need them"),
        )
    } else if waiting > 0 {
        Verdict::warn(
            &told,
            "see that a collector runs and that Postgres takes batches",
        )
    } else {
        Verdict::ok(&format!("{name} is empty and closed to others"))
    }
}

//! Whether the spool exists, is accessible only to its owner, is not full and drains.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::Verdict;
use crate::spool::{Spool, SpoolSettings};

/// Checks the spool that `dossier serve` would use with the same settings.
pub(super) fn examine(settings: Option<&SpoolSettings>) -> Verdict {
    let Some(settings) = settings else {
        return Verdict::warn(
            "the spool is switched off",
            "while Postgres is unavailable no batch is accepted; filters drop records when their buffers are full",
        );
    };
    let name = settings.folder.display();
    let Ok(metadata) = fs::metadata(&settings.folder) else {
        return Verdict::warn(
            &format!("{name} does not exist, or this user cannot see it"),
            "start dossier serve once, which creates it, or run this as the collector's user",
        );
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        return Verdict::fail(
            &format!("other users can access {name}"),
            &format!("run chmod 700 {name}"),
        );
    }
    let state = match Spool::inspect(settings) {
        Ok(state) => state,
        Err(error) => {
            return Verdict::fail(&error.to_string(), "run this as the collector's user");
        }
    };
    let (waiting, damaged) = (state.batches, state.damaged);
    let summary = format!(
        "{name} holds {waiting} batches, {} of {} bytes",
        state.bytes, state.max_bytes
    );
    if state.bytes >= state.max_bytes / 10 * 9 {
        Verdict::fail(
            &summary,
            "it is nearly full: check why Postgres accepts no batches, or raise --spool-max-bytes",
        )
    } else if damaged > 0 {
        Verdict::warn(
            &format!("{summary}, and {damaged} damaged files"),
            &format!("check the disk, and remove {name}/damaged when you no longer need them"),
        )
    } else if waiting > 0 {
        Verdict::warn(
            &summary,
            "check that a collector runs and that Postgres accepts batches",
        )
    } else {
        Verdict::ok(&format!("{name} is empty and accessible only to its owner"))
    }
}

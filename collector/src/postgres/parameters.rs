//! Timeouts and limits of the private Postgres, and its environment variable.

use std::time::Duration;

/// Environment variable for the folder of the programs, if they are not in a usual place.
pub const PROGRAMS_VARIABLE: &str = "DOSSIER_PG_BIN";
/// The kernel's limit for the path of a Unix socket, less the name that Postgres appends.
pub(super) const MAX_SOCKET_DIR_BYTES: usize = 107 - "/.s.PGSQL.5432".len();
/// The longest path of a data folder whose socket has a valid path.
pub(super) const MAX_DATA_DIR_BYTES: usize = MAX_SOCKET_DIR_BYTES - "/postgres/socket".len();
pub(super) const START_TIMEOUT: Duration = Duration::from_mins(1);
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a condition is checked while waiting for it.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(50);

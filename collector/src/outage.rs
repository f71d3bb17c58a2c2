//! Whether Postgres is known to be unavailable for writes. The whole write path shares it, so that one failed
//! write spares the following ones the timeout.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{info, warn};

/// Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Outage(Arc<AtomicBool>);

impl Outage {
    /// Records that a write failed because Postgres was unavailable.
    pub fn begin(&self, cause: &impl Display) {
        if !self.0.swap(true, Ordering::Relaxed) {
            warn!(%cause, "Postgres is unavailable for writes");
        }
    }

    /// Records that Postgres accepted a write, or would.
    pub fn end(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            info!("Postgres is available again");
        }
    }

    /// Whether the last known state is unavailable.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

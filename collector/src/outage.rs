//! Whether Postgres takes batches. All of the collector's write path shares it, so that one failed write
//! spares the next ones the wait.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{info, warn};

/// Cloning it clones a handle.
#[derive(Debug, Clone, Default)]
pub struct Outage(Arc<AtomicBool>);

impl Outage {
    /// Postgres did not take a batch.
    pub fn begin(&self, cause: &impl Display) {
        if !self.0.swap(true, Ordering::Relaxed) {
            warn!(%cause, "Postgres takes no batches for now");
        }
    }

    /// Postgres took one, or would.
    pub fn end(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            info!("Postgres takes batches again");
        }
    }

    /// Whether the last thing known is that it takes none.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

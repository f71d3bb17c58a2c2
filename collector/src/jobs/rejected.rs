//! Deletes rejected records that are old, or too many.

use std::time::Duration;

use tracing::{debug, info, instrument};

use crate::app::App;
use crate::store::StoreError;

const INTERVAL: Duration = Duration::from_mins(1);

/// Runs until it is dropped.
pub(super) async fn run(app: App) {
    loop {
        match prune(&app).await {
            Ok(0) => {}
            Ok(pruned) => info!(pruned, "old rejected records deleted"),
            Err(error) => debug!(%error, "pruning of rejected records failed; will retry"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[instrument(name = "jobs.prune_rejected", parent = None, skip_all, err(level = "debug"))]
async fn prune(app: &App) -> Result<u64, StoreError> {
    app.store.prune_rejected(app.clock.now()).await
}

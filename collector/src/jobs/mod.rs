//! What the collector does by itself, beside requests.
//!
//! - [`dictionaries`]: makes what bodies are packed with.

pub mod dictionaries;

mod retention;

use std::time::Duration;

use tracing::{debug, info};

use crate::app::App;
use crate::ingest;
use crate::settings::retention::RetentionSettings;

const BETWEEN_PRUNINGS: Duration = Duration::from_mins(1);

/// Does it until it is dropped, from when the database may be used.
pub async fn run(app: App, settings: RetentionSettings) {
    app.store.wait_until_ready().await;
    let ledger = settings.keep.ledger;
    let retention = retention::run(&app, settings);
    tokio::join!(
        ingest::replay(app.clone(), ledger),
        dictionaries::keep(app.clone()),
        prune_rejected(app.clone()),
        retention
    );
}

/// Lets records go that were rejected long ago, or are too many.
async fn prune_rejected(app: App) {
    loop {
        match app.store.prune_rejected(app.clock.now()).await {
            Ok(0) => {}
            Ok(pruned) => info!(pruned, "old rejected records went"),
            // The next time will do.
            Err(error) => debug!(%error, "rejected records were not pruned"),
        }
        tokio::time::sleep(BETWEEN_PRUNINGS).await;
    }
}

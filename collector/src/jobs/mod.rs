//! What the collector does in the background.
//!
//! - [`dictionaries`]: trains the dictionaries that bodies are compressed with.
//! - [`retention`]: creates partitions ahead, and drops expired data.
//! - [`rejected`]: deletes old rejected records.

pub mod dictionaries;

mod rejected;
mod retention;

use crate::app::App;
use crate::ingest;
use crate::settings::retention::RetentionSettings;

/// Runs all jobs, once the database is ready, until it is dropped.
pub async fn run(app: App, settings: RetentionSettings) {
    app.store.wait_until_ready().await;
    let ledger_period = settings.keep.ledger;
    let retention = retention::run(&app, settings);
    tokio::join!(
        ingest::replay(app.clone(), ledger_period),
        dictionaries::run(app.clone()),
        rejected::run(app.clone()),
        retention
    );
}

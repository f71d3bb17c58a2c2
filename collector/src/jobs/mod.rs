//! What the collector does by itself, beside requests.

mod retention;

use crate::app::App;
use crate::settings::retention::RetentionSettings;

/// Does it until it is dropped.
pub async fn run(app: App, retention: RetentionSettings) {
    retention::run(&app, retention).await;
}

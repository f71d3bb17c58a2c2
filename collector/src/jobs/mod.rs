//! What the collector does by itself, beside requests.
//!
//! - [`dictionaries`]: makes what bodies are packed with.

pub mod dictionaries;

use crate::app::App;

/// Does it until it is dropped.
pub async fn run(app: App) {
    dictionaries::keep(app).await;
}

//! Trains dictionaries on recent bodies, and deletes those that no body needs.

use std::time::Duration;

use time::OffsetDateTime;
use tracing::{Span, debug, info, instrument};

use crate::app::App;
use crate::store::{Store, StoreError};

/// How soon collectors load each other's dictionaries.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);
const REFRESHES_PER_TRAINING: u32 = 10;

/// Runs until it is dropped.
pub(super) async fn run(app: App) {
    let mut refreshes = 0;
    loop {
        let now = app.clock.now();
        let mut result = refresh(&app.store, now).await;
        if refreshes % REFRESHES_PER_TRAINING == REFRESHES_PER_TRAINING - 1 && result.is_ok() {
            result = train(&app.store, now).await;
        }
        refreshes = refreshes.wrapping_add(1);
        if let Err(error) = result {
            debug!(%error, "maintenance of dictionaries failed; will retry");
        }
        tokio::time::sleep(REFRESH_INTERVAL).await;
    }
}

#[instrument(name = "dictionaries.refresh", parent = None, skip_all, err(level = "debug"))]
async fn refresh(store: &Store, now: OffsetDateTime) -> Result<(), StoreError> {
    store.refresh_dictionaries(now).await
}

/// Trains a limited number of the dictionaries that are missing or outdated, unless another collector is
/// training. New ones are in use here at once, and in other collectors after their next refresh.
///
/// # Errors
/// [`StoreError`]; dictionaries that were stored before it remain.
#[instrument(name = "dictionaries.train", skip_all, err(level = "debug"))]
pub async fn train(store: &Store, now: OffsetDateTime) -> Result<(), StoreError> {
    let Some(lock) = store.lock_training().await? else {
        return Ok(());
    };
    for target in store.training_targets(now).await? {
        let training_set = store.training_set(&target, now).await?;
        let span = Span::current();
        let training = tokio::task::spawn_blocking(move || span.in_scope(|| training_set.train()));
        // If it panicked, the dictionary would be missing, as before.
        let trained = training.await.ok().flatten();
        store.record_result(&target, trained.as_ref(), now).await?;
        if let Some(trained) = trained {
            let (endpoint, half) = (&target.endpoint, <&str>::from(target.half));
            info!(endpoint, half, ratio = trained.ratio, "dictionary trained");
        }
    }
    lock.release().await?;
    store.refresh_dictionaries(now).await
}

//! Makes dictionaries of recent bodies, and lets those go that no body needs.

use std::time::Duration;

use time::OffsetDateTime;
use tracing::{debug, info};

use crate::app::App;
use crate::store::{Store, StoreError};

/// Collectors learn of each other's dictionaries this soon.
const BETWEEN_LOOKS: Duration = Duration::from_secs(30);
/// Looks between two times at which dictionaries may be made.
const LOOKS_PER_TRAINING: u32 = 10;

/// Does it until it is dropped.
pub(super) async fn keep(app: App) {
    let mut looks = 0;
    loop {
        let now = app.clock.now();
        let mut kept = app.store.refresh_dictionaries(now).await;
        if looks % LOOKS_PER_TRAINING == LOOKS_PER_TRAINING - 1 && kept.is_ok() {
            kept = make(&app.store, now).await;
        }
        looks = looks.wrapping_add(1);
        if let Err(error) = kept {
            // The next time will do.
            debug!(%error, "dictionaries were not looked after");
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Makes the dictionaries that are missing or outdated, a few at most, unless another collector is just
/// at it. Those made are in use here at once, elsewhere soon.
///
/// # Errors
/// [`StoreError`]; those made before it stay.
pub async fn make(store: &Store, now: OffsetDateTime) -> Result<(), StoreError> {
    let Some(lock) = store.lock_training().await? else {
        return Ok(());
    };
    for target in store.training_targets(now).await? {
        let lesson = store.training_set(&target, now).await?;
        let learning = tokio::task::spawn_blocking(move || lesson.learn());
        // It does not panic; if it did, the dictionary would be missing, as it was.
        let learned = learning.await.ok().flatten();
        store.record_result(&target, learned.as_ref(), now).await?;
        if let Some(learned) = learned {
            let (endpoint, half) = (&target.endpoint, target.half.as_str());
            info!(
                endpoint,
                half,
                ratio = learned.ratio,
                "bodies have a new dictionary"
            );
        }
    }
    lock.release().await?;
    store.refresh_dictionaries(now).await
}

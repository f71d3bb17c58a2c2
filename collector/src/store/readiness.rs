//! Keeps requests from a database until it is migrated and known to isolate users. The collector serves
//! before that, and spools what it receives.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::instrument;

use super::pool::{PING_TIMEOUT, connect_once};
use super::{Store, StoreError};

/// Whether the database may be used. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Readiness(Arc<watch::Sender<bool>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }
}

impl Readiness {
    /// # Errors
    /// [`StoreError::NotReady`]
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if *self.0.borrow() {
            Ok(())
        } else {
            Err(StoreError::NotReady)
        }
    }
}

impl Store {
    /// Fails requests with [`StoreError::NotReady`] until [`Self::prepare`] has succeeded.
    #[must_use]
    pub fn unready(self) -> Self {
        self.readiness.0.send_replace(false);
        self
    }

    /// Migrates the schema, checks that users are isolated, and admits requests.
    ///
    /// # Errors
    /// [`StoreError`]; a [transient](StoreError::is_transient) one is worth another try.
    #[instrument(name = "store.prepare", skip_all, err(level = "debug"))]
    pub async fn prepare(&self) -> Result<(), StoreError> {
        connect_once(&self.pool.connect_options(), PING_TIMEOUT).await?;
        self.migrate().await?;
        self.check_isolation().await?;
        self.readiness.0.send_replace(true);
        Ok(())
    }

    /// Returns once requests are admitted.
    pub async fn wait_until_ready(&self) {
        // The sender lives as long as this store.
        let _ = self.readiness.0.subscribe().wait_for(|it| *it).await;
    }
}

//! A database is not used before it was seen to be as this program needs it: its schema may still be an
//! older one's, and whether it keeps users apart is not known. A collector may be up before that.

use std::sync::Arc;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{PING_PATIENCE, Store, StoreError};

/// Whether the database may be used. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub(super) struct Prepared(Arc<watch::Sender<bool>>);

impl Default for Prepared {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }
}

impl Prepared {
    /// # Errors
    /// [`StoreError::Unprepared`] if it may not.
    pub(super) fn expect(&self) -> Result<(), StoreError> {
        if *self.0.borrow() {
            Ok(())
        } else {
            Err(StoreError::Unprepared)
        }
    }
}

impl Store {
    /// Keeps requests from the database until [`Self::prepare`] has succeeded.
    #[must_use]
    pub fn closed(self) -> Self {
        self.prepared.0.send_replace(false);
        self
    }

    /// Brings the schema up to date, checks that users are kept apart, and opens the database to requests.
    ///
    /// # Errors
    /// [`StoreError`]; of those that [may pass](StoreError::may_pass) another try may do better.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        self.reach().await?;
        self.migrate().await?;
        self.check_isolation().await?;
        self.prepared.0.send_replace(true);
        Ok(())
    }

    /// Returns when the database may be used.
    pub async fn prepared(&self) {
        // The sender lives as long as this store.
        let _ = self.prepared.0.subscribe().wait_for(|it| *it).await;
    }

    /// Connects once, so that the reason is known at once if it fails. The pool would go on trying.
    async fn reach(&self) -> Result<(), StoreError> {
        let options = self.pool.connect_options();
        let connecting = PgConnection::connect_with(&options);
        let connection = timeout(PING_PATIENCE, connecting)
            .await
            .map_err(|_| StoreError::NoAnswer(PING_PATIENCE))??;
        Ok(connection.close().await?)
    }
}

//! A Postgres that a test can stop and restart under a collector. It is the private Postgres of a second
//! collector, which does nothing else.

use std::net::SocketAddr;
use std::path::Path;

use crate::collector::{Collector, CollectorPlan};
use crate::error::HarnessError;
use crate::postgres;

/// A Postgres, running or stopped.
#[derive(Debug)]
pub struct Database {
    owner: Collector,
}

impl Database {
    /// Starts one in a subfolder of this one.
    ///
    /// # Errors
    /// [`HarnessError`] if it does not start.
    pub async fn start(folder: &Path) -> Result<Self, HarnessError> {
        let owner = Collector::start(CollectorPlan {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: folder.join("database"),
            log: folder.join("database.log"),
            database_url: None,
            environment: Vec::new(),
        });
        Ok(Self {
            owner: owner.await?,
        })
    }

    /// The URL for a collector.
    #[must_use]
    pub fn url(&self) -> String {
        let socket = self.owner.data().join("postgres/socket");
        format!(
            "postgres://dossier@localhost/dossier?host={}",
            socket.display()
        )
    }

    /// An immediate shutdown, after which Postgres must recover.
    pub fn stop(&mut self) {
        self.owner.kill();
        postgres::stop_orphans(self.owner.data());
    }

    /// Starts it again on the same data.
    ///
    /// # Errors
    /// [`HarnessError`] if it does not start.
    pub async fn restart(&mut self) -> Result<(), HarnessError> {
        self.owner.restart().await
    }
}

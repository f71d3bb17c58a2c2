//! A Postgres that a test can take away from the collector that uses it, and give back.
//!
//! It is the private Postgres of a collector of its own, which does nothing else.

use std::net::SocketAddr;
use std::path::Path;

use crate::collector::{Collector, CollectorPlan};
use crate::error::HarnessError;
use crate::postgres;

/// A Postgres, running or stopped.
#[derive(Debug)]
pub struct Database {
    keeper: Collector,
}

impl Database {
    /// Starts one in a folder of its own below this one.
    ///
    /// # Errors
    /// [`HarnessError`] if it does not start.
    pub async fn start(folder: &Path) -> Result<Self, HarnessError> {
        let keeper = Collector::start(CollectorPlan {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: folder.join("database"),
            log: folder.join("database.log"),
            database_url: None,
            environment: Vec::new(),
        });
        Ok(Self {
            keeper: keeper.await?,
        })
    }

    /// Where it is, for a collector.
    #[must_use]
    pub fn url(&self) -> String {
        let socket = self.keeper.data().join("postgres/socket");
        format!(
            "postgres://dossier@localhost/dossier?host={}",
            socket.display()
        )
    }

    /// Ends it at once: an immediate shutdown, after which it must recover.
    pub fn stop(&mut self) {
        self.keeper.kill();
        postgres::stop_leftovers(self.keeper.data());
    }

    /// Starts it again.
    ///
    /// # Errors
    /// [`HarnessError`] if it does not start.
    pub async fn start_again(&mut self) -> Result<(), HarnessError> {
        self.keeper.start_again().await
    }
}

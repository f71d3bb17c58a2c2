//! Envoy with the filter, and nothing else that is real: a test scripts the clients and the service,
//! and reads the batches as they leave the filter. For what no well-behaved client or service does.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use crate::bootstrap::{Bootstrap, COLLECTOR_CLUSTER, UPSTREAM_CLUSTER, set};
use crate::envoy::{DRAIN_TIME, Envoy, EnvoyPlan, WORKERS};
use crate::error::HarnessError;
use crate::inbox::Inbox;
use crate::paths;
use crate::raw_client::RawClient;
use crate::scripted::Scripted;

/// Envoy between a scripted service and a stub collector. Dropped in this order.
#[derive(Debug)]
pub struct Harness {
    /// Envoy with the filter.
    pub envoy: Envoy,
    /// The service behind it.
    pub service: Scripted,
    /// Where batches go.
    pub inbox: Inbox,
}

impl Harness {
    /// Starts it with the shipped configuration and changes to it. Batches are sent at once.
    ///
    /// # Errors
    /// [`HarnessError`] if a part does not start.
    pub async fn start(
        folder: &Path,
        change: impl FnOnce(&mut Bootstrap) -> Result<(), HarnessError>,
    ) -> Result<Self, HarnessError> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let (service, inbox) = (Scripted::start().await?, Inbox::start().await?);
        let mut bootstrap = Bootstrap::read(&paths::example_bootstrap())?;
        bootstrap.set_listener(any_port)?;
        bootstrap.set_admin(any_port);
        bootstrap.set_cluster(UPSTREAM_CLUSTER, service.address)?;
        bootstrap.set_cluster(COLLECTOR_CLUSTER, inbox.address)?;
        bootstrap.set_wasm(&paths::filter_wasm()?)?;
        set(bootstrap.plugin()?, "batch", json!({"max_delay": "50ms"}));
        change(&mut bootstrap)?;
        let envoy = Envoy::start(EnvoyPlan {
            bootstrap,
            workers: WORKERS,
            drain_time: DRAIN_TIME,
            folder: folder.to_owned(),
            log: folder.join("envoy.log"),
            ingest_token: "dsk_none".to_owned(),
        });
        Ok(Self {
            envoy: envoy.await?,
            service,
            inbox,
        })
    }

    /// A client that has connected to Envoy.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if Envoy takes no connection.
    pub async fn client(&self) -> Result<RawClient, HarnessError> {
        RawClient::connect(self.envoy.address).await
    }
}

//! Envoy with the filter, and nothing else that is real: a test scripts the clients and the service,
//! and reads the batches as they leave the filter. For what no well-behaved client or service does.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use crate::bootstrap::{Bootstrap, COLLECTOR_CLUSTER, UPSTREAM_CLUSTER, set};
use crate::envoy::{DRAIN_TIME, Envoy, EnvoyPlan, WORKERS};
use crate::error::HarnessError;
use crate::paths;
use crate::raw_client::RawClient;
use crate::scripted_service::ScriptedService;
use crate::stub_collector::StubCollector;

/// Envoy between a scripted service and a stub collector. Dropped in this order.
#[derive(Debug)]
pub struct Harness {
    /// Envoy with the filter.
    pub envoy: Envoy,
    /// The service that it forwards to.
    pub service: ScriptedService,
    /// Where batches go.
    pub stub_collector: StubCollector,
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
        let (service, stub_collector) = (
            ScriptedService::start().await?,
            StubCollector::start().await?,
        );
        let mut bootstrap = Bootstrap::read(&paths::find_example_config()?)?;
        bootstrap.set_listener(any_port)?;
        bootstrap.set_admin(any_port);
        bootstrap.set_cluster(UPSTREAM_CLUSTER, service.address)?;
        bootstrap.set_cluster(COLLECTOR_CLUSTER, stub_collector.address)?;
        bootstrap.set_wasm(&paths::find_filter()?)?;
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
            stub_collector,
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

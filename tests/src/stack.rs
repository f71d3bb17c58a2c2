//! The whole stack: collector, keys, example service and Envoy, started in this order and stopped in the
//! reverse order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::bootstrap::{Bootstrap, COLLECTOR_CLUSTER, UPSTREAM_CLUSTER};
use crate::certificate_authority::ClientTls;
use crate::client::CollectorClient;
use crate::collector::{Collector, CollectorPlan};
use crate::config_delivery::{ConfigDelivery, WatchedConfig};
use crate::envoy::{DRAIN_TIME, Envoy, EnvoyPlan, WORKERS};
use crate::error::HarnessError;
use crate::fault_proxy::{FaultProxy, ProxyMode};
use crate::keys::{ApiKeys, KeyFiles};
use crate::paths;
use crate::traffic::Traffic;
use crate::upstream::Upstream;

/// How long a stop waits for the filter to send its buffer.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// How a stack is started.
#[derive(Debug)]
pub struct StackPlan {
    /// For generated configuration.
    pub folder: PathBuf,
    /// For `envoy.log` and `collector.log`.
    pub logs: PathBuf,
    /// The collector's data.
    pub data: PathBuf,
    /// Where Envoy listens; port 0 chooses a free one.
    pub envoy: SocketAddr,
    /// Where Envoy's admin page is; port 0 chooses a free one.
    pub envoy_admin: SocketAddr,
    /// Where the collector listens; port 0 chooses a free one.
    pub collector: SocketAddr,
    /// A running Postgres instead of a private one.
    pub database_url: Option<String>,
    /// Additional environment variables for the collector.
    pub collector_environment: Vec<(String, String)>,
    /// How the stack's own clients connect to a collector that serves TLS.
    pub collector_tls: Option<ClientTls>,
    /// Where keys are kept; without files they are created anew.
    pub key_files: Option<KeyFiles>,
    /// Whether to put a [`FaultProxy`] between Envoy and the collector.
    pub fault_proxy: bool,
    /// Envoy's configuration; the stack sets its addresses.
    pub bootstrap: Bootstrap,
    /// How Envoy gets the filter's configuration.
    pub delivery: ConfigDelivery,
    /// Envoy's worker threads, each with a filter VM.
    pub workers: u16,
    /// How long Envoy keeps old connections open after a change.
    pub drain_time: Duration,
}

/// A collector and API keys for it.
#[derive(Debug)]
pub struct Backend {
    /// A client of the collector.
    pub client: CollectorClient,
    /// Keys for it.
    pub keys: ApiKeys,
    /// The collector.
    pub collector: Collector,
}

/// A running stack. Dropped in this order.
#[derive(Debug)]
pub struct Stack {
    /// Envoy with the filter.
    pub envoy: Envoy,
    /// Clients of Envoy.
    pub traffic: Traffic,
    /// The filter's configuration, if the plan has Envoy watch it.
    pub watched_config: Option<WatchedConfig>,
    /// Between Envoy and the collector, if the plan asks for it.
    pub fault_proxy: Option<FaultProxy>,
    /// The collector and keys to it.
    pub backend: Backend,
    /// The service behind Envoy.
    pub upstream: Upstream,
}

impl StackPlan {
    /// The shipped configuration, with all files in one folder, on free ports.
    ///
    /// # Errors
    /// [`HarnessError`] if the shipped configuration cannot be read.
    pub fn in_folder(folder: PathBuf) -> Result<Self, HarnessError> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Self {
            logs: folder.clone(),
            data: folder.join("data"),
            folder,
            envoy: any_port,
            envoy_admin: any_port,
            collector: any_port,
            database_url: None,
            collector_environment: Vec::new(),
            collector_tls: None,
            key_files: None,
            fault_proxy: false,
            bootstrap: Bootstrap::read(&paths::find_example_config()?)?,
            delivery: ConfigDelivery::Static,
            workers: WORKERS,
            drain_time: DRAIN_TIME,
        })
    }

    fn collector_plan(&self) -> CollectorPlan {
        CollectorPlan {
            listen: self.collector,
            data: self.data.clone(),
            log: self.logs.join("collector.log"),
            database_url: self.database_url.clone(),
            environment: self.collector_environment.clone(),
        }
    }
}

impl Backend {
    /// Starts a collector, and creates keys or reads them from their files.
    ///
    /// # Errors
    /// [`HarnessError`] if the collector does not start, or creates no keys.
    pub async fn start(plan: &StackPlan) -> Result<Self, HarnessError> {
        let collector =
            Collector::start_with_tls(plan.collector_plan(), plan.collector_tls.clone()).await?;
        let keys = match &plan.key_files {
            Some(files) => ApiKeys::reuse_or_create(&collector, files).await?,
            None => ApiKeys::create(&collector).await?,
        };
        Ok(Self {
            client: collector.client()?,
            keys,
            collector,
        })
    }

    /// Starts the collector again; its address may change.
    ///
    /// # Errors
    /// As [`Collector::start`].
    pub async fn restart(&mut self) -> Result<(), HarnessError> {
        self.collector.restart().await?;
        self.client = self.collector.client()?;
        Ok(())
    }
}

impl Stack {
    /// Starts all parts.
    ///
    /// # Errors
    /// [`HarnessError`]; the parts that were started are stopped.
    pub async fn start(plan: StackPlan) -> Result<Self, HarnessError> {
        let backend = Backend::start(&plan).await?;
        let upstream = Upstream::start().await?;
        let address = backend.collector.address;
        let proxy = if plan.fault_proxy {
            Some(FaultProxy::start(ProxyMode::Forward(address)).await?)
        } else {
            None
        };
        let collector = proxy.as_ref().map_or(address, |proxy| proxy.address);
        let bootstrap = set_addresses(&plan, upstream.address, collector)?;
        let (bootstrap, watched_config) = plan.delivery.prepare(bootstrap, &plan.folder)?;
        let envoy = Envoy::start(EnvoyPlan {
            bootstrap,
            workers: plan.workers,
            drain_time: plan.drain_time,
            folder: plan.folder,
            log: plan.logs.join("envoy.log"),
            ingest_token: backend.keys.ingest.clone(),
        });
        let envoy = envoy.await?;
        Ok(Self {
            traffic: Traffic::new(envoy.address)?,
            envoy,
            watched_config,
            fault_proxy: proxy,
            backend,
            upstream,
        })
    }

    /// Fails if Envoy or the collector has ended.
    ///
    /// # Errors
    /// [`HarnessError::Ended`] with the end of its log.
    pub fn expect_running(&mut self) -> Result<(), HarnessError> {
        self.envoy.process.expect_running()?;
        self.backend
            .collector
            .process()
            .map_or(Ok(()), super::process::Process::expect_running)
    }

    /// Stops all parts in order, after the filter has sent its buffer.
    ///
    /// # Errors
    /// [`HarnessError`] if a part ends with an error or has to be killed.
    pub async fn stop(mut self) -> Result<(), HarnessError> {
        self.envoy.flush(FLUSH_LIMIT).await;
        self.envoy.process.stop().await?;
        self.backend.collector.stop().await
    }
}

fn set_addresses(
    plan: &StackPlan,
    upstream: SocketAddr,
    collector: SocketAddr,
) -> Result<Bootstrap, HarnessError> {
    let mut bootstrap = plan.bootstrap.clone();
    bootstrap.set_listener(plan.envoy)?;
    bootstrap.set_admin(plan.envoy_admin);
    bootstrap.set_cluster(UPSTREAM_CLUSTER, upstream)?;
    bootstrap.set_cluster(COLLECTOR_CLUSTER, collector)?;
    // A test may have removed the filter.
    if bootstrap.plugin().is_ok() {
        bootstrap.set_wasm(&paths::find_filter()?)?;
    }
    Ok(bootstrap)
}

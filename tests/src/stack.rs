//! Everything together: collector → keys → example service → Envoy, started in this order, so that
//! each finds what it needs, and stopped in the other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::authority::ClientTls;
use crate::bootstrap::{Bootstrap, COLLECTOR_CLUSTER, UPSTREAM_CLUSTER};
use crate::client::Client;
use crate::collector::{Collector, CollectorPlan};
use crate::envoy::{DRAIN_TIME, Envoy, EnvoyPlan, WORKERS};
use crate::error::HarnessError;
use crate::fault_proxy::{FaultProxy, ProxyMode};
use crate::keys::{KeyFiles, Keys};
use crate::live::{Delivery, Live};
use crate::paths;
use crate::traffic::Traffic;
use crate::upstream::Upstream;

/// How long a clean stop waits for the filter to send what it still holds.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// What a stack is started with.
#[derive(Debug)]
pub struct StackPlan {
    /// Small files: generated configuration.
    pub folder: PathBuf,
    /// Logs: `envoy.log`, `collector.log`.
    pub logs: PathBuf,
    /// The collector's data.
    pub data: PathBuf,
    /// Where Envoy listens; port 0 chooses a free one.
    pub envoy: SocketAddr,
    /// Where Envoy's admin page is; port 0 chooses a free one.
    pub envoy_admin: SocketAddr,
    /// Where the collector listens; port 0 chooses a free one.
    pub collector: SocketAddr,
    /// A Postgres that runs already, instead of a private one.
    pub database_url: Option<String>,
    /// More environment variables for the collector.
    pub collector_environment: Vec<(String, String)>,
    /// How the stack's own clients talk to the collector, where that serves TLS.
    pub collector_tls: Option<ClientTls>,
    /// Where keys are kept; none: they are made anew.
    pub key_files: Option<KeyFiles>,
    /// Whether a [`FaultProxy`] stands between Envoy and the collector.
    pub fault_proxy: bool,
    /// Envoy's configuration; its addresses are set by the stack.
    pub bootstrap: Bootstrap,
    /// How the filter's configuration gets to Envoy.
    pub delivery: Delivery,
    /// Envoy's worker threads, each with a filter VM.
    pub workers: u16,
    /// How long Envoy lets old connections live after a change.
    pub drain_time: Duration,
}

/// A collector and keys to it.
#[derive(Debug)]
pub struct Backend {
    /// Talks to the collector.
    pub client: Client,
    /// Keys to it.
    pub keys: Keys,
    /// The collector.
    pub collector: Collector,
}

/// Everything, running. Dropped in this order.
#[derive(Debug)]
pub struct Stack {
    /// Envoy with the filter.
    pub envoy: Envoy,
    /// Clients of Envoy.
    pub traffic: Traffic,
    /// The filter's configuration, where the plan has it changed while Envoy runs.
    pub live: Option<Live>,
    /// Between Envoy and the collector, if the plan asks for it.
    pub fault_proxy: Option<FaultProxy>,
    /// The collector and keys to it.
    pub backend: Backend,
    /// The service behind Envoy.
    pub upstream: Upstream,
}

impl StackPlan {
    /// The shipped configuration, everything in one folder, every port a free one.
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
            bootstrap: Bootstrap::read(&paths::example_bootstrap())?,
            delivery: Delivery::AtStart,
            workers: WORKERS,
            drain_time: DRAIN_TIME,
        })
    }

    /// The collector's part.
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
    /// Starts a collector and makes or fetches keys.
    ///
    /// # Errors
    /// [`HarnessError`] if the collector does not start, or makes no keys.
    pub async fn start(plan: &StackPlan) -> Result<Self, HarnessError> {
        let collector =
            Collector::start_over(plan.collector_plan(), plan.collector_tls.clone()).await?;
        let keys = match &plan.key_files {
            Some(files) => Keys::reuse_or_create(&collector, files).await?,
            None => Keys::create(&collector).await?,
        };
        Ok(Self {
            client: collector.client()?,
            keys,
            collector,
        })
    }

    /// Starts the collector again; it may have another address then.
    ///
    /// # Errors
    /// As [`Collector::start`].
    pub async fn start_again(&mut self) -> Result<(), HarnessError> {
        self.collector.start_again().await?;
        self.client = self.collector.client()?;
        Ok(())
    }
}

impl Stack {
    /// Starts everything.
    ///
    /// # Errors
    /// [`HarnessError`]; what had been started by then is stopped again.
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
        let bootstrap = addressed(&plan, upstream.address, collector)?;
        let (bootstrap, live) = plan.delivery.prepare(bootstrap, &plan.folder)?;
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
            live,
            fault_proxy: proxy,
            backend,
            upstream,
        })
    }

    /// An error if Envoy or the collector has ended.
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

    /// An orderly stop, in which nothing that was recorded is lost.
    ///
    /// # Errors
    /// [`HarnessError`] if a part does not stop well; it is stopped nonetheless.
    pub async fn stop(mut self) -> Result<(), HarnessError> {
        self.envoy.flush(FLUSH_LIMIT).await;
        self.envoy.process.stop().await?;
        self.backend.collector.stop().await
    }
}

fn addressed(
    plan: &StackPlan,
    upstream: SocketAddr,
    collector: SocketAddr,
) -> Result<Bootstrap, HarnessError> {
    let mut bootstrap = plan.bootstrap.clone();
    bootstrap.set_listener(plan.envoy)?;
    bootstrap.set_admin(plan.envoy_admin);
    bootstrap.set_cluster(UPSTREAM_CLUSTER, upstream)?;
    bootstrap.set_cluster(COLLECTOR_CLUSTER, collector)?;
    // A test may have taken the filter out.
    if bootstrap.plugin().is_ok() {
        bootstrap.set_wasm(&paths::filter_wasm()?)?;
    }
    Ok(bootstrap)
}

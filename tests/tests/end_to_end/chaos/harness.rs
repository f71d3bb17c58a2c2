//! What chaos comes upon: Envoy with the filter, two collectors with a spool each, one Postgres.

use std::net::SocketAddr;
use std::process::Command;

use dossier_tests::bootstrap::{Bootstrap, COLLECTOR_CLUSTER, UPSTREAM_CLUSTER, set};
use dossier_tests::client::CollectorClient;
use dossier_tests::collector::{Collector, CollectorPlan};
use dossier_tests::database::Database;
use dossier_tests::envoy::{DRAIN_TIME, Envoy, EnvoyPlan, WORKERS};
use dossier_tests::fault_proxy::{FaultProxy, ProxyMode};
use dossier_tests::keys::ApiKeys;
use dossier_tests::testing::{TestFolder, acquire_stack_permit, ensure_collector_is_built};
use dossier_tests::traffic::Traffic;
use dossier_tests::upstream::Upstream;
use dossier_tests::{HarnessError, paths, wait};
use serde_json::json;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::sync::{Mutex, MutexGuard, SemaphorePermit};

use super::FAULT_TIMEOUT;
use super::traffic::SESSION_HEADER;

pub const COLLECTORS: usize = 2;
/// Little, so that it is used up while no collector takes anything.
const BUFFER: &str = "1MiB";
const BATCH: &str = "256KiB";

/// A collector behind a fault proxy, which is its address for all others.
pub struct Member {
    pub proxy: FaultProxy,
    fault_lock: Mutex<()>,
    collector: Mutex<Collector>,
    /// The most memory it ever had, in all its lives.
    peak: Mutex<u64>,
}

/// Everything. Dropped in this order.
pub struct ChaosHarness {
    pub envoy: Envoy,
    pub members: Vec<Member>,
    pub database: Mutex<Database>,
    pub url: String,
    pub keys: ApiKeys,
    _upstream: Upstream,
    _folder: TestFolder,
    _permit: SemaphorePermit<'static>,
}

impl ChaosHarness {
    pub async fn start() -> Self {
        let permit = acquire_stack_permit().await.unwrap();
        ensure_collector_is_built().await.unwrap();
        let folder = TestFolder::create().unwrap();
        let database = Database::start(folder.path()).await.unwrap();
        let url = database.url();
        let mut members = Vec::new();
        for number in 0..COLLECTORS {
            members.push(Member::start(&folder, number, &url).await);
        }
        let keys = ApiKeys::create(&*members[0].collector.lock().await)
            .await
            .unwrap();
        let upstream = Upstream::start().await.unwrap();
        let collectors: Vec<_> = members.iter().map(|member| member.proxy.address).collect();
        let bootstrap = bootstrap(upstream.address, &collectors).unwrap();
        let envoy = Envoy::start(EnvoyPlan {
            bootstrap,
            workers: WORKERS,
            drain_time: DRAIN_TIME,
            folder: folder.path().to_owned(),
            log: folder.path().join("envoy.log"),
            ingest_token: keys.ingest.clone(),
        });
        Self {
            envoy: envoy.await.unwrap(),
            members,
            database: Mutex::new(database),
            url,
            keys,
            _upstream: upstream,
            _folder: folder,
            _permit: permit,
        }
    }

    /// A client of the first collector.
    pub async fn client(&self) -> CollectorClient {
        CollectorClient::new(self.members[0].address().await).unwrap()
    }

    /// Clients of Envoy.
    pub fn traffic(&self) -> Traffic {
        Traffic::new(self.envoy.address).unwrap()
    }

    /// One of the filter's numbers.
    pub async fn stat(&self, name: &str) -> u64 {
        let name = format!("dossier.{name}");
        self.envoy.stat(&name).await.unwrap()
    }

    /// A connection to Postgres itself.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.url).await
    }

    /// The most memory that a collector ever had, in bytes.
    pub async fn peak(&self) -> u64 {
        let mut most = 0;
        for member in &self.members {
            member
                .record_peak(&mut *member.collector.lock().await)
                .await;
            most = most.max(*member.peak.lock().await);
        }
        most
    }

    /// Waits until no collector's spool holds anything.
    pub async fn wait_for_empty_spools(&self) {
        for member in &self.members {
            let client = CollectorClient::new(member.address().await).unwrap();
            let waited = wait::until("a spool to be empty", FAULT_TIMEOUT, async || {
                let metrics = client.metrics().await.map_err(|error| error.to_string())?;
                match metrics.get("dossier_spool_batches") {
                    Some(0.0) => Ok(()),
                    waiting => Err(format!("{waiting:?} batches")),
                }
            });
            waited.await.unwrap();
        }
    }
}

impl Member {
    async fn start(folder: &TestFolder, number: usize, url: &str) -> Self {
        let name = ["collector", "other"][number % COLLECTORS];
        let plan = CollectorPlan {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: folder.path().join(name),
            log: folder.path().join(format!("{name}.log")),
            database_url: Some(url.to_owned()),
            environment: Vec::new(),
        };
        let collector = Collector::start(plan).await.unwrap();
        let proxy = FaultProxy::start(ProxyMode::Forward(collector.address));
        Self {
            proxy: proxy.await.unwrap(),
            fault_lock: Mutex::new(()),
            collector: Mutex::new(collector),
            peak: Mutex::new(0),
        }
    }

    /// Held while a fault is injected, so that there is one at a time.
    pub async fn lock_for_fault(&self) -> MutexGuard<'_, ()> {
        self.fault_lock.lock().await
    }

    async fn address(&self) -> SocketAddr {
        self.collector.lock().await.address
    }

    /// SIGKILL.
    pub async fn kill(&self) {
        let mut collector = self.collector.lock().await;
        self.record_peak(&mut collector).await;
        collector.kill();
        self.proxy.set_mode(ProxyMode::Refuse);
    }

    /// Starts it again, as often as it takes: that is what a supervisor does.
    pub async fn restart(&self) {
        let mut collector = self.collector.lock().await;
        let waited = wait::until("a collector to start", FAULT_TIMEOUT, async || {
            let started = collector.restart().await;
            started.map_err(|error| error.to_string())
        });
        waited.await.unwrap();
        self.proxy.set_mode(ProxyMode::Forward(collector.address));
    }

    /// Cuts connections to it after so many bytes, until it has cut one.
    pub async fn cut(&self, after: u64) {
        let address = self.address().await;
        let before = self.proxy.cuts();
        self.proxy.set_mode(ProxyMode::CutAfter(address, after));
        let waited = wait::until("a connection to be cut", FAULT_TIMEOUT, async || {
            let cuts = self.proxy.cuts() - before;
            (cuts > 0).then_some(()).ok_or("none yet".to_owned())
        });
        waited.await.unwrap();
        self.proxy.set_mode(ProxyMode::Forward(address));
    }

    /// The longest file that it may write, in bytes. Beyond that a write fails as on a full disk; this
    /// needs no right to mount one.
    pub async fn limit_files(&self, bytes: &str) {
        let mut collector = self.collector.lock().await;
        let id = collector.process().unwrap().id().to_string();
        let limit = format!("--fsize={bytes}:");
        let set = Command::new("prlimit")
            .args(["--pid", &id, &limit])
            .status();
        assert!(set.unwrap().success());
    }

    async fn record_peak(&self, collector: &mut Collector) {
        let process = collector.process().unwrap();
        // It tells nothing if it has ended by itself, which its next use shows.
        let now = process.read_memory("VmHWM").unwrap_or_default();
        let mut peak = self.peak.lock().await;
        *peak = now.max(*peak);
    }
}

fn bootstrap(upstream: SocketAddr, collectors: &[SocketAddr]) -> Result<Bootstrap, HarnessError> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut bootstrap = Bootstrap::read(&paths::find_example_config()?)?;
    bootstrap.set_listener(any_port)?;
    bootstrap.set_admin(any_port);
    bootstrap.set_cluster(UPSTREAM_CLUSTER, upstream)?;
    bootstrap.set_hosts(COLLECTOR_CLUSTER, collectors)?;
    bootstrap.set_wasm(&paths::find_filter()?)?;
    let plugin = bootstrap.plugin()?;
    set(plugin, "buffer", json!({"max_bytes": BUFFER}));
    let batch = json!({"max_bytes": BATCH, "max_delay": "200ms"});
    set(plugin, "batch", batch);
    let capture = json!({
        "storage_type": "both",
        "session": {"header": SESSION_HEADER},
        "session_timeout_minutes": super::SESSION_MINUTES,
        "ttl_days": 30,
    });
    let route = json!({"match": {"path": {"prefix": "/api/"}}, "capture": capture});
    set(plugin, "routes", json!([route]));
    Ok(bootstrap)
}

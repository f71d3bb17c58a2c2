//! The real Envoy, with the shipped configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bootstrap::Bootstrap;
use crate::error::HarnessError;
use crate::paths;
use crate::process::Process;
use crate::wait;

/// Compiling the filter takes seconds, on a loaded machine much longer.
const START_LIMIT: Duration = Duration::from_mins(1);
/// The filter updates its gauges every 200 ms, so a gauge may be out of date for that long.
const MAX_GAUGE_LAG: Duration = Duration::from_millis(600);
const ADMIN_LIMIT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The default: enough that several filter VMs run side by side.
pub const WORKERS: u16 = 2;
/// How long Envoy keeps old connections open after a change: its own default.
pub const DRAIN_TIME: Duration = Duration::from_mins(10);

/// Has Envoy validate a configuration file, including the filter's configuration. Relative paths in the
/// file start at `folder`.
///
/// # Errors
/// [`HarnessError::CommandFailed`] with everything that Envoy printed.
pub async fn validate(file: &Path, folder: &Path) -> Result<(), HarnessError> {
    let mut command = Command::new(paths::find_envoy()?);
    command
        .args(["--mode", "validate", "--disable-hot-restart"])
        .args(["--log-level", "warning", "--config-path"])
        .arg(file)
        .env("DOSSIER_INGEST_TOKEN", "dsk_none")
        .current_dir(folder);
    let text = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let output = tokio::time::timeout(START_LIMIT, command.output())
        .await
        .map_err(|_| HarnessError::TimedOut {
            what: text.clone(),
            limit: START_LIMIT,
            last: "still running".to_owned(),
        })?
        .map_err(HarnessError::io(format!("run {text}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(HarnessError::CommandFailed {
        command: text,
        status: output.status,
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// How an Envoy is started.
#[derive(Debug)]
pub struct EnvoyPlan {
    /// The complete configuration.
    pub bootstrap: Bootstrap,
    /// Worker threads, each with a filter VM.
    pub workers: u16,
    /// How long Envoy keeps connections of a changed listener open.
    pub drain_time: Duration,
    /// For the configuration and other small files.
    pub folder: PathBuf,
    /// Where the log goes.
    pub log: PathBuf,
    /// The filter's key to the collector.
    pub ingest_token: String,
}

/// A running Envoy; it is stopped when this is dropped.
#[derive(Debug)]
pub struct Envoy {
    /// The child process.
    pub process: Process,
    /// Where clients connect to.
    pub address: SocketAddr,
    /// Where the admin interface listens.
    pub admin: SocketAddr,
    http: reqwest::Client,
}

impl Envoy {
    /// Starts it and waits until it accepts requests.
    ///
    /// # Errors
    /// [`HarnessError`]; [`HarnessError::Ended`] with its log if it refuses its configuration.
    pub async fn start(plan: EnvoyPlan) -> Result<Self, HarnessError> {
        let admin_file = plan.folder.join("envoy-admin");
        let _ = std::fs::remove_file(&admin_file);
        let mut process = Process::start(
            "Envoy",
            &build_command(&plan, &admin_file)?,
            &plan.log,
            STOP_TIMEOUT,
        )?;
        let admin = wait_for_admin(&mut process, &admin_file).await?;
        let http = reqwest::Client::new();
        let address = wait_for_listener(&mut process, &http, admin).await?;
        Ok(Self {
            process,
            address,
            admin,
            http,
        })
    }

    /// Closes the listeners and waits until the filter has sent its buffer, up to a limit: without a
    /// collector Envoy must be able to stop too.
    pub async fn flush(&self, limit: Duration) {
        let drain = self
            .http
            .post(format!("http://{}/drain_listeners", self.admin));
        let _ = drain.timeout(limit).send().await;
        let _ = self.wait_for_empty_outbox(limit).await;
    }

    /// Has Envoy drain its listeners gracefully, and close them after the drain time.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if the admin interface does not answer.
    pub async fn drain(&self) -> Result<(), HarnessError> {
        let url = format!("http://{}/drain_listeners?graceful", self.admin);
        let drain = self.http.post(&url).timeout(ADMIN_LIMIT).send().await;
        drain
            .and_then(reqwest::Response::error_for_status)
            .map(|_| ())
            .map_err(HarnessError::http(format!("post to {url}")))
    }

    /// The process's resident memory in bytes.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if the kernel does not report it.
    pub fn resident_bytes(&self) -> Result<u64, HarnessError> {
        self.process.read_memory("VmRSS")
    }

    /// Waits until everything that the filter has recorded is acknowledged.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] with the bytes that are not.
    pub async fn wait_for_empty_outbox(&self, limit: Duration) -> Result<(), HarnessError> {
        let mut empty_since = None;
        wait::until(
            "the filter's outbox to be empty",
            limit,
            async || match self.stat("dossier.outbox_bytes").await {
                Ok(0) => {
                    let since: Instant = *empty_since.get_or_insert_with(Instant::now);
                    let long_enough = since.elapsed() >= MAX_GAUGE_LAG;
                    long_enough
                        .then_some(())
                        .ok_or_else(|| "empty, but the gauge may be out of date".to_owned())
                }
                Ok(bytes) => {
                    empty_since = None;
                    Err(format!("{bytes} bytes"))
                }
                Err(error) => Err(error.to_string()),
            },
        )
        .await
    }

    /// A page of the admin interface.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if the admin interface does not answer.
    pub async fn fetch_admin_page(&self, name: &str) -> Result<String, HarnessError> {
        fetch_text(&self.http, &format!("http://{}/{name}", self.admin)).await
    }

    /// Its counters and gauges whose names contain this text.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if the admin interface does not answer.
    pub async fn stats(&self, containing: &str) -> Result<BTreeMap<String, u64>, HarnessError> {
        let text = self.fetch_admin_page("stats").await?;
        let values = text.lines().filter_map(|line| line.split_once(": "));
        let numbers =
            values.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?)));
        Ok(numbers
            .filter(|(name, _): &(String, u64)| name.contains(containing))
            .collect())
    }

    /// The sum of the counters and gauges whose names have this ending.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if the admin interface does not answer.
    pub async fn stat(&self, ending: &str) -> Result<u64, HarnessError> {
        let stats = self.stats(ending).await?;
        Ok(stats
            .iter()
            .filter(|(name, _)| name.ends_with(ending))
            .map(|(_, value)| value)
            .sum())
    }
}

fn build_command(plan: &EnvoyPlan, admin_file: &PathBuf) -> Result<Command, HarnessError> {
    let configuration = plan.folder.join("envoy.json");
    plan.bootstrap.write(&configuration)?;
    let mut command = Command::new(paths::find_envoy()?);
    command
        .arg("--config-path")
        .arg(configuration)
        .arg("--admin-address-path")
        .arg(admin_file)
        .args(["--concurrency", &plan.workers.to_string()])
        .args(["--drain-time-s", &plan.drain_time.as_secs().to_string()])
        // With hot restart, Envoys on one machine would share memory.
        .arg("--disable-hot-restart")
        .args(["--log-level", "info"])
        .env("DOSSIER_INGEST_TOKEN", &plan.ingest_token);
    Ok(command)
}

async fn wait_for_admin(process: &mut Process, file: &PathBuf) -> Result<SocketAddr, HarnessError> {
    wait_while_running(process, "Envoy's admin interface", async || {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        text.trim()
            .parse()
            .map_err(|_| format!("{text:?} in {}", file.display()))
    })
    .await
}

async fn wait_for_listener(
    process: &mut Process,
    http: &reqwest::Client,
    admin: SocketAddr,
) -> Result<SocketAddr, HarnessError> {
    let (listeners, ready) = (
        format!("http://{admin}/listeners?format=json"),
        format!("http://{admin}/ready"),
    );
    wait_while_running(process, "Envoy to accept requests", async || {
        let state = fetch_text(http, &ready)
            .await
            .map_err(|error| error.to_string())?;
        if state.trim() != "LIVE" {
            return Err(state);
        }
        let text = fetch_text(http, &listeners)
            .await
            .map_err(|error| error.to_string())?;
        parse_first_listener(&text).ok_or(text)
    })
    .await
}

/// Waits until `look` succeeds, or the child has ended.
async fn wait_while_running<T>(
    process: &mut Process,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, HarnessError> {
    let found = wait::until(what, START_LIMIT, async || {
        if let Err(ended) = process.expect_running() {
            return Ok(Err(ended));
        }
        look().await.map(Ok)
    });
    found.await?
}

fn parse_first_listener(text: &str) -> Option<SocketAddr> {
    let listeners: Value = serde_json::from_str(text).ok()?;
    let socket = listeners.pointer("/listener_statuses/0/local_address/socket_address")?;
    let ip = socket.get("address")?.as_str()?.parse().ok()?;
    let port = u16::try_from(socket.get("port_value")?.as_u64()?)
        .ok()
        .filter(|port| *port != 0)?;
    Some(SocketAddr::new(ip, port))
}

async fn fetch_text(http: &reqwest::Client, url: &str) -> Result<String, HarnessError> {
    let doing = || format!("read {url}");
    let answer = http
        .get(url)
        .timeout(ADMIN_LIMIT)
        .send()
        .await
        .map_err(HarnessError::http(doing()))?;
    answer.text().await.map_err(HarnessError::http(doing()))
}

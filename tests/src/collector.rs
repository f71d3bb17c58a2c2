//! The real collector: the program `dossier`, with a private Postgres unless the plan names another.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::errno::Errno;
use serde_json::Value;

use crate::certificate_authority::ClientTls;
use crate::client::CollectorClient;
use crate::error::HarnessError;
use crate::paths;
use crate::postgres;
use crate::process::Process;
use crate::wait;

/// The first start creates a database cluster, which takes long on a loaded machine.
const START_LIMIT: Duration = Duration::from_mins(2);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const COMMAND_LIMIT: Duration = Duration::from_mins(1);

/// How a collector is started.
#[derive(Debug, Clone)]
pub struct CollectorPlan {
    /// Where it listens; port 0 chooses a free one.
    pub listen: SocketAddr,
    /// Its data folder.
    pub data: PathBuf,
    /// Where the log goes.
    pub log: PathBuf,
    /// A Postgres that runs already, instead of a private one.
    pub database_url: Option<String>,
    /// More environment variables.
    pub environment: Vec<(String, String)>,
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub struct CommandOutput {
    /// Its exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A collector, running or stopped; when it is dropped, it and its Postgres are stopped.
#[derive(Debug)]
pub struct Collector {
    /// Where it listens, or last listened.
    pub address: SocketAddr,
    plan: CollectorPlan,
    tls: Option<ClientTls>,
    process: Option<Process>,
}

impl Collector {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// [`HarnessError`]; [`HarnessError::Ended`] with its log if it exits.
    pub async fn start(plan: CollectorPlan) -> Result<Self, HarnessError> {
        Self::start_with_tls(plan, None).await
    }

    /// Starts it, and connects to it by TLS if this is given; its environment must configure TLS too.
    ///
    /// # Errors
    /// As [`Collector::start`].
    pub async fn start_with_tls(
        plan: CollectorPlan,
        tls: Option<ClientTls>,
    ) -> Result<Self, HarnessError> {
        check_socket_path(&plan)?;
        let mut collector = Self {
            address: plan.listen,
            plan,
            tls,
            process: None,
        };
        collector.restart().await?;
        Ok(collector)
    }

    /// Starts it again after it was stopped or killed, on the same data.
    ///
    /// # Errors
    /// As [`Collector::start`].
    pub async fn restart(&mut self) -> Result<(), HarnessError> {
        let mut command = self.command()?;
        command
            .arg("serve")
            .arg("--listen")
            .arg(self.plan.listen.to_string());
        command.arg("--data-dir").arg(&self.plan.data);
        let process = self.process.insert(Process::start(
            "the collector",
            &command,
            &self.plan.log,
            STOP_TIMEOUT,
        )?);
        let address = wait::until("the collector to be ready", START_LIMIT, async || {
            if let Err(ended) = process.expect_running() {
                return Ok(Err(ended));
            }
            let address = find_listening_address(&process.log().text())
                .ok_or("no line \"listening\" in its log")?;
            let client = CollectorClient::with_tls(address, self.tls.as_ref())
                .map_err(|error| error.to_string())?;
            let answer = client
                .get("/readyz", None)
                .await
                .map_err(|error| error.to_string())?;
            if answer.status == 200 {
                Ok(Ok(address))
            } else {
                Err(format!("/readyz answers {answer:?}"))
            }
        });
        self.address = address.await??;
        Ok(())
    }

    /// A client for it.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if no HTTP client can be made.
    pub fn client(&self) -> Result<CollectorClient, HarnessError> {
        CollectorClient::with_tls(self.address, self.tls.as_ref())
    }

    /// Sends SIGTERM and waits until it has ended.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] if it did not end; [`HarnessError::Ended`] if it ended with an error.
    pub async fn stop(&mut self) -> Result<(), HarnessError> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        let status = process.stop().await?;
        if status.success() {
            Ok(())
        } else {
            process.expect_running()
        }
    }

    /// Sends SIGKILL. Its private Postgres keeps running.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &std::path::Path {
        &self.plan.data
    }

    /// The child process, while it runs.
    pub const fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Process ids of the private Postgres.
    #[must_use]
    pub fn postgres_pids(&self) -> Vec<i32> {
        postgres::find_running(&self.plan.data)
    }

    /// Creates an API key.
    ///
    /// # Errors
    /// [`HarnessError::CommandFailed`] with what the program printed.
    pub async fn create_key(
        &self,
        user: &str,
        role: &str,
        name: &str,
    ) -> Result<String, HarnessError> {
        let arguments = [
            "keys", "create", "--user", user, "--role", role, "--name", name,
        ];
        let output = self.run(&arguments).await?;
        let key = output.stdout.trim();
        if output.status.success() && key.starts_with("dsk_") && !key.contains(char::is_whitespace)
        {
            return Ok(key.to_owned());
        }
        // Standard output is not shown: it may hold a key.
        Err(HarnessError::CommandFailed {
            command: format!("dossier {}", arguments.join(" ")),
            status: output.status,
            output: output.stderr.trim().to_owned(),
        })
    }

    /// Runs the program on the collector's data, whether the collector runs or not.
    ///
    /// # Errors
    /// [`HarnessError`] if it does not start or does not end; not if it fails.
    pub async fn run(&self, arguments: &[&str]) -> Result<CommandOutput, HarnessError> {
        let mut command = self.command()?;
        command.args(arguments);
        command.env("DOSSIER_DATA_DIR", &self.plan.data);
        // Formatting the command itself would show its environment.
        let text = format!("dossier {}", arguments.join(" "));
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        let output = tokio::time::timeout(COMMAND_LIMIT, command.output())
            .await
            .map_err(|_| HarnessError::TimedOut {
                what: text.clone(),
                limit: COMMAND_LIMIT,
                last: "still running".to_owned(),
            })?;
        let output = output.map_err(HarnessError::io(format!("run {text}")))?;
        Ok(CommandOutput {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The program with the plan's settings, without the `DOSSIER_` variables of this process.
    fn command(&self) -> Result<Command, HarnessError> {
        let mut command = Command::new(paths::find_collector()?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DOSSIER_") {
                command.env_remove(name);
            }
        }
        command.envs(self.plan.environment.iter().cloned());
        if let Some(url) = &self.plan.database_url {
            command.env("DOSSIER_DATABASE_URL", url);
        }
        Ok(command)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // A collector stops its Postgres; one that was killed could not.
        drop(self.process.take());
        postgres::stop_orphans(&self.plan.data);
    }
}

/// The address in the line that the collector logs once it listens.
#[must_use]
pub fn find_listening_address(log: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = line.get("fields")?;
        (fields.get("message")? == "listening").then_some(())?;
        fields.get("address")?.as_str()?.parse().ok()
    })
}

/// The path of a Unix socket is short; Postgres's own error does not say what to do about it.
fn check_socket_path(plan: &CollectorPlan) -> Result<(), HarnessError> {
    let length = plan.data.as_os_str().len();
    if plan.database_url.is_some() || length <= MAX_DATA_PATH {
        return Ok(());
    }
    let doing = format!(
        "run a private Postgres in {} ({length} bytes; at most {MAX_DATA_PATH})",
        plan.data.display()
    );
    Err(HarnessError::io(doing)(Errno::ENAMETOOLONG.into()))
}

/// With the socket's name, within the 107 bytes that Linux allows (103 elsewhere).
pub const MAX_DATA_PATH: usize = 70;

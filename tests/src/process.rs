//! Child processes that never outlive this program. [`Process::stop`] ends them in order, `Drop` after
//! errors and panics, and the kernel's parent-death signal when this program is killed. The last needs
//! `setpriv` (Linux, util-linux).

use std::io::pipe;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::error::HarnessError;
use crate::log::ProcessLog;
use crate::wait;

/// A running child, in a process group of its own so that Ctrl-C reaches it only through us.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: ProcessLog,
    stop_timeout: Duration,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts a child whose output goes to a log file. It is killed if it has not ended `stop_timeout`
    /// after SIGTERM.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if it cannot be started.
    pub fn start(
        name: &str,
        command: &Command,
        log: &Path,
        stop_timeout: Duration,
    ) -> Result<Self, HarnessError> {
        let doing = || format!("start {name}");
        let (reader, writer) = pipe().map_err(HarnessError::io(doing()))?;
        let other_writer = writer.try_clone().map_err(HarnessError::io(doing()))?;
        let mut command = with_parent_death_signal(command);
        command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(other_writer)
            .process_group(0);
        let log = ProcessLog::start(log, reader)?;
        let child = spawn_from_permanent_thread(command).map_err(HarnessError::io(doing()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            stop_timeout,
            ended: None,
        })
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, which is also its process group's.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its output.
    #[must_use]
    pub fn log(&self) -> &ProcessLog {
        &self.log
    }

    /// A field of `/proc/PID/status` in bytes: `VmRSS` is its memory now, `VmHWM` the peak.
    ///
    /// # Errors
    /// [`HarnessError`] if the kernel does not report it, for example because the process has ended.
    pub fn read_memory(&self, field: &str) -> Result<u64, HarnessError> {
        let file = format!("/proc/{}/status", self.id());
        let text =
            std::fs::read_to_string(&file).map_err(HarnessError::io(format!("read {file}")))?;
        let kibibytes = text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kibibytes
            .map(|kibibytes| kibibytes * 1024)
            .ok_or_else(|| HarnessError::Unexpected {
                doing: format!("read {field} in {file}"),
                answer: text,
            })
    }

    /// None while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
            if self.ended.is_some() {
                self.log.wait_until_complete();
            }
        }
        self.ended
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// [`HarnessError::Ended`] with the end of its log.
    pub fn expect_running(&mut self) -> Result<(), HarnessError> {
        let Some(status) = self.exit_status() else {
            return Ok(());
        };
        Err(HarnessError::Ended {
            name: self.name.clone(),
            status,
            log: self.log.path().to_owned(),
            tail: self.log.tail(),
        })
    }

    /// Does not wait for the end.
    pub fn send_sigterm(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// As Ctrl-C does. Does not wait for the end.
    pub fn send_sigint(&mut self) {
        self.signal(Signal::SIGINT);
    }

    /// Does not wait.
    pub fn send_sighup(&mut self) {
        self.signal(Signal::SIGHUP);
    }

    /// Sends SIGTERM and waits until it has ended.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] if it did not end in time; it is then still running.
    pub async fn stop(&mut self) -> Result<ExitStatus, HarnessError> {
        self.send_sigterm();
        let (what, timeout) = (
            format!("the end of {} after SIGTERM", self.name),
            self.stop_timeout,
        );
        wait::until(&what, timeout, async || {
            self.exit_status().ok_or_else(|| "still running".to_owned())
        })
        .await
    }

    /// Sends SIGKILL to the whole process group and waits until it has ended.
    pub fn kill(&mut self) {
        if self.exit_status().is_some() {
            return;
        }
        if let Some(group) = self.pid() {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = wait::blocking_until(Duration::from_secs(5), || self.exit_status().is_some());
    }

    fn signal(&mut self, signal: Signal) {
        // The id of a child that was waited for may belong to another process.
        if self.exit_status().is_none()
            && let Some(pid) = self.pid()
        {
            let _ = kill(pid, signal);
        }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().map(Pid::from_raw)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.send_sigterm();
        let timeout = self.stop_timeout;
        if !wait::blocking_until(timeout, || self.exit_status().is_some()) {
            self.kill();
        }
    }
}

/// Whether a process with this id still runs.
#[must_use]
pub fn exists(pid: i32) -> bool {
    !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH)) && !is_zombie(pid)
}

/// An orphan that has ended stays in the process table until init reaps it, which in a container may
/// be never.
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the program's name, which is in parentheses and may itself contain some.
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// The same command, to which the kernel sends SIGTERM when this program dies. Not SIGKILL: the
/// collector must still stop its Postgres.
fn with_parent_death_signal(command: &Command) -> Command {
    let mut wrapped = if *SETPRIV_WORKS {
        let mut wrapped = Command::new("setpriv");
        wrapped
            .args(["--pdeathsig", "TERM", "--"])
            .arg(command.get_program());
        wrapped
    } else {
        Command::new(command.get_program())
    };
    wrapped.args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

static SETPRIV_WORKS: LazyLock<bool> = LazyLock::new(|| {
    let mut attempt = Command::new("setpriv");
    attempt
        .args(["--pdeathsig", "TERM", "--", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    attempt.status().is_ok_and(|status| status.success())
});

/// The kernel takes the end of the *thread* that started a child for the parent's death, and threads of
/// a test or of an async runtime end long before the program does.
fn spawn_from_permanent_thread(command: Command) -> std::io::Result<Child> {
    let (reply, answer) = channel();
    let gone = || std::io::Error::other("the thread that spawns children has ended");
    SPAWNER
        .send(SpawnRequest { command, reply })
        .map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

struct SpawnRequest {
    command: Command,
    reply: Sender<std::io::Result<Child>>,
}

static SPAWNER: LazyLock<Sender<SpawnRequest>> = LazyLock::new(|| {
    let (sender, requests) = channel::<SpawnRequest>();
    std::thread::spawn(move || {
        for SpawnRequest { mut command, reply } in requests {
            let _ = reply.send(command.spawn());
        }
    });
    sender
});

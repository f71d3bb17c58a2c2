//! Child processes that never outlive this program, whatever happens to it.
//!
//! Three nets, each for what slips through the one before: an orderly [`Process::stop`]; `Drop`, for
//! errors and panics; and the kernel's parent-death signal, for a program that is killed itself.
//! The last needs `setpriv` (Linux, util-linux); elsewhere the first two must do.

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
use crate::log::Log;
use crate::wait;

/// A running child, in a process group of its own so that Ctrl-C reaches it only through us.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Log,
    patience: Duration,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts a child whose output goes to a log file. `patience` is how long it may take to end
    /// after SIGTERM before it is killed.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if it cannot be started.
    pub fn start(
        name: &str,
        command: &Command,
        log: &Path,
        patience: Duration,
    ) -> Result<Self, HarnessError> {
        let doing = || format!("start {name}");
        let (reader, writer) = pipe().map_err(HarnessError::io(doing()))?;
        let other_writer = writer.try_clone().map_err(HarnessError::io(doing()))?;
        let mut command = dying_with_us(command);
        command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(other_writer)
            .process_group(0);
        let log = Log::start(log, reader)?;
        let child = spawn_from_lasting_thread(command).map_err(HarnessError::io(doing()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            patience,
            ended: None,
        })
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, which is also its process group's.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What the kernel says of its memory, in bytes: `VmRSS` is what it has now, `VmHWM` the most it had.
    ///
    /// # Errors
    /// [`HarnessError`] if the kernel does not say it, for example because it has ended.
    pub fn memory(&self, field: &str) -> Result<u64, HarnessError> {
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

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
            if self.ended.is_some() {
                self.log.settle();
            }
        }
        self.ended
    }

    /// An error if it has ended.
    ///
    /// # Errors
    /// [`HarnessError::Ended`] with the end of its log.
    pub fn expect_running(&mut self) -> Result<(), HarnessError> {
        let Some(status) = self.ended() else {
            return Ok(());
        };
        Err(HarnessError::Ended {
            name: self.name.clone(),
            status,
            log: self.log.path().to_owned(),
            tail: self.log.tail(),
        })
    }

    /// Sends SIGTERM, without waiting.
    pub fn ask_to_stop(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// Sends SIGINT, as Ctrl-C does, without waiting.
    pub fn interrupt(&mut self) {
        self.signal(Signal::SIGINT);
    }

    /// Sends SIGHUP.
    pub fn hang_up(&mut self) {
        self.signal(Signal::SIGHUP);
    }

    /// SIGTERM, and a wait for the end.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] if it did not end within its patience; it is then still running.
    pub async fn stop(&mut self) -> Result<ExitStatus, HarnessError> {
        self.ask_to_stop();
        let (what, patience) = (
            format!("the end of {} after SIGTERM", self.name),
            self.patience,
        );
        wait::until(&what, patience, async || {
            self.ended().ok_or_else(|| "still running".to_owned())
        })
        .await
    }

    /// SIGKILL to the whole process group, and a wait for the end.
    pub fn kill(&mut self) {
        if self.ended().is_some() {
            return;
        }
        if let Some(group) = self.pid() {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = wait::blocking_until(Duration::from_secs(5), || self.ended().is_some());
    }

    fn signal(&mut self, signal: Signal) {
        // Only a child that was not yet waited for still owns its id.
        if self.ended().is_none()
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
        self.ask_to_stop();
        let patience = self.patience;
        if !wait::blocking_until(patience, || self.ended().is_some()) {
            self.kill();
        }
    }
}

/// Whether a process with this id still runs.
#[must_use]
pub fn exists(pid: i32) -> bool {
    !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH)) && !is_zombie(pid)
}

/// An orphan that has ended stays in the process table until init looks after it, which in a
/// container may be never.
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the program's name, which stands in parentheses and may itself hold some.
    stat.rsplit_once(')')
        .is_some_and(|(_, behind)| behind.trim_start().starts_with('Z'))
}

/// The same command, run so that the kernel sends it SIGTERM when this program dies. SIGTERM, not
/// SIGKILL: the collector must still stop its Postgres.
fn dying_with_us(command: &Command) -> Command {
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

/// The kernel counts the death of the *thread* that started a child as the parent's death, and
/// threads of a test or of an async runtime end long before the program does.
fn spawn_from_lasting_thread(command: Command) -> std::io::Result<Child> {
    let (reply, answer) = channel();
    let gone = || std::io::Error::other("the thread that starts children has ended");
    SPAWNER.send(Order { command, reply }).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

struct Order {
    command: Command,
    reply: Sender<std::io::Result<Child>>,
}

static SPAWNER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = channel::<Order>();
    std::thread::spawn(move || {
        for Order { mut command, reply } in orders {
            let _ = reply.send(command.spawn());
        }
    });
    sender
});

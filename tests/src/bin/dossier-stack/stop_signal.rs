//! The wish to stop: Ctrl-C, SIGTERM, or a closed terminal.

use dossier_tests::HarnessError;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Takes these signals over: from here on they no longer end the program by themselves.
#[derive(Debug)]
pub struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
    send_sighup: Signal,
}

impl StopSignal {
    /// Begins to listen.
    pub fn listen() -> Result<Self, HarnessError> {
        let one = |kind| signal(kind).map_err(HarnessError::io("listen for signals"));
        Ok(Self {
            interrupt: one(SignalKind::interrupt())?,
            terminate: one(SignalKind::terminate())?,
            send_sighup: one(SignalKind::hangup())?,
        })
    }

    /// Returns when one of them comes.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.send_sighup.recv() => {}
        }
    }
}

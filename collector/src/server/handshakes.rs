//! TLS handshakes: each within a time limit, counted by how it ended. The log tells at most once a minute
//! that some fail, and nothing of who failed.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::rustls::Error;
use tokio_rustls::server::TlsStream;
use tracing::warn;

use super::tls::Tls;
use crate::metrics::{HandshakeOutcome, Metrics};

/// Most that a handshake may take. Over the slowest of networks it takes a few seconds.
const LONGEST: Duration = Duration::from_secs(10);
const BETWEEN_LINES: Duration = Duration::from_mins(1);

/// A socket whose client must go on reading.
pub(super) type Socket = Pin<Box<TimeoutStream<TcpStream>>>;

/// Makes them. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub(super) struct Handshakes {
    tls: Arc<Tls>,
    limit: Duration,
    metrics: Arc<Metrics>,
    told: Arc<Mutex<Told>>,
}

/// What the log was told.
#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    failures_since: u64,
}

impl Handshakes {
    /// With this; none may take longer than what a client may take for other things.
    pub(super) fn new(tls: Arc<Tls>, client_timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            tls,
            limit: LONGEST.min(client_timeout),
            metrics,
            told: Arc::default(),
        }
    }

    /// Makes one. Nothing is left of the connection if it fails.
    pub(super) async fn make(&self, socket: Socket) -> Option<TlsStream<Socket>> {
        let made = timeout(self.limit, self.tls.acceptor().accept(socket)).await;
        let outcome = match &made {
            Ok(Ok(_)) => HandshakeOutcome::done,
            Ok(Err(error)) => outcome(error),
            Err(_) => HandshakeOutcome::timed_out,
        };
        self.metrics.tls.handshake(outcome);
        self.tell(outcome);
        made.ok()?.ok()
    }

    fn tell(&self, outcome: HandshakeOutcome) {
        // Who checks whether a port is open closes it again at once, and is no fault.
        if matches!(
            outcome,
            HandshakeOutcome::done | HandshakeOutcome::closed_early
        ) {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failures) = told.failure(Instant::now()) {
            warn!(last = ?outcome, failures, "TLS connections could not be made");
        }
    }
}

impl Told {
    /// Counts a failure. Returns how many there were since the log was last told, if it is time again.
    fn failure(&mut self, now: Instant) -> Option<u64> {
        self.failures_since += 1;
        if self.at.is_some_and(|at| now - at < BETWEEN_LINES) {
            return None;
        }
        self.at = Some(now);
        Some(std::mem::take(&mut self.failures_since))
    }
}

/// How a handshake ended that failed.
fn outcome(error: &io::Error) -> HandshakeOutcome {
    let fault = error.get_ref().and_then(|it| it.downcast_ref::<Error>());
    match fault {
        None => HandshakeOutcome::closed_early,
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
            HandshakeOutcome::certificate_refused
        }
        Some(Error::AlertReceived(_)) => HandshakeOutcome::refused_by_client,
        Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => {
            HandshakeOutcome::nothing_in_common
        }
        Some(_) => HandshakeOutcome::malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_once_a_minute_how_many_failed() {
        let (mut told, begin) = (Told::default(), Instant::now());
        assert_eq!(told.failure(begin), Some(1));
        for second in 1..60 {
            assert_eq!(told.failure(begin + Duration::from_secs(second)), None);
        }
        assert_eq!(told.failure(begin + BETWEEN_LINES), Some(60));
        assert_eq!(told.failure(begin + BETWEEN_LINES), None);
    }
}

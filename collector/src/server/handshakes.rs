//! TLS handshakes: each within a time limit, counted by its outcome. Failures are logged at most once a
//! minute, without the client's address.

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

/// Over the slowest networks a handshake takes a few seconds.
const MAX_DURATION: Duration = Duration::from_secs(10);
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// A socket that fails if the client stops reading.
pub(super) type Socket = Pin<Box<TimeoutStream<TcpStream>>>;

/// Performs handshakes. Clones share its state.
#[derive(Debug, Clone)]
pub(super) struct Handshakes {
    tls: Arc<Tls>,
    limit: Duration,
    metrics: Arc<Metrics>,
    log: Arc<Mutex<FailureLog>>,
}

/// When failures were logged last, and how many there were since.
#[derive(Debug, Default)]
struct FailureLog {
    logged_at: Option<Instant>,
    failures_since: u64,
}

impl Handshakes {
    /// `client_timeout` is how long a client may take for other things: a handshake may not take longer.
    pub(super) fn new(tls: Arc<Tls>, client_timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            tls,
            limit: MAX_DURATION.min(client_timeout),
            metrics,
            log: Arc::default(),
        }
    }

    /// Performs a handshake. If it fails, the connection is closed.
    pub(super) async fn perform(&self, socket: Socket) -> Option<TlsStream<Socket>> {
        let result = timeout(self.limit, self.tls.acceptor().accept(socket)).await;
        let outcome = match &result {
            Ok(Ok(_)) => HandshakeOutcome::done,
            Ok(Err(error)) => outcome(error),
            Err(_) => HandshakeOutcome::timed_out,
        };
        self.metrics.tls.count_handshake(outcome);
        self.log_failure(outcome);
        result.ok()?.ok()
    }

    fn log_failure(&self, outcome: HandshakeOutcome) {
        // Closing at once is what a check of the port does; it is no failure.
        if matches!(
            outcome,
            HandshakeOutcome::done | HandshakeOutcome::closed_early
        ) {
            return;
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failures) = log.count(Instant::now()) {
            warn!(last = ?outcome, failures, "TLS handshakes failed");
        }
    }
}

impl FailureLog {
    /// Counts a failure. Returns how many there were since the last log line, if it is time for the next.
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.failures_since += 1;
        if self.logged_at.is_some_and(|at| now - at < LOG_INTERVAL) {
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.failures_since))
    }
}

/// The outcome of a failed handshake.
fn outcome(error: &io::Error) -> HandshakeOutcome {
    let tls_error = error.get_ref().and_then(|it| it.downcast_ref::<Error>());
    match tls_error {
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
    fn logs_failure_count_once_a_minute() {
        let (mut log, begin) = (FailureLog::default(), Instant::now());
        assert_eq!(log.count(begin), Some(1));
        for second in 1..60 {
            assert_eq!(log.count(begin + Duration::from_secs(second)), None);
        }
        assert_eq!(log.count(begin + LOG_INTERVAL), Some(60));
        assert_eq!(log.count(begin + LOG_INTERVAL), None);
    }
}

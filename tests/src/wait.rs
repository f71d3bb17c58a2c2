//! Waiting by looking again and again, never longer than a limit, and saying at the end what was
//! seen instead.

use std::time::{Duration, Instant};

use crate::error::HarnessError;

const BETWEEN_LOOKS: Duration = Duration::from_millis(25);

/// Looks until `look` finds what it looks for. Its error says what it found instead.
///
/// # Errors
/// [`HarnessError::TimedOut`] with the last look's finding.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, HarnessError> {
    let start = Instant::now();
    let mut last = String::from("nothing yet");
    while let Some(left) = limit.checked_sub(start.elapsed()) {
        // A look that hangs must not make the wait longer than its limit.
        match tokio::time::timeout(left, look()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(finding)) => last = finding,
            Err(_) => break,
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(HarnessError::TimedOut {
        what: what.to_owned(),
        limit,
        last,
    })
}

/// The same for code that cannot await: clean-up while dropping.
#[must_use]
pub fn blocking_until(limit: Duration, mut look: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if look() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

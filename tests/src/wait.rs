//! Waits for a condition by polling, up to a limit; the error says what was seen last.

use std::time::{Duration, Instant};

use crate::error::HarnessError;

const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Polls until `look` succeeds. Its error says what it found instead.
///
/// # Errors
/// [`HarnessError::TimedOut`] with the last error of `look`.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, HarnessError> {
    let start = Instant::now();
    let mut last = String::from("nothing yet");
    while let Some(left) = limit.checked_sub(start.elapsed()) {
        // A poll that hangs must not extend the wait.
        match tokio::time::timeout(left, look()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(finding)) => last = finding,
            Err(_) => break,
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Err(HarnessError::TimedOut {
        what: what.to_owned(),
        limit,
        last,
    })
}

/// The same for code that cannot await, such as `Drop`. Returns whether the condition came true.
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
        std::thread::sleep(POLL_INTERVAL);
    }
}

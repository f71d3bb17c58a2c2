//! The CPU time of a process.

use std::time::Duration;

use dossier_tests::HarnessError;

/// Of all running threads; Envoy's do not end.
pub(crate) fn cpu_time(process: u32) -> Result<Duration, HarnessError> {
    let folder = format!("/proc/{process}/task");
    let reading = || {
        let mut nanoseconds = 0_u64;
        for thread in std::fs::read_dir(&folder)? {
            let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let first = text.split_whitespace().next();
            nanoseconds += first
                .and_then(|number| number.parse::<u64>().ok())
                .unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    };
    reading().map_err(HarnessError::io(format!("read the CPU time in {folder}")))
}

//! Rate-limited warnings: an unreachable collector must not fill the proxy's log. They are buffered and
//! written when no state is borrowed.

use std::cell::RefCell;

use crate::host::{Host, Level};

/// Each kind is rate-limited separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WarningKind {
    /// The collector does not respond, or asks to retry later.
    Unreachable,
    /// The collector rejects the filter: wrong token or path.
    Misconfigured,
    /// The collector rejected a batch.
    BatchRefused,
    /// Records or bodies were dropped because the buffer is full.
    BufferFull,
    /// A route's metadata is invalid.
    RouteMetadata,
}

const MIN_INTERVAL_MICROS: u64 = 30_000_000;

/// Buffered warnings, and when each kind was last written.
#[derive(Debug, Default)]
pub(crate) struct WarningLog(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    last: Vec<LastWarning>,
}

#[derive(Debug)]
struct LastWarning {
    kind: WarningKind,
    at: u64,
    suppressed: u64,
}

impl WarningLog {
    /// Buffers a warning unless one of the same kind was written recently.
    pub(crate) fn warn(&self, kind: WarningKind, steady_now: u64, line: impl FnOnce() -> String) {
        let mut state = self.0.borrow_mut();
        let State { lines, last } = &mut *state;
        match last.iter_mut().find(|last| last.kind == kind) {
            Some(seen) if steady_now < seen.at.saturating_add(MIN_INTERVAL_MICROS) => {
                seen.suppressed += 1;
            }
            Some(seen) => {
                let suppressed = std::mem::take(&mut seen.suppressed);
                seen.at = steady_now;
                lines.push(match suppressed {
                    0 => line(),
                    count => format!("{} ({count} similar warnings suppressed)", line()),
                });
            }
            None => {
                last.push(LastWarning {
                    kind,
                    at: steady_now,
                    suppressed: 0,
                });
                lines.push(line());
            }
        }
    }

    /// Writes the buffered warnings.
    pub(crate) fn flush(&self, host: &impl Host) {
        let lines = std::mem::take(&mut self.0.borrow_mut().lines);
        for line in lines {
            host.log(Level::Warn, &format!("dossier: {line}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeHost;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn repeated_warnings_are_suppressed() {
        let (host, warnings) = (FakeHost::new(), WarningLog::default());
        for second in 0..31 {
            warnings.warn(WarningKind::Unreachable, second * 1_000_000, || {
                format!("second {second}")
            });
        }
        warnings.warn(WarningKind::BufferFull, 0, || "full".to_owned());
        warnings.flush(&host);
        assert_eq!(
            *host.lines.borrow(),
            [
                "dossier: second 0",
                "dossier: second 30 (29 similar warnings suppressed)",
                "dossier: full"
            ]
        );
    }
}
